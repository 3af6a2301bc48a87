"""Clusters: what they train, write, share and survive."""

import json
import shutil
import signal
import socket

import pytest
from command_line import WHOLE, cluster, results_of, snapshot, tiny
from command_line import skt_tf as command

import skt_tf
from skt_tf.models.resnet import resnet_for

ENDINGS = (".keras", ".csv")
EXPERIMENT = tiny(
    methods="baseline,fsp", target_views=1, teacher_steps=4, transfer_steps=4, learning_rate=0.002,
    transfer_learning_rate=0.001, output_dir=None,
)  # fmt: skip

WORKER = (*EXPERIMENT, "--distribution=multi_worker", "--output_dir=run")
# Ends where a file would be put into its place.
WRITES_NOTHING = "import os; os.replace = os.rename = lambda *_, **__: os._exit(9)"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder in which a cluster ran; outputs and exit code of the chief and the worker."""
    cwd = tmp_path_factory.mktemp("shared")
    return cwd, *cluster(WORKER, WORKER, preludes=("", WRITES_NOTHING), cwd=cwd)


def test_a_cluster_trains_what_one_process_trains_and_the_chief_alone_writes(shared, tmp_path):
    alone = command(*EXPERIMENT, "--output_dir=alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    cwd, chief, worker = shared
    assert (chief[2], worker[2]) == (0, 0), chief[1] + worker[1]
    assert set(snapshot(cwd / "run")) == set(snapshot(tmp_path / "alone"))
    assert worker[0].strip() == "worker 1, one of 2: waiting for all"
    assert chief[0].count("keeping the teacher's targets") == 1
    ours, theirs = results_of(cwd / "run"), results_of(tmp_path / "alone")
    for method in ("baseline", "fsp"):
        one, other = ours["methods"][method], theirs["methods"][method]
        losses = [[stage["final_loss"] for stage in entry["stages"]] for entry in (one, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        assert one["accuracies"] == pytest.approx(other["accuracies"], abs=0.01)


# Ends as a power cut would, as it puts a checkpoint of the baseline into its place.
KILLED = """
import os, signal

replace, left = os.replace, [11]

def last(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)

os.replace = last
"""


# Is asked to end, it alone, after the first iteration that it goes on with.
ASKED = """
import os, signal
from skt_tf.utils import quiet

load, left = quiet.load_tensorflow, [1]

def load_and_listen(*arguments):
    load(*arguments)
    from skt_tf.training.callbacks import Guard
    save_or_stop = Guard._save_or_stop

    def asked(guard):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGTERM)
        save_or_stop(guard)

    Guard._save_or_stop = asked

quiet.load_tensorflow = load_and_listen
"""


INTERRUPTIBLE = (*WORKER, "--methods=baseline", "--checkpoint_every=1")


def test_a_cluster_that_is_killed_and_then_stopped_goes_on_to_the_same_bytes(shared, tmp_path):
    both = [INTERRUPTIBLE] * 2
    # A power cut at the chief.
    chief, worker = cluster(*both, preludes=(KILLED, ""), cwd=tmp_path)
    assert chief[2] == -signal.SIGKILL, chief[1]
    assert worker[2] == 2
    assert "a worker of the cluster is gone" in worker[1].splitlines()[-1]
    # One worker is asked to end: all stop together.
    stopped = cluster(*both, preludes=("", ASKED), cwd=tmp_path)
    for out, error, code in stopped:
        assert code == 128 + signal.SIGTERM, out + error
        assert "stopped by SIGTERM: the same command goes on" in error.splitlines()[-1]
    ended = cluster(*both, cwd=tmp_path)
    assert [code for _, _, code in ended] == [0, 0], ended
    assert all("going on after iteration" in chief[0] for chief in (stopped[0], ended[0]))
    ours, theirs = tmp_path / "run", shared[0] / "run"
    files = [path.relative_to(ours) for path in ours.rglob("*") if path.suffix in ENDINGS]
    assert len(files) == 4
    for path in files:
        assert (ours / path).read_bytes() == (theirs / path).read_bytes()
    stages = [results_of(folder)["methods"]["baseline"]["stages"] for folder in (ours, theirs)]
    assert stages[0] == stages[1]


def test_a_cluster_does_not_train_again_what_it_has_ended(shared, tmp_path):
    cwd = shutil.copytree(shared[0], tmp_path / "cwd")
    before = snapshot(cwd)
    again = cluster(WORKER, WORKER, cwd=cwd)
    assert [code for _, _, code in again] == [0, 0], again[0][1] + again[1][1]
    assert snapshot(cwd) == before


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((["--seed=0"], ["--seed=1"]), "the workers differ in their flags"),
        ([["--jit_compile", "--nodeterministic"]] * 2, "--jit_compile cannot compile a step of"),
    ],
)
def test_workers_that_cannot_share_a_step_stop(flags, says, tmp_path):
    commands = [(*WORKER, *own) for own in flags]
    for out, error, code in cluster(*commands, cwd=tmp_path):
        assert code == 2, out + error
        assert says in error
    assert not (tmp_path / "run").exists()


def test_what_only_the_chief_can_tell_stops_all_workers_alike(tmp_path, monkeypatch):
    # Of all clusters, the one in half precision, and with its graphs as users have them.
    monkeypatch.setenv(WHOLE, "1")
    data = skt_tf.load_dataset("digits")
    teacher = resnet_for(data, 8, 4, seed=1)
    for layer in teacher.layers:  # Its maps are too large to be kept.
        if layer.name == "stem_norm" or layer.name.endswith("_2_norm"):
            layer.gamma.assign(layer.gamma * 300)
    teacher.save(tmp_path / "large.keras")
    flags = "--teacher=large.keras", "--precision=mixed_bfloat16"
    done = cluster(*[(*WORKER, *flags)] * 2, cwd=tmp_path)
    assert [code for _, _, code in done] == [3, 3], done
    methods = results_of(tmp_path / "run")["methods"]
    assert methods["fsp"]["failed"]["stage"] == "transfer"
    assert "too large for float16" in done[0][1]
    assert methods["baseline"]["failed"] is None


def test_an_address_that_is_taken_is_named(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        task = {"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(task))
        done = command(*EXPERIMENT, "--distribution=multi_worker", cwd=tmp_path)
    assert done.returncode == 2
    assert address in done.stderr.splitlines()[-1]
