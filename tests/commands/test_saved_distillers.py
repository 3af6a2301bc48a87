"""What Keras users do with Keras' own parts, done with the project's."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from command_line import ROOT

import skt_tf

FLOWS = skt_tf.dense_flows()


@pytest.fixture
def pair(network):
    return network(1), network(2)


@pytest.mark.parametrize("method", ["skt", "hint", "kd", "baseline"])
def test_a_distiller_is_saved_loaded_in_another_process_and_trained_on(
    method, pair, batch, tmp_path
):
    """Weights, optimizer and settings: a further step is the one that would have followed."""
    teacher, student = pair
    stage = skt_tf.stages(method)[-2 if method in ("skt", "hint") else 0]
    distiller = skt_tf.SequentialDistiller(
        None if method == "baseline" else teacher, student, stage,
        flow_weights=dict.fromkeys(FLOWS, 0.001), temperature=5.0, weight_decay=0.01, steps=10,
    )  # fmt: skip
    distiller.compile(keras.optimizers.SGD(0.001, momentum=0.9))
    distiller.fit(*batch, batch_size=8, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    np.savez(tmp_path / "batch.npz", *batch)
    script = (
        "import sys, numpy as np, keras, skt_tf\n"
        "skt_tf.SequentialDistiller\n"
        "loaded = keras.models.load_model('distiller.keras', safe_mode=True)\n"
        "assert type(loaded) is skt_tf.SequentialDistiller\n"
        "batch = np.load('batch.npz')\n"
        "loaded.fit(batch['arr_0'], batch['arr_1'], batch_size=8, verbose=0)\n"
        "np.savez('after.npz', *loaded.student.get_weights())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    distiller.fit(*batch, batch_size=8, verbose=0)
    after = np.load(tmp_path / "after.npz")
    for name, expected in zip(after.files, student.get_weights(), strict=True):
        assert after[name] == pytest.approx(expected, rel=1e-5, abs=1e-7)
