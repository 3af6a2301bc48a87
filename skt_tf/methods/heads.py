"""Layers that objectives train beside a student, and that are thrown away after the stage.

They compute in float32 whatever the networks do. Each is seeded by its name, for the same run
twice must give the same bytes. Kernels start uniformly within ±1/√inputs, as in the code that the
recipes were found with, unless a `scale` says otherwise; biases start at zero. All nets of a run
start with the same heads.
"""

import zlib

import keras


def seed(name):
    """An integer that a name stands for."""
    return zlib.crc32(name.encode()) % 2**31


def dense(units, name):
    """A dense layer of `units`, with a bias."""
    return keras.layers.Dense(units, kernel_initializer=_start(name), dtype="float32", name=name)


def convolution(channels, size, name, *, bias=False, activation=None, dtype="float32", scale=1.0):
    """A convolution of `size`×`size` that keeps the size of its maps."""
    return keras.layers.Conv2D(
        channels,
        size,
        padding="same",
        use_bias=bias,
        activation=activation,
        kernel_initializer=_start(name, scale),
        dtype=dtype,
        name=name,
    )


def batch_norm(name, epsilon=1e-5, dtype="float32"):
    """Batch normalisation, over the batches of all devices."""
    return keras.layers.BatchNormalization(
        momentum=0.9, epsilon=epsilon, synchronized=True, dtype=dtype, name=name
    )


def _start(name, scale=1.0):
    """Uniform within ±scale/√inputs."""
    return keras.initializers.VarianceScaling(scale**2 / 3, "fan_in", "uniform", seed=seed(name))
