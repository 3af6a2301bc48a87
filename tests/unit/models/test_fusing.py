"""Fused batch normalisation does what Keras' does, in values, gradients and statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from skt_tf.models.batch_norm import FusedBatchNormalization, fuse_batch_norm

OPTIONS = [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1, "momentum": 0.7}]


def normalization(options, channels=5):
    layer = layers.BatchNormalization(**options)
    layer.build((None, 3, 4, channels))
    random = np.random.default_rng(0)
    for variable in layer.variables:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return layer


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("training", [False, True])
def test_values_gradients_and_statistics_are_those_of_keras(options, training):
    images = tf.constant(np.random.default_rng(1).normal(2, 3, (6, 3, 4, 5)), tf.float32)
    factors = np.random.default_rng(2).normal(size=images.shape)
    found = []
    for wrap in (lambda layer: layer, FusedBatchNormalization):
        layer = normalization(options)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = wrap(layer)(images, training=training)
            loss = tf.reduce_sum(outputs * factors)
        gradients = tape.gradient(loss, [images, *(v.value for v in layer.trainable_variables)])
        found.append([outputs, *gradients, *layer.variables])
    assert len(found[0]) > 4
    for expected, value in zip(*found, strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-4, atol=2e-5)


def test_a_frozen_normalisation_keeps_its_statistics():
    layer = normalization({})
    layer.trainable = False
    images = np.random.default_rng(1).normal(size=(6, 3, 4, 5)).astype(np.float32)
    before = [v.numpy() for v in layer.variables]
    outputs = FusedBatchNormalization(layer)(images, training=True)
    np.testing.assert_allclose(outputs, layer(images, training=False))
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.variables))


def test_a_view_has_the_variables_of_its_network_in_their_order(student, batch):
    view = fuse_batch_norm(student)
    assert sum(isinstance(x, FusedBatchNormalization) for x in view.layers) == 7
    assert not any(isinstance(x, layers.BatchNormalization) for x in view.layers)
    for own, shared in zip(student.trainable_variables, view.trainable_variables, strict=True):
        assert own is shared
    assert {id(v) for v in view.variables} == {id(v) for v in student.variables}
    np.testing.assert_allclose(
        view(batch[0], training=False), student(batch[0], training=False), rtol=1e-5, atol=1e-6
    )


def test_the_network_is_saved_with_keras_layers_alone(student, batch, tmp_path):
    fuse_batch_norm(student)(batch[0], training=True)
    student.save(tmp_path / "student.keras")
    text = keras.models.load_model(tmp_path / "student.keras").to_json()
    assert "Fused" not in text
    assert "skt_tf" not in text


def test_other_axes_and_shapes_keep_keras_layer():
    images = keras.Input((4, 4, 2))
    x = layers.BatchNormalization(axis=1)(images)
    x = layers.BatchNormalization()(layers.Flatten()(x))
    view = fuse_batch_norm(keras.Model(images, x))
    assert sum(isinstance(x, layers.BatchNormalization) for x in view.layers) == 2
