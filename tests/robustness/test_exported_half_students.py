"""What Keras computes in half precision, or compiles, is exported, or refused with the reason."""

import keras
import numpy as np
import pytest
from command_line import is_one_sentence
from keras import layers

import skt_tf
from skt_tf.exporting import runtimes, writers
from skt_tf.models.evaluation import softmax_of

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3)).astype(np.float32)


class Own(layers.Layer):
    """A layer of one's own, without `get_config`."""

    def __init__(self):
        super().__init__()
        self.inner = layers.Conv2D(4, 3)

    def call(self, inputs):
        return self.inner(inputs)


def nested(*parts):
    return keras.Sequential([keras.Input((12, 12, 3)), *parts])


BODIES = {
    "plain": lambda: [layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization()],
    "nested": lambda: [nested(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())],
    "own layer, function": lambda: [Own(), layers.Lambda(lambda maps: maps * 2)],
    "cast": lambda: [lambda maps: keras.ops.cast(maps, "float16")],
    "grouped": lambda: [layers.Conv2D(6, 3, groups=3), layers.Conv2D(6, 3, 2, groups=2)],
}


def student(body, half="float32"):
    """A network that was built under the global policy `half`."""
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(half)
    try:
        images = keras.Input((12, 12, 3))
        maps = layers.Rescaling(1 / 255)(images)
        for layer in BODIES[body]():
            maps = layer(maps)
        logits = layers.Dense(5)(layers.GlobalAveragePooling2D()(maps))
        return keras.Model(images, logits, name="student")
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("body", "half"),
    [
        ("plain", "mixed_bfloat16"),
        ("plain", "float64"),
        ("nested", "mixed_float16"),
        ("own layer, function", "mixed_bfloat16"),
        ("cast", "mixed_float16"),
        ("plain", "float16"),
        ("grouped", "bfloat16"),
        ("grouped", "float32"),
    ],
)
def test_it_is_exported_in_float32_and_left_as_it_was(body, half, tmp_path):
    network = student(body, half)
    expected = softmax_of(network)(IMAGES)
    policies = [layer.dtype_policy for layer in network._flatten_layers()]
    for kind, path in skt_tf.export(network, tmp_path / "out", ("litert", "onnx")).items():
        found = runtimes.load(kind, path)[0](IMAGES)
        np.testing.assert_allclose(found, expected, atol=1e-5 if half == "float32" else 0.02)
    assert [layer.dtype_policy for layer in network._flatten_layers()] == policies
    assert np.array_equal(softmax_of(network)(IMAGES), expected)


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_a_file_that_its_runtime_does_not_run_is_no_success(kind, tmp_path, monkeypatch):
    def write(student, path):
        path.write_bytes(b"no network")

    monkeypatch.setattr(writers, f"_{kind}", write)
    with pytest.raises(skt_tf.UserError, match=kind) as caught:
        skt_tf.export(student("plain"), tmp_path / "out", ("saved_model", kind))
    assert is_one_sentence(str(caught.value))
    assert "/" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["saved_model", "litert", "onnx"])
def test_an_answer_of_another_network_is_refused(kind, tmp_path):
    network = student("plain")
    path = skt_tf.export(network, tmp_path / "out", (kind,))[kind]
    right = softmax_of(network)
    runtimes.check_answers(kind, path, (12, 12, 3), right)
    with pytest.raises(skt_tf.UserError, match="otherwise"):
        runtimes.check_answers(kind, path, (12, 12, 3), lambda images: 1 - right(images))


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_without_its_runtime_a_file_is_not_checked(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "_interpreter", lambda: None)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert skt_tf.export(student("plain"), tmp_path / "out", (kind,))[kind].exists()


def test_a_converter_s_notation_is_left_out():
    said = (
        'Could not translate.\n<unknown>:0: error: loc(callsite(callsite(fused["Foo:", "a@b"] at '
        "\"c\") at fused[])): 'tf.Foo' op requires a static shape\n<unknown>:0: note: loc(fused[])"
    )
    assert "loc(" not in writers._reason(ValueError(said))
    assert writers._reason(ValueError(said.split("\n")[1])) == "'tf.Foo' op requires a static shape"
    keras_s = (
        "Exception encountered when calling X.call().\n\n\x1b[1mWrong shape.\x1b[0m\n\nArguments"
    )
    assert writers._reason(ValueError(keras_s)) == "Wrong shape"
