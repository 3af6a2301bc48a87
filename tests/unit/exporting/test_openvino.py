"""OpenVINO's files, where its package is installed; and the sentence where it is not."""

import sys

import keras
import numpy as np
import pytest
from reference import softmax
from sentences import refused

import skt_tf
from skt_tf.exporting import comparison


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, activation="swish")(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.Conv2D(6, 3, groups=2, activation="gelu")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    return keras.Model(images, keras.layers.Dense(5)(x), name="student")


def test_it_gives_the_student_s_probabilities(network, tmp_path):
    openvino = pytest.importorskip("openvino")
    path = skt_tf.export(network, tmp_path / "out", ("openvino",))["openvino"]
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "README.md", "student.bin", "student.xml",
    ]  # fmt: skip
    weights = path.with_suffix(".bin").stat().st_size
    assert comparison._size(path) == path.stat().st_size + weights
    model = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1)).astype(np.float32)
    expected = softmax(network.predict(images, verbose=0))
    for number in (1, 7):
        found = model({"images": images[:number]})["probabilities"]
        np.testing.assert_allclose(found, expected[:number], atol=1e-5)


def test_what_it_lacks_is_named(tmp_path):
    pytest.importorskip("openvino")
    images = keras.Input((4, 4, 1))
    x = keras.ops.erfinv(keras.layers.Dense(3)(keras.layers.Flatten()(images)) / 1000)
    with refused("openvino.*no operation Erfinv"):
        skt_tf.export(keras.Model(images, x - 1), tmp_path / "out", ("openvino",))
    assert list(tmp_path.iterdir()) == []


def test_without_its_package_nothing_is_written(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with refused("^the format openvino needs openvino, .*python -m pip install openvino"):
        skt_tf.export(network, tmp_path / "out", ("saved_model", "openvino"))
    assert list(tmp_path.iterdir()) == []


def test_keras_torch_files_are_refused_with_the_reason(network, tmp_path):
    with refused("^formats=torch .* PyTorch .* TensorFlow: take onnx"):
        skt_tf.export(network, tmp_path / "out", ("torch",))
    assert list(tmp_path.iterdir()) == []
