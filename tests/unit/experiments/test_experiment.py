"""Whom an experiment blames for what TensorFlow could not do."""

import pytest
import tensorflow as tf
from parsing import parse
from sentences import refused

from skt_tf.experiments import experiment


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (tf.errors.AbortedError, "an operation of TensorFlow failed (Status: 3, message: no "),
        (tf.errors.UnavailableError, "TF_ENABLE_ONEDNN_OPTS=0"),
        (tf.errors.ResourceExhaustedError, "not enough memory for --batch_size=128"),
    ],
)
def test_one_process_alone_blames_no_worker(kind, says, monkeypatch, tmp_path):
    def fail(*_):
        raise kind(None, None, "Status: 3, message: no descriptor")

    monkeypatch.setattr(experiment, "_Experiment", fail)
    with refused(None, says) as error:
        experiment.run(parse("--dataset=digits", f"--output_dir={tmp_path / 'run'}"))
    assert "worker" not in str(error.value)
