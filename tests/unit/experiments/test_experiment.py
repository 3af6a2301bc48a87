"""Whom an experiment blames for what TensorFlow could not do."""

import tensorflow as tf
from parsing import parse
from sentences import refused

from skt_tf.experiments import experiment


def test_one_process_alone_blames_no_worker(monkeypatch, tmp_path):
    def fail(*_):
        raise tf.errors.AbortedError(None, None, "Status: 3, message: no descriptor")

    monkeypatch.setattr(experiment, "_Experiment", fail)
    with refused("an operation of TensorFlow failed"):
        experiment.run(parse("--dataset=digits", f"--output_dir={tmp_path / 'run'}"))
