"""Students of swish and its kin, whose operations bring gradients of their own along."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import softmax

import skt_tf
from skt_tf.exporting import runtimes

FORMATS = ("saved_model", "litert", "litert_int8", "onnx")


def swish(x):
    return x / (1 + np.exp(-x))


@tf.custom_gradient
def own(x):
    """An activation with a gradient of one's own, which needs what it was computed from."""
    return tf.maximum(x, 0.1 * x), lambda above: above * tf.where(x > 0, 1.0, 0.1)


class Own(keras.layers.Layer):
    def call(self, inputs):
        return own(inputs)


@pytest.fixture(scope="module")
def student(digits):
    """Every way of asking for it, as Keras' EfficientNets and MobileNets do."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 16)(images)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="swish")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("silu")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="hard_swish")(x)
    x = keras.ops.silu(keras.layers.Conv2D(16, 3, 2, padding="same", use_bias=False)(x))
    x = keras.activations.gelu(keras.layers.BatchNormalization()(x))
    x = Own()(keras.layers.Activation(keras.activations.mish)(x))
    student = keras.Model(images, keras.layers.Dense(10)(keras.layers.Flatten()(x)), name="student")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(0.003), loss)
    student.fit(digits.train_images, digits.train_labels, batch_size=64, epochs=4, verbose=0)
    return student


@pytest.fixture(scope="module")
def exported(student, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("activations") / "out"
    images = digits.train_images[::8]
    return skt_tf.export(student, folder, FORMATS, calibration_images=images)


@pytest.mark.parametrize("kind", FORMATS)
def test_it_is_exported_to_every_format(kind, exported, student, digits):
    images = digits.test_images.astype(np.float32)
    expected = softmax(student.predict(images, verbose=0))
    assert (expected.argmax(1) == digits.test_labels).mean() > 0.85
    found = runtimes.load(kind, exported[kind])[0](images)
    if kind == "litert_int8":
        assert (found.argmax(1) == expected.argmax(1)).mean() > 0.9
    else:
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_int8_that_rounds_too_much_is_said(exported, student, digits, capfd):
    path, images = exported["litert_int8"], digits.train_images[:50]
    runtimes.warn_of_rounding(path, images, lambda images: student.predict(images, verbose=0))
    assert capfd.readouterr().err == ""
    runtimes.warn_of_rounding(path, images, lambda images: -student.predict(images, verbose=0))
    said = capfd.readouterr().err
    assert "warning: student_int8.tflite agrees with the student on 0% of 50" in said


def test_the_answers_are_those_of_the_formula(tmp_path):
    images = keras.Input((1, 1, 2))
    x = keras.layers.Rescaling(-3.0)(keras.layers.Activation("swish")(images))
    logits = keras.layers.Flatten()(x)
    path = skt_tf.export(keras.Model(images, logits), tmp_path / "out", ("litert",))["litert"]
    inputs = np.linspace(-6, 6, 10, dtype=np.float32).reshape(5, 1, 1, 2)
    found = runtimes.load("litert", path)[0](inputs)
    np.testing.assert_allclose(found, softmax(-3 * swish(inputs.reshape(5, 2))), atol=1e-6)
