"""`--job=verify` confirms what is true of a run and refutes what is not."""

import json
import shutil

import pytest
from command_line import METHODS, NETS, finished_run, of_methods, ran, results_of, skt_tf, snapshot
from sentences import refused

from skt_tf.configuration import Config
from skt_tf.reports import verify as job
from skt_tf.utils.environment import environment


@pytest.fixture
def run(tmp_path):
    """A copy of a finished run, free to be changed."""
    return shutil.copytree(finished_run().folder, tmp_path / "run")


def change(folder, edit):
    path = folder / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    edit(results)
    path.write_text(json.dumps(results), encoding="utf-8")


@pytest.fixture
def two_methods(run):
    """A copy of what the run has of two methods: networks take their time to be asked."""
    return of_methods(run, "kd", "skt")


def verify(folder):
    return job.run(Config(job="verify", output_dir=str(folder)))


def test_the_command_confirms_every_network_and_changes_nothing(run):
    before = snapshot(run)
    done = ran("--job=verify", "--output_dir=run", cwd=run.parent)
    assert done.stdout.rstrip().splitlines()[-1] == "run/results.json: all confirmed"
    # The teacher, each net, and each method's mean and ensemble.
    assert done.stdout.count("confirmed  ") == 1 + len(METHODS) * (NETS + 2)
    assert "REFUTED" not in done.stdout
    assert snapshot(run) == before


def test_the_command_refutes_an_accuracy_of_one_image_more(two_methods):
    def one_more(results):
        results["methods"]["skt"]["accuracies"][1] += 1 / 360

    change(two_methods, one_more)
    done = skt_tf("--job=verify", "--output_dir=run", cwd=two_methods.parent)
    assert done.returncode == 1
    refuted = [line for line in done.stdout.splitlines() if line.startswith("REFUTED")]
    assert len(refuted) == 1
    assert "skt, net 2:" in refuted[0]
    assert done.stdout.rstrip().splitlines()[-1] == "run/results.json: 1 REFUTED"


def test_another_net_in_a_student_s_place_is_refuted(two_methods, capsys):
    best = two_methods / "kd/net0/student.keras"
    shutil.copy(two_methods / "teacher/model.keras", best)
    results = results_of(two_methods)
    entry = results["methods"]["kd"]
    assert results["teacher"]["accuracy"] != entry["accuracies"][0]
    assert not verify(two_methods)
    assert "REFUTED    kd, net 1:" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mean", "ensemble"])
def test_what_is_taken_over_all_nets_is_verified_too(name, two_methods, capsys):
    change(two_methods, lambda results: results["methods"]["skt"].update({name: 0.99}))
    assert not verify(two_methods)
    refuted = [line for line in capsys.readouterr().out.splitlines() if "REFUTED " in line]
    assert [line.split(":")[0] for line in refuted if "skt" in line] == [f"REFUTED    skt, {name}"]


def test_on_another_machine_one_image_in_a_thousand_may_differ(two_methods, monkeypatch, capsys):
    here = environment()
    monkeypatch.setattr(job, "environment", lambda: {**here, "processor": "another"})

    def nudge(by):
        def edit(results):
            results["teacher"]["accuracy"] += by

        change(two_methods, edit)

    nudge(0.0009)
    assert verify(two_methods)
    assert "0.1% is allowed" in capsys.readouterr().out
    nudge(0.0002)
    assert not verify(two_methods)


def test_a_net_that_failed_has_nothing_to_verify(two_methods):
    failed = {"message": "skt: the loss is nan"}
    empty = {"accuracies": [], "mean": None, "ensemble": None, "failed": failed}
    change(two_methods, lambda results: results["methods"]["skt"].update(empty))
    shutil.rmtree(two_methods / "skt")
    assert verify(two_methods)


UNFINISHED = "unfinished run, without all nets of kd"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "results.json").unlink(), "does not exist"),
        (lambda run: (run / "results.json").write_text("[]"), "not a results file"),
        (lambda run: change(run, lambda r: r["methods"]["kd"]["accuracies"].pop()), UNFINISHED),
        (lambda run: change(run, lambda r: r["methods"]["kd"].update(ensemble=None)), UNFINISHED),
        (lambda run: (run / "kd/net0/student.keras").unlink(), "student.keras does not exist"),
        (lambda run: (run / "kd/net0/student.keras").write_bytes(b"PK"), "keras is cut short"),
    ],
)
def test_what_is_no_finished_run_is_refused(spoil, says, run):
    spoil(run)
    with refused(says):
        verify(run)
