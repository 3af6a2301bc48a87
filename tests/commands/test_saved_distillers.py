"""Distillers that are saved, and trained on in another process."""

import keras
import numpy as np
import pytest
from command_line import together

import skt_tf

METHODS = ("skt", "hint", "kd", "baseline")
PROGRAM = """
import sys, numpy as np, keras, skt_tf

skt_tf.SequentialDistiller
batch = np.load("batch.npz")
for method in sys.argv[1:]:
    loaded = keras.models.load_model(f"{method}.keras", safe_mode=True)
    assert type(loaded) is skt_tf.SequentialDistiller
    loaded.fit(batch["arr_0"], batch["arr_1"], batch_size=8, verbose=0)
    np.savez(f"{method}.npz", *loaded.student.get_weights())
sys.exit()
"""


def test_a_distiller_is_saved_loaded_in_another_process_and_trained_on(network, batch, tmp_path):
    """Weights, optimizer and settings: a further step is the one that would have followed."""
    distillers = {}
    for method in METHODS:
        stage = skt_tf.stages(method)[-2 if method in ("skt", "hint") else 0]
        distillers[method] = distiller = skt_tf.SequentialDistiller(
            None if method == "baseline" else network(1), network(2), stage, temperature=5.0,
            flow_weights=dict.fromkeys(skt_tf.dense_flows(), 0.001), weight_decay=0.01, steps=10,
        )  # fmt: skip
        distiller.compile(keras.optimizers.SGD(0.001, momentum=0.9))
        distiller.fit(*batch, batch_size=8, verbose=0)
        distiller.save(tmp_path / f"{method}.keras")
    np.savez(tmp_path / "batch.npz", *batch)
    [(_, error, code)] = together((METHODS, PROGRAM, {}), cwd=tmp_path)
    assert code == 0, error
    for method, distiller in distillers.items():
        distiller.fit(*batch, batch_size=8, verbose=0)
        after = np.load(tmp_path / f"{method}.npz")
        for name, expected in zip(after.files, distiller.student.get_weights(), strict=True):
            assert after[name] == pytest.approx(expected, rel=1e-5, abs=1e-7), method
