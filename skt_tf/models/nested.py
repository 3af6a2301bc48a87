"""Models inside of models, such as a backbone of `keras.applications` that is one layer."""

import dataclasses
import itertools
import weakref

import keras
from keras.src.models.functional import Functional

_FOUND = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Unnested:
    """A model whose inner models are called layer by layer.

    Attributes:
        model: a functional `keras.Model` of the same inputs, layers and variables.
        outputs: {layer: symbolic outputs of each of its calls}, inner models among them.
    """

    model: keras.Model
    outputs: dict


def unnested(model):
    """`model` as an `Unnested`.

    Where two of its layers have one name, which no model of Keras may, inner models stay whole.
    """
    graph = getattr(model, "_functional", None) or model
    if graph in _FOUND:  # To call the layers anew would make every map another tensor.
        return _FOUND[graph]
    outputs = {}
    names = [layer.name for layer in _leaves(graph)]
    if len(names) == len(set(names)) and any(map(inner_graph, graph.operations)):
        ends = _run(graph, graph.inputs, outputs)
        _FOUND[graph] = Unnested(keras.Model(graph._inputs_struct, ends, name=model.name), outputs)
        return _FOUND[graph]
    for node in itertools.chain(*graph._nodes_by_depth.values()):
        outputs.setdefault(node.operation, []).append(node.outputs)
    return Unnested(graph, outputs)


def inner_graph(layer):
    """What a layer that is a functional or Sequential model runs through; None of any other."""
    graph = getattr(layer, "_functional", None) or layer
    # A class of one's own may do more than its graph.
    alone = getattr(type(layer), "call", None) in (Functional.call, keras.Sequential.call)
    return graph if alone and isinstance(graph, Functional) else None


def layers_by_path(model):
    """{path: layer} of a model, those of inner models as `"backbone/layer"`."""
    found = {}
    for layer in model.layers:
        found[layer.name] = layer
        if inner_graph(layer):
            inside = layers_by_path(layer).items()
            found |= {
                f"{layer.name}/{path}": inner
                for path, inner in inside
                if not isinstance(inner, keras.layers.InputLayer)
            }
    return found


def _leaves(graph):
    for operation in graph.operations:
        inner = inner_graph(operation)
        if inner:
            yield from (o for o in _leaves(inner) if not isinstance(o, keras.layers.InputLayer))
        else:
            yield operation


def _run(graph, inputs, outputs):
    """Calls all layers of `graph` on symbolic `inputs`, and notes what each puts out."""

    def noted(operation):
        def call(*arguments, **options):
            inner = inner_graph(operation)
            if inner:
                given = [  # As an inner model turns what it is given into what its inputs are.
                    x if x.dtype == expected.dtype else keras.ops.cast(x, expected.dtype)
                    for x, expected in zip(keras.tree.flatten(arguments[0]), inner.inputs)
                ]
                result = _run(inner, given, outputs)
            else:
                result = operation(*arguments, **options)
            outputs.setdefault(operation, []).append(keras.tree.flatten(result))
            return result

        return call

    for tensor in inputs:
        outputs.setdefault(tensor._keras_history.operation, [[tensor]])
    result = keras.tree.flatten(graph._run_through_graph(inputs, operation_fn=noted))
    return result[0] if len(result) == 1 else result
