"""The maps that a network puts out at its flow points."""

import itertools

import keras

from skt_tf.models.batch_norm import FoldedConvolution
from skt_tf.models.names import plain
from skt_tf.models.nested import inner_graph, layers_by_path, unnested
from skt_tf.utils.errors import UserError, close_to, meant, option

_MOST_NAMED = 20


def point_output(model, point, points=None):
    """The symbolic maps [batch, height, width, channels] of a point of `model`.

    Args:
        model: a functional `keras.Model`.
        point: name of the point.
        points: {point: layer name}, `"backbone/layer"` of a layer of an inner model; None where
            layers have the points' names, as networks of `skt_tf.resnet` do. There `f<k>` is the
            first activation inside of section k.

    Raises:
        ValueError: no layer of that name, or one that does not put out maps, once.
    """
    _check_graph(model)
    layers = layers_by_path(model)
    name = (points or {}).get(point) or _own_name(layers, point)
    here = f"'{name}'" if name == point else f"'{name}' (point {point})"
    if name not in layers:
        name = "/".join(map(plain, name.split("/")))  # While layers have names that a graph takes.
    if name not in layers:
        raise UserError(
            f"the model '{model.name}' has no layer named {here}"
            + _hint(name, point, layers, points, unnested(model).outputs)
        )
    found = unnested(model)
    calls = found.outputs.get(layers[name], ())
    if not calls and "/" in name:
        raise UserError(
            f"the layer {here} of the model '{model.name}' cannot be reached, for two layers in it "
            "have one name: give each a name of its own"
        )
    if len(calls) != 1:
        raise UserError(
            f"the layer {here} of the model '{model.name}' is called {len(calls)} times: name a "
            "layer that is called once"
        )
    output = calls[0][0]
    shape = getattr(output, "shape", ())
    if len(shape) != 4 or None in shape[1:]:
        raise UserError(
            f"the layer {here} of the model '{model.name}' puts out shape {tuple(shape)}: expected "
            "maps [batch, height, width, channels] of a known size"
        )
    return output


def before_relu(model, output):
    """What a ReLU takes whose output a symbolic tensor of `model` is, or becomes.

    Where networks normalise and rectify before their convolutions, that is the tensor behind the
    batch normalisation that reads it. Of other layers it is `output` itself.
    """
    layer, index, _ = output._keras_history
    if _is_relu(layer):
        return layer._inbound_nodes[index].input_tensors[0]
    nodes = [*itertools.chain(*unnested(model).model._nodes_by_depth.values())]
    rectified = {id(x) for node in nodes if _is_relu(node.operation) for x in node.input_tensors}
    kinds = keras.layers.BatchNormalization, FoldedConvolution
    for node in nodes:
        normalizes = isinstance(node.operation, kinds)
        if normalizes and node.input_tensors[0] is output and id(node.outputs[0]) in rectified:
            return node.outputs[0]
    return output


def _is_relu(layer):
    activation = layer.activation if type(layer) is keras.layers.Activation else None
    return isinstance(layer, keras.layers.ReLU) or activation is keras.activations.relu


def layer_of(model, tensor):
    """The name, or the path in inner models, of the layer that puts out a tensor of `model`."""
    layer = tensor._keras_history.operation
    return next(path for path, other in layers_by_path(model).items() if other is layer)


def embedding_output(model):
    """The symbolic [batch, features] that the classifier of `model`, its last dense layer, takes.

    Args:
        model: a functional `keras.Model` from images to logits.

    Raises:
        ValueError: a model that does not end so.
    """
    _check_graph(model)
    tensor = unnested(model).model.outputs[0]
    while True:
        layer, index, _ = tensor._keras_history
        inputs = layer._inbound_nodes[index].input_tensors
        if len(inputs) != 1:
            break
        tensor = inputs[0]
        if isinstance(layer, keras.layers.Dense) and len(tensor.shape) == 2:
            return tensor
    raise UserError(
        f"the model '{model.name}' does not end with a dense layer of [batch, features]: expected "
        "a classifier, whose inputs are what is compared"
    )


def _check_graph(model):
    if not inner_graph(model):
        raise UserError(
            f"the model '{model.name}' has a call of its own, of which nothing within can be seen: "
            "expected a functional or Sequential model, for its layers to be points"
        )


def _hint(name, point, layers, points, outputs):
    """What may have been meant by the name of a layer that is not there."""
    if point[0] == "f" and name == point:
        within = f"{option('section_flows')}=within"
        return f", where {within} begins the flow of section {point[1:]}"
    inside = [path for path in layers if path.endswith(f"/{name}")]
    close = meant(inside[:3]) or (close_to(name, layers, most=3) if points else "")
    maps = [
        path
        for path, layer in layers.items()
        if any(len(x.shape) == 4 for call in outputs.get(layer, ()) for x in call)
    ]
    shown = ", ".join(maps[:_MOST_NAMED]) + ", …" * (len(maps) > _MOST_NAMED)
    if name == point:  # Nobody named it.
        names = " or ".join(map(option, ("teacher_points", "student_points")))
        return f"{close}: name the layers at its points by {names}, of {shown}"
    return f"{close}: expected one of {shown}"


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
        nodes = itertools.chain(*up_to._nodes_by_depth.values())
        before = {id(tensor) for node in nodes for tensor in node.outputs}
        if id(point_output(model, first, points)) not in before:
            raise UserError(
                f"in the model '{model.name}', the layer '{points[second]}' (point {second}) does "
                f"not follow from '{points[first]}' (point {first}): name points in order of depth"
            )
