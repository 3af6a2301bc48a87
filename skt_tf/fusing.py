"""Batch normalisation in one kernel for training, where Keras takes some ten.

Keras computes moments, normalisation and their gradients as separate operations over the whole
map: bound by memory, they take a third of a small network's step on a CPU. TensorFlow's fused
kernel does the same. The network itself keeps Keras' layers, so it loads without this package.
"""

import keras
import tensorflow as tf
from keras import layers


class FusedBatchNormalization(layers.Layer):
    """Does what `normalization`, a layer that it holds, does, with TensorFlow's fused kernel.

    Args:
        normalization: a built `keras.layers.BatchNormalization` over the last axis of maps.
    """

    def __init__(self, normalization, **kwargs):
        # Inputs come as they are, in half precision too; the variables stay in float32.
        super().__init__(name=f"{normalization.name}_fused", dtype="float32", autocast=False)
        self.normalization = normalization
        self.built = True

    def call(self, inputs, training=False, mask=None):
        layer = self.normalization
        if not training or not layer.trainable:
            return layer(inputs, training=False)
        channels = inputs.shape[-1]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones([channels]),
            tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros([channels]),
            epsilon=layer.epsilon,
            is_training=True,
        )
        # The kernel's running variance is the unbiased one, Keras' is not.
        number = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance *= (number - 1) / number
        for moving, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + now * (1 - layer.momentum))
        return outputs

    def compute_output_shape(self, input_shape):
        return input_shape


def fuse_batch_norm(model):
    """A view of `model`, with the same layers and variables, whose training is fused.

    Over several replicas the statistics of a batch are synchronised, which the kernel
    cannot do: there, `model` itself is returned.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return model
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)

    def fused(layer):
        fits = type(layer) is layers.BatchNormalization and layer.axis in (-1, 3)
        fits = fits and len(layer.input.shape) == 4 and layer.dtype_policy.name != "float64"
        # The kernel knows no renormalisation, and no smaller ε.
        fits = fits and not getattr(layer, "renorm", False) and layer.epsilon >= 1e-5
        return FusedBatchNormalization(layer) if fits else layer

    return keras.models.clone_model(model, model.input, clone_function=fused)
