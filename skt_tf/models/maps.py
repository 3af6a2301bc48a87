"""The maps that a network puts out at its flow points."""

import difflib
import itertools

import keras

from skt_tf.models.names import plain
from skt_tf.utils.errors import UserError, option


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
        name = plain(name)  # While the layers have names that a graph takes.
    if name not in layers:
        close = difflib.get_close_matches(name, layers, n=1)
        hint = f": did you mean '{close[0]}'?" if close and points else ""
        if point[0] == "f" and name == point:
            within = f"{option('section_flows')}=within"
            hint = f", where {within} begins the flow of section {point[1:]}"
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


def first_layers(model, points):
    """{point: layer name} of `points` and, in order of depth, of each section's first layer."""
    layers, found = {layer.name for layer in model.layers}, {}
    for point, name in points.items():
        if point[0] == "p" and point != "p0":
            first = f"f{point[1:]}"
            middle = found.pop(f"m{point[1:]}", None)
            found[first] = _own_name(layers, first)
            if middle is not None:
                found[f"m{point[1:]}"] = middle
        found[point] = name
    return found


def _own_name(layers, point):
    """The layer at a point for which no name was given."""
    section = point[1:]
    if point not in layers and point == f"f{section}":  # In networks of `resnet`.
        if f"s{section}b1_inner" in layers:
            return f"s{section}b1_inner"
        if f"s{section}b1_1_conv" in layers:
            return f"m{section}"  # Of a single block the inner activation is the middle as well.
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
        if plain(points[first]) not in {plain(layer.name) for layer in up_to.layers}:
            raise UserError(
                f"in the model '{model.name}', the layer '{points[second]}' (point {second}) does "
                f"not follow from '{points[first]}' (point {first}): name points in order of depth"
            )
