"""Operations that a machine cannot do, and what they are blamed on."""

import errno
import os

import pytest
import tensorflow as tf
from sentences import refused

import skt_tf
from skt_tf.configuration import Config
from skt_tf.exporting import export
from skt_tf.reports import verify
from skt_tf.training import stage_loop
from skt_tf.utils import failed_operations


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (tf.errors.AbortedError, "failed (Status: 3, message: no descriptor): the environment"),
        (tf.errors.UnavailableError, "TF_ENABLE_ONEDNN_OPTS=0"),
        (tf.errors.ResourceExhaustedError, "not enough memory for batch_size=32 and --width=9"),
    ],
)
def test_what_is_at_fault_is_named(kind, says):
    with refused(None, says), failed_operations.said(32, "--width=9"):
        raise kind(None, None, "Status: 3, message: no descriptor")


@pytest.mark.parametrize(
    ("run", "reads"),
    [(verify.run, (verify, "finished")), (export.run, (export, "load_network"))],
    ids=["verify", "export"],
)
def test_jobs_without_batches_of_their_own_name_none(run, reads, monkeypatch):
    def fail(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(*reads, fail)
    with refused("^a device has not enough memory for the networks and a batch of images"):
        run(Config(output_dir="made", student="student.keras"))


def test_a_full_disk_is_no_lack_of_memory(tmp_path):
    full = os.strerror(errno.ENOSPC)
    with pytest.raises(OSError, match=full) as error, failed_operations.said(32, folder=tmp_path):
        raise tf.errors.ResourceExhaustedError(None, None, f"{tmp_path}/events; {full}")
    assert error.value.filename == tmp_path


def test_a_call_does_not_blame_its_images(student, batch, monkeypatch):
    def fail(*arguments, **options):
        raise tf.errors.AbortedError(None, None, "Status: 3, message: no descriptor")

    monkeypatch.setattr(stage_loop, "_fit", fail)
    with refused("^an operation of TensorFlow failed"):
        skt_tf.distill(None, student, batch, method="baseline", task_steps=2, batch_size=4)
