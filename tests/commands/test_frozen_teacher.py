"""The command line end to end, on a tiny budget, against what can be computed without it."""

import keras
import pytest
from command_line import finished_run

from skt_tf.configuration import Config
from skt_tf.experiments import experiment
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.training.stage_loop import run_stages


@pytest.fixture(scope="module")
def run():
    return finished_run()


def test_nothing_of_the_teacher_changes_in_a_whole_run(tmp_path, monkeypatch):
    taught, frozen = [], []

    def noted(*arguments, **options):
        taught.append(options.get("teacher"))
        return run_stages(*arguments, **options)

    def folded(teacher, precision):
        copy = fold_batch_norm(teacher, precision)
        frozen.append((teacher, copy, [v.numpy() for v in copy.variables]))
        return copy

    for module in ("teacher", "nets"):
        monkeypatch.setattr(f"skt_tf.experiments.{module}.run_stages", noted)
    monkeypatch.setattr(experiment, "fold_batch_norm", folded)
    experiment.run(
        Config(
            dataset="digits",
            methods=("kd", "hint", "skt"),
            teacher_depth=8,
            width=4,
            batch_size=16,
            teacher_steps=3,
            transfer_steps=6,
            hint_steps=2,
            task_steps=2,
            evaluations=1,
            output_dir=str(tmp_path / "run"),
        )
    )
    saved = keras.models.load_model(tmp_path / "run" / "teacher" / "model.keras")
    assert len(taught) == 1 + 3
    ((teacher, copy, start),) = frozen
    assert all(used is copy for used in taught[1:])
    for before, after in zip(start, copy.variables, strict=True):
        assert before.tobytes() == after.numpy().tobytes()
    for before, after in zip(saved.variables, teacher.variables, strict=True):
        assert before.path == after.path
        assert before.numpy().tobytes() == after.numpy().tobytes()
