"""Flows: FSP matrices between named layers, as the outputs of a Keras model.

Yim et al., *A Gift from Knowledge Distillation*, CVPR 2017 [FSP]; Yeo et al.,
*Sequential Knowledge Transfer …*, ICIP 2018 [SKT].
"""

import difflib
import itertools

import keras
import numpy as np
import tensorflow as tf

from skt_tf.errors import UnfitTeacher, UserError
from skt_tf.points import flow_name


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
        maps = tf.stack(
            [tf.reduce_max(tf.gather(maps, window, axis=axis), axis) for window in windows], axis
        )
    return maps


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
    sizes = first.shape[1:3].as_list(), second.shape[1:3].as_list()
    smaller = [min(pair) for pair in zip(*sizes, strict=True)]
    if smaller not in sizes:
        raise UserError(
            f"maps of sizes {sizes[0]} and {sizes[1]}: one must be at most as large as "
            "the other in both directions"
        )
    first, second = (tf.cast(max_pool_to(maps, smaller), tf.float32) for maps in (first, second))
    positions = smaller[0] * smaller[1]
    first, second = (tf.reshape(maps, [-1, positions, maps.shape[-1]]) for maps in (first, second))
    return tf.matmul(first, second, transpose_a=True) / positions


@keras.saving.register_keras_serializable(package="skt_tf")
class FSPMatrix(keras.layers.Layer):
    """Joins two feature maps to their FSP matrix; see `fsp_matrix`."""

    def __init__(self, **kwargs):
        # Matrices are sums over a thousand positions: float32 under any precision.
        super().__init__(**{**kwargs, "dtype": "float32"})

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
        points: {point: layer name}; None where layers have the points' names.
        projections: {point: layer} to put behind the maps of a point, or None.

    Returns:
        A `keras.Model` from images to the list of FSP matrices [batch, m, n],
        float32, in the order of `flows`.

    Raises:
        ValueError: no flows, or a point that `model` has no layer for.
    """
    if not flows:
        raise UserError("no flows were given: expected at least one (point, point)")
    projections, maps = projections or {}, {}
    for point in sorted({point for flow in flows for point in flow}):
        maps[point] = point_output(model, point, points)
        if point in projections:
            maps[point] = projections[point](maps[point])
    matrices = [FSPMatrix(name=flow_name(flow))([maps[point] for point in flow]) for flow in flows]
    return FlowModel(model.inputs[0], matrices, name=f"{model.name}_flows")


def check_network(model):
    """Refuses what is not a built Keras model with one input and one output."""
    if not isinstance(model, keras.Model):
        raise UserError(f"a network is a {type(model).__name__}: expected a keras.Model")
    inputs, outputs = getattr(model, "inputs", None) or (), getattr(model, "outputs", None) or ()
    if len(inputs) != 1 or len(outputs) != 1:
        raise UserError(
            f"the model '{model.name}' has {len(inputs)} inputs and {len(outputs)} outputs: "
            "expected a functional or Sequential model that starts at a keras.Input, with one "
            "of each"
        )
    if any(isinstance(getattr(model, side, None), dict) for side in ("input", "output")):
        raise UserError(
            f"the model '{model.name}' takes or returns a dict: expected images in, logits out"
        )


def check_logits(model, role):
    """Refuses outputs of which a loss or an export would take the softmax a second time."""
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    if isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax:
        raise UserError(
            f"the {role} '{model.name}' ends with a softmax: expected logits, from a last layer "
            "without an activation"
        )


def point_output(model, point, points=None):
    """The symbolic maps [batch, height, width, channels] of a point of `model`.

    Args:
        model: a functional `keras.Model`.
        point: name of the point.
        points: {point: layer name}; None where layers have the points' names, as networks of
            `skt_tf.resnet` do. There `f<k>` is the first activation inside of section k.

    Raises:
        ValueError: no layer of that name, or one that does not put out maps, once.
    """
    layers = {layer.name: layer for layer in model.layers}
    name = (points or {}).get(point) or _own_name(layers, point)
    here = f"'{name}'" if name == point else f"'{name}' (point {point})"
    if name not in layers:
        close = difflib.get_close_matches(name, layers, n=1)
        hint = f": did you mean '{close[0]}'?" if close and points else ""
        for layer in model.layers:
            if name in [inner.name for inner in getattr(layer, "layers", ())]:
                hint = (
                    f": it lies inside of its layer '{layer.name}', a model of its own, which is "
                    "to be called layer by layer for a flow to reach it"
                )
        raise UserError(f"the model '{model.name}' has no layer named {here}{hint}")
    # Not the layer's own output: it may have been called in other models too.
    graph = getattr(model, "_functional", None) or model
    nodes = itertools.chain(*graph._nodes_by_depth.values())
    nodes = [node for node in nodes if node.operation is layers[name]]
    if len(nodes) != 1:
        raise UserError(
            f"the layer {here} of the model '{model.name}' is called {len(nodes)} times: name a "
            "layer that is called once"
        )
    output = nodes[0].outputs[0]
    shape = getattr(output, "shape", ())
    if len(shape) != 4 or None in shape[1:]:
        raise UserError(
            f"the layer {here} of the model '{model.name}' puts out shape {tuple(shape)}: expected "
            "maps [batch, height, width, channels] of a known size"
        )
    return output


def _own_name(layers, point):
    """The layer at a point for which no name was given."""
    section = point[1:]
    # In networks of `resnet`. Of a single block the inner activation is the middle as well.
    names = {f"s{section}b1_inner": f"s{section}b1_inner", f"s{section}b1_1_conv": f"m{section}"}
    if point not in layers and point == f"f{section}":
        return next((name for known, name in names.items() if known in layers), point)
    return point


def check_order(model, points):
    """Raises a ValueError unless each point lies behind the one before it.

    Args:
        model: a functional `keras.Model`.
        points: {point: layer name}, in the order they should have.
    """
    for point in points:
        point_output(model, point, points)
    for first, second in itertools.pairwise(points):
        up_to = keras.Model(model.inputs[0], point_output(model, second, points))
        if points[first] not in {layer.name for layer in up_to.layers}:
            raise UserError(
                f"in the model '{model.name}', the layer '{points[second]}' (point {second}) does "
                f"not follow from '{points[first]}' (point {first}): name points in order of depth"
            )


def normalized_flow_weights(teacher, flows, images, batch_size=128, points=None):
    """λᵢ = 1 / mean over images of ‖Gᵢᵀ‖²: each flow's loss becomes a relative error.

    This project's reading, not the paper's: see docs/method.md, *Scale*.

    Args:
        teacher: a functional `keras.Model` with a layer for each point.
        flows: tuple of (point, point).
        images: training images [number, height, width, channels], one or more, as `teacher`
            takes them; or an iterable of batches of them.
        batch_size: images a forward pass.
        points: {point: layer name} of `teacher`; None where layers have the points' names.

    Returns:
        A dict of flow to λ, floats, in the order of `flows`.

    Raises:
        ValueError: no images, images of another shape, or matrices that are zero or not finite.
    """
    model = flow_model(teacher, flows, points)
    batches = images
    if hasattr(images, "shape"):
        batches = (images[k : k + batch_size] for k in range(0, len(images), batch_size))

    # A graph, since outside of one Keras holds the maps of all layers until the last is done.
    @tf.function(autograph=False, reduce_retracing=True)
    def matrices(batch):
        return model(batch, training=False)

    total, number = np.zeros(len(flows)), 0
    for batch in batches:
        given, taken = tuple(batch.shape)[1:], model.input_shape[1:]
        if len(given) != len(taken) or any(t not in (None, g) for g, t in zip(given, taken)):
            raise UserError(
                f"images of shape {given} were given to normalise the flows on: expected those "
                f"that the teacher takes, {taken}"
            )
        total += [np.sum(np.square(matrix, dtype=np.float64)) for matrix in matrices(batch)]
        number += len(batch)
    if not number:
        raise UserError("no images were given to normalise the flows on: expected at least one")
    dead = [flow_name(flow) for flow, value in zip(flows, total) if not 0 < value < np.inf]
    if dead:
        raise UnfitTeacher(
            f"the teacher's FSP matrices of {', '.join(dead)} are zero on every image, or not "
            "finite, so these flows cannot be normalised: give a teacher that is trained, and "
            "images without NaN"
        )
    return {flow: float(number / value) for flow, value in zip(flows, total)}
