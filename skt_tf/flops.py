"""Floating-point operations of a graph, counted from the shapes of its products."""

import math


def step_flops(graph):
    """FLOPs of the convolutions and matrix products in `graph`; a multiply-add is two.

    What else a step does (normalisation, activations, updates) is bound by memory and
    is not counted, as is usual.

    Args:
        graph: a `tf.Graph` whose tensors have fixed shapes.

    Returns:
        An integer.
    """
    return sum(_COUNT[op.type](op) for op in graph.get_operations() if op.type in _COUNT)


def _size(shape):
    return math.prod(shape.as_list())


def _forward(op):
    height, width, channels, _ = op.inputs[1].shape.as_list()
    return 2 * _size(op.outputs[0].shape) * height * width * channels


def _backward_images(op):
    # As many as forward: the gradient comes in where the result went out.
    gradient, kernel = op.inputs[2].shape, op.inputs[1].shape.as_list()
    return 2 * _size(gradient) * math.prod(kernel[:3])


def _backward_kernel(op):
    gradient, kernel = op.inputs[2].shape, op.outputs[0].shape.as_list()
    return 2 * _size(gradient) * math.prod(kernel[:3])


def _product(op):
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    inner = op.inputs[0].shape[-2 if transposed else -1]
    return 2 * _size(op.outputs[0].shape) * inner


_COUNT = {
    "Conv2D": _forward,
    "Conv2DBackpropInput": _backward_images,
    "Conv2DBackpropFilter": _backward_kernel,
    "MatMul": _product,
    "BatchMatMulV2": _product,
}
