"""Layers that are trained beside a student, and that are thrown away after their stages.

Each is seeded by its name, for the same run twice must give the same bytes, and all nets of a run
start with the same ones. Those of objectives compute in float32 whatever the networks do; their
kernels start uniformly within ±1/√inputs, as in the code that the recipes were found with, unless a
`scale` says otherwise, and their biases at zero.
"""

import zlib

import keras

from skt_tf.models.maps import point_output


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


def bridge(teacher, student, flows, points=(None, None)):
    """The projections that the flows of a stage, or of several, need.

    1×1 convolutions on the student's side, behind the maps of a point, which bridge channels that
    differ, as the regressor of [FitNets] does for its hint.

    Args:
        teacher: a functional `keras.Model`.
        student: likewise.
        flows: tuple of (point, point).
        points: {point: layer name} of the teacher and of the student, or None.

    Returns:
        {point: `keras.layers.Conv2D`} for each point of `flows` whose channels differ.
    """
    projections = {}
    for point in sorted({point for flow in flows for point in flow}):
        taught, maps = (point_output(n, point, p) for n, p in zip((teacher, student), points))
        if taught.shape[-1] == maps.shape[-1]:
            continue
        projection = keras.layers.Conv2D(
            taught.shape[-1],
            1,
            kernel_initializer=keras.initializers.HeNormal(seed=seed(point)),
            dtype=student.dtype_policy,
            name=f"{point}_projection",
        )
        projection.build(maps.shape)
        projections[point] = projection
    return projections
