"""A worker ends within seconds of SIGTERM, whatever it waits for."""

import json
import signal
import socket
import time

import pytest
from command_line import Copy

COMMAND = (
    *("--dataset=digits", "--teacher_depth=8", "--width=2", "--batch_size=16"),
    *("--methods=baseline", "--teacher_steps=50", "--task_steps=50", "--evaluations=1"),
    *("--distribution=multi_worker", "--output_dir=run"),
)

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
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    workers = []
    for index in range(1 if waits == "for a cluster" else 2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        outputs = [tmp_path / f"{name}{index}" for name in ("stdout", "stderr")]
        prelude = HANGS if index else ""
        workers.append(Copy(COMMAND, tmp_path, outputs, prelude, TF_CONFIG=json.dumps(task)))
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
