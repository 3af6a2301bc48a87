"""Nets of one seed are pairs in a whole experiment, in this process."""

import pytest
from command_line import SLOW
from noise import BATCH, batches
from reference import same, values
from untrained import untrained

from skt_tf.configuration import Config
from skt_tf.experiments.experiment import run as run_experiment


@pytest.mark.parametrize(
    "experiment", [pytest.param("minimization", marks=SLOW), "fast_optimization"]
)
def test_nets_of_one_seed_are_pairs_in_every_method(experiment, tmp_path, monkeypatch):
    seen = []

    def look(distiller, data, steps):
        task = batches(data) if distiller.objective.has_logits else []
        seen.append((distiller.student, values(distiller.student), task))

    untrained(monkeypatch, look)
    monkeypatch.setattr("skt_tf.experiments.experiment.complete", lambda run, dataset: None)
    config = Config(
        experiment=experiment, dataset="digits", teacher_depth=8, width=2, nets=2,
        batch_size=BATCH, teacher_steps=1, transfer_steps=3, hint_steps=1, task_steps=2,
        evaluations=1, output_dir=str(tmp_path / "run"),
    )  # fmt: skip
    run_experiment(config)
    networks = list({id(student): student for student, *_ in seen}.values())
    # The first of the teachers is the teacher.
    number = config.nets if "teachers" in config.methods else 1
    teachers, networks = networks[:number], networks[number:]
    methods = [method for method in config.methods if method != "teachers"]
    assert len(networks) == len(methods) * config.nets
    starts, tasks = [], []
    for network in networks:
        own = [entry for entry in seen if entry[0] is network]
        starts.append(own[0][1])
        tasks.append(own[-1][2][: config.task_steps])
    for net in range(config.nets):
        assert all(same(start, starts[net]) for start in starts[net :: config.nets])
        assert all(task == tasks[net] for task in tasks[net :: config.nets])
        assert len(tasks[net]) == config.task_steps
    assert not same(starts[0], starts[1])
    assert tasks[0] != tasks[1]
    # No student begins where a teacher began.
    begun = [entry[1] for teacher in teachers for entry in seen if entry[0] is teacher]
    assert len(begun) == number
    assert not any(same(start, other) for start in starts for other in begun)
