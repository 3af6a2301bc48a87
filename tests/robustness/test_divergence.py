"""A loss that is no finite number stops its stage at that step, and nothing else."""

import csv
import math

import numpy as np
import pytest
import tensorflow as tf
from command_line import results_of, skt_tf, snapshot, tiny
from sentences import is_one_sentence

from skt_tf.models.resnet import resnet

RUN = tiny(teacher_steps=20, transfer_steps=40, task_steps=6, checkpoint_every=1, evaluations=40)


@pytest.fixture(scope="module")
def transfer(tmp_path_factory):
    """(folder, process) of a run whose transfer stages blow up, and it alone."""
    cwd = tmp_path_factory.mktemp("transfer")
    arguments = (*RUN, "--methods=skt,kd", "--transfer_learning_rate=3e4")
    return cwd, skt_tf(*arguments, cwd=cwd), arguments


def test_the_others_go_on_and_the_exit_code_is_3(transfer):
    cwd, done, _ = transfer
    assert done.returncode == 3, done.stderr
    methods = results_of(cwd / "run")["methods"]
    assert [name for name, entry in methods.items() if entry["failed"]] == ["skt"]
    assert 0 <= methods["kd"]["mean"] <= 1
    assert methods["skt"]["mean"] is None
    assert not (cwd / "run/skt/net0/student.keras").exists()


def test_one_sentence_says_where_and_what_to_change(transfer):
    cwd, done, _ = transfer
    failed = results_of(cwd / "run")["methods"]["skt"]["failed"]
    assert failed["stage"] == "step1"
    assert failed["net"] == 0
    (line,) = [line for line in done.stderr.splitlines() if "skt, net 1 of 1" in line]
    assert is_one_sentence(line)
    assert f"iteration {failed['step']} of stage step1" in line
    assert (f"flow {failed['flow']}" if failed["flow"] else "the loss") in line
    assert f"learning rate {failed['learning_rate']:g}" in line
    assert "--transfer_learning_rate" in line
    assert line in [f"skt_tf: {failed['message']}"]
    report = (cwd / "run/report.md").read_text(encoding="utf-8")
    assert f"Failed: {failed['message']}" in report
    row = next(line for line in report.splitlines() if line.startswith("| skt |"))
    assert "| failed |" in row


def test_the_stage_stops_at_the_first_bad_step_and_its_last_good_state_is_kept(transfer):
    cwd, _, _ = transfer
    failed = results_of(cwd / "run")["methods"]["skt"]["failed"]
    with open(cwd / "run/skt/net0/metrics.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = {int(row["step"]): float(row["loss"]) for row in rows}
    assert max(losses) < failed["step"]
    assert all(math.isfinite(loss) for loss in losses.values())
    folders = [int(path.name) for path in (cwd / "run/skt/net0/checkpoints").iterdir()]
    assert 0 < max(folders) < failed["step"]
    newest = tf.train.load_checkpoint(
        str(cwd / f"run/skt/net0/checkpoints/{max(folders)}/variables")
    )
    for name in newest.get_variable_to_shape_map():
        value = newest.get_tensor(name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and "student" in name:
            assert np.isfinite(value).all()


def test_the_same_command_fails_again_without_training(transfer):
    cwd, _, arguments = transfer
    before = snapshot(cwd / "run")
    done = skt_tf(*arguments, cwd=cwd)
    assert done.returncode == 3
    assert "stage 1 of" not in done.stdout
    assert done.stdout.count("failed: ") == 1
    assert snapshot(cwd / "run") == before


def test_without_a_teacher_what_needs_none_goes_on(tmp_path):
    # Two steps are too few for weights of this size to overflow in the baseline alone.
    arguments = (
        "--methods=baseline,kd,skt", "--learning_rate=1e8", "--teacher_steps=20", "--task_steps=2",
        "--schedule=onecycle",
    )  # fmt: skip
    done = skt_tf(*RUN, *arguments, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    results = results_of(tmp_path / "run")
    assert results["teacher"]["failed"]["stage"] == "teacher"
    assert results["methods"]["baseline"]["failed"] is None
    for method in ("kd", "skt"):
        assert "its teacher has failed" in results["methods"][method]["failed"]["message"]
    assert "teacher" in done.stdout[done.stdout.index("teach 8") :]


def test_a_teacher_without_flows_fails_what_transfers_them_alone(tmp_path):
    teacher = resnet(8, 10, (8, 8, 1), 4, seed=0)
    norm = teacher.get_layer("stem_norm")
    norm.gamma.assign(np.zeros(4))
    norm.beta.assign(-np.ones(4))  # Nothing passes the first ReLU.
    teacher.save(tmp_path / "teacher.keras")
    arguments = ("--methods=kd,fsp", "--teacher_depth=8", "--teacher=teacher.keras")
    done = skt_tf(*RUN, *arguments, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    methods = results_of(tmp_path / "run")["methods"]
    assert [name for name, entry in methods.items() if entry["failed"]] == ["fsp"]
    assert "p0_p1" in methods["fsp"]["failed"]["message"]
    assert "zero on every image" in methods["fsp"]["failed"]["message"]
    assert 0 <= methods["kd"]["mean"] <= 1
