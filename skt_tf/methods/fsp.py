"""Flows: FSP matrices between named layers, as the outputs of a Keras model.

Yim et al., *A Gift from Knowledge Distillation*, CVPR 2017 [FSP]; Yeo et al.,
*Sequential Knowledge Transfer …*, ICIP 2018 [SKT].
"""

import keras
import tensorflow as tf

from skt_tf.models.maps import point_output
from skt_tf.models.points import by_point, flow_name
from skt_tf.utils.errors import UserError
from skt_tf.utils.records import pack


def max_pool_to(maps, size):
    """Max-pools maps [batch, height, width, channels] down to `size` (height, width)."""
    height, width = maps.shape[1:3]
    if (height, width) == tuple(size):
        return maps
    if height % size[0] == 0 and width % size[1] == 0:
        window = (height // size[0], width // size[1])
        return keras.ops.max_pool(maps, window, window, "valid", "channels_last")
    # Windows of unequal, overlapping extent, as in adaptive pooling. Keras' own fails on
    # lengths such as 5 to 2.
    for axis, cells in enumerate(size, start=1):
        length = maps.shape[axis]
        windows = [range(k * length // cells, -(-(k + 1) * length // cells)) for k in range(cells)]
        parts = [keras.ops.take(maps, list(window), axis) for window in windows]
        maps = keras.ops.stack([keras.ops.max(part, axis) for part in parts], axis)
    return maps


def smaller_size(first, second, called="maps"):
    """(height, width) of the smaller of two maps; a ValueError where neither is."""
    sizes = tuple(first.shape[1:3]), tuple(second.shape[1:3])
    smaller = tuple(map(min, zip(*sizes)))
    if smaller not in sizes:
        raise UserError(
            f"{called} of sizes {sizes[0]} and {sizes[1]}: one must be at most as large as "
            "the other in both directions"
        )
    return smaller


def fsp_matrix(first, second):
    """The FSP matrix of two feature maps, G[i, j] = Σ_s,t F¹[s,t,i] F²[s,t,j] / (h·w) [FSP].

    Args:
        first: maps [batch, h₁, w₁, m], any float dtype.
        second: maps [batch, h₂, w₂, n], any float dtype. Where the sizes differ,
            the larger map is max-pooled down to the smaller.

    Returns:
        [batch, m, n], float32.

    Raises:
        ValueError: maps that are not of rank 4, or of which neither is the larger.
    """
    first, second = tf.convert_to_tensor(first), tf.convert_to_tensor(second)
    if first.shape.rank != 4 or second.shape.rank != 4:
        raise UserError(
            "expected two maps [batch, height, width, channels], "
            f"received shapes {first.shape} and {second.shape}"
        )
    smaller = smaller_size(first, second)
    positions = smaller[0] * smaller[1]
    # Pooled as they come: half as much passes through memory, and a maximum is none the less exact.
    first, second = (
        tf.reshape(max_pool_to(maps, smaller), [-1, positions, maps.shape[-1]])
        for maps in (first, second)
    )
    return _products(first, second) / positions


def _products(first, second):
    """Aᵀ B of each image, float32, for A [batch, positions, m] and B [batch, positions, n]."""

    def product(first, second):
        first, second = tf.cast(first, tf.float32), tf.cast(second, tf.float32)
        return tf.matmul(first, second, transpose_a=True)

    if not first.dtype == second.dtype == tf.bfloat16:
        return product(first, second)

    # A gradient of bfloat16 maps is rounded to bfloat16 in any case, so processors that multiply
    # in it may make it so; float16 would lose small ones.
    @tf.custom_gradient
    def halved(first, second):
        def gradient(upstream):
            upstream = tf.cast(upstream, tf.bfloat16)
            return tf.matmul(second, upstream, transpose_b=True), tf.matmul(first, upstream)

        return product(first, second), gradient

    return halved(first, second)


@keras.saving.register_keras_serializable(package="skt_tf")
class FSPMatrix(keras.layers.Layer):
    """Joins two feature maps to their FSP matrix; see `fsp_matrix`."""

    def __init__(self, **kwargs):
        # Matrices are sums over a thousand positions: float32 under any precision. The maps come
        # as they are.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})

    def call(self, inputs):
        return fsp_matrix(*inputs)

    def compute_output_shape(self, input_shape):
        first, second = input_shape
        return (first[0], first[-1], second[-1])


@keras.saving.register_keras_serializable(package="skt_tf")
class FlowModel(keras.Model):
    """A functional model that returns a list even where it has a single output."""

    def call(self, inputs, training=None, mask=None):
        return keras.tree.flatten(super().call(inputs, training=training, mask=mask))


def flow_model(model, flows, points=None, projections=None):
    """The part of `model` that maps images to its FSP matrices.

    It shares the layers of `model` and ends at the deepest point used: nothing
    behind it, and no flow that is not asked for, is computed.

    Args:
        model: a functional `keras.Model` with a layer for each point.
        flows: tuple of (point, point).
        points: {point: layer name}, or the names in order of depth; None where layers have the
            points' names.
        projections: {point: layer} to put behind the maps of a point, or None.

    Returns:
        A `keras.Model` from images to the list of FSP matrices [batch, m, n],
        float32, in the order of `flows`.

    Raises:
        ValueError: no flows, or a point that `model` has no layer for.
    """
    if not flows:
        raise UserError("no flows were given: expected at least one (point, point)")
    projections, maps, points = projections or {}, {}, by_point(points)
    for point in sorted({point for flow in flows for point in flow}):
        maps[point] = point_output(model, point, points)
        if point in projections:
            maps[point] = projections[point](maps[point])
    matrices = [FSPMatrix(name=flow_name(flow))([maps[point] for point in flow]) for flow in flows]
    return FlowModel(model.inputs[0], matrices, name=f"{model.name}_flows")


# The test image that is shown.
SHOWN = 0


def shown_before(teacher, student, flows, images, points=(None, None)):
    """What `results.json` carries of one test image before transfer.

    Args:
        teacher: a functional `keras.Model` with a layer for each point.
        student: likewise, as it is before its first stage.
        flows: tuple of (point, point).
        images: [number, height, width, channels], of which one is taken.
        points: {point: layer name} of the teacher and of the student, or None.
    """
    image = images[SHOWN]
    return {
        "test_image": SHOWN,
        "image": pack(image),
        "teacher": matrices(teacher, flows, image, points[0]),
        "before": matrices(student, flows, image, points[1]),
    }


def matrices(network, flows, image, points=None):
    """The FSP matrices of one image, as `results.json` carries them.

    Args:
        network: a functional `keras.Model` with a layer for each point, used in inference mode.
        flows: tuple of (point, point).
        image: [height, width, channels], as `network` takes it.
        points: {point: layer name}, or None where layers have the points' names.

    Returns:
        {name of the flow: packed float32 array [m, n]}.
    """
    found = flow_model(network, flows, points)(image[None], training=False)
    return {flow_name(flow): pack(matrix[0]) for flow, matrix in zip(flows, found)}
