"""A worker ends within seconds of SIGTERM, whatever it waits for."""

import signal
import time

import pytest
from command_line import Copy, places, tiny

COMMAND = tiny(
    methods="baseline", width=2, batch_size=16, teacher_steps=50, task_steps=50, evaluations=1,
    distribution="multi_worker",
)  # fmt: skip

# Is still there, and does nothing any more.
HANGS = """
import pathlib, time
from skt_tf.utils import quiet

load = quiet.load_tensorflow

def load_and_hang(*arguments):
    load(*arguments)
    from skt_tf.training.callbacks import Guard
    Guard._save_or_stop = lambda guard: pathlib.Path("hangs").touch() or time.sleep(600)

quiet.load_tensorflow = load_and_hang
"""


@pytest.mark.parametrize("waits", ["for a cluster", "in training"])
def test_a_waiting_worker_ends_within_seconds(waits, tmp_path):
    workers = []
    for index, place in enumerate(places(2)[: 1 if waits == "for a cluster" else 2]):
        outputs = [tmp_path / f"{name}{index}" for name in ("stdout", "stderr")]
        workers.append(Copy(COMMAND, tmp_path, outputs, HANGS if index else "", **place))
    alone, said = len(workers) == 1, tmp_path / "stdout0"
    try:
        while not ("waiting" in said.read_text() if alone else (tmp_path / "hangs").exists()):
            assert workers[0].poll() is None
            time.sleep(0.2)
        time.sleep(2)
        workers[0].send_signal(signal.SIGTERM)
        assert workers[0].wait(15) == 128 + signal.SIGTERM
    finally:
        for worker in workers:
            worker.kill()
    assert "stopped by SIGTERM" in (tmp_path / "stderr0").read_text().splitlines()[-1]
