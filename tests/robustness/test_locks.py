"""Checkpoints hold all that the rest of a stage depends on, and are whole or not there."""

import os
import subprocess
import sys

from command_line import ROOT, together
from sentences import refused

from skt_tf.utils.locks import LOCK, FolderLock

# Processes of their own: within one, a lock that is asked for again would be another matter.
HOLD = """
import sys
from skt_tf.utils.locks import FolderLock
with FolderLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_is_held_until_its_process_ends_however_that_is(tmp_path):
    folder = tmp_path / "run"
    owner = hold(folder)
    with refused(f"in use by process {owner.pid}:"), FolderLock(folder):
        pass
    owner.kill()
    owner.wait()
    # A lock of a process that is gone is none.
    assert (folder / LOCK).read_text() == str(owner.pid)
    with FolderLock(folder):
        assert (folder / LOCK).read_text() == str(os.getpid())
    assert folder.exists()
    assert not (folder / LOCK).exists()


REPLICAS = """
import sys
from command_line import devices
devices(2)

import keras
import tensorflow as tf
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.utils.distribution import distribution_strategy
from skt_tf.training.history import Progress

strategy = distribution_strategy("mirrored", 2)
with strategy.scope():
    mean = keras.metrics.Mean()

    def count():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        mean.update_state(0.3 + 0.1 * tf.cast(number, tf.float32))

    tf.function(lambda: strategy.run(count))()
    values = lambda: [[float(part) for part in v.value.values] for v in mean.variables]
    before = values()
    assert before[0][0] != before[0][1]
    Checkpoints("saved").save(Progress(step=1), {"metrics": mean.variables})
    mean.reset_state()
    assert values() != before
    checkpoints = Checkpoints("saved")
    checkpoints.newest()
    checkpoints.restore({"metrics": mean.variables})
    assert values() == before, values()
sys.exit()
"""


def test_each_device_gets_back_what_it_has_counted(tmp_path):
    [(_, error, code)] = together(((), REPLICAS, {}), cwd=tmp_path)
    assert code == 0, error
