"""Floating-point operations of a graph, counted from the shapes of its products."""

import math


def step_flops(graph):
    """FLOPs of the convolutions and matrix products in `graph`; a multiply-add is two.

    What else a step does (normalisation, activations, updates) is bound by memory and
    is not counted, as is usual.

    Args:
        graph: that of a concrete `tf.function`, whose tensors have fixed shapes.

    Returns:
        An integer.
    """
    ends = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    return sum(_COUNT[op.type](op) for op in _leading_to(ends) if op.type in _COUNT)


def _leading_to(ends):
    """The operations that `ends` need; TensorFlow runs no others."""
    found, waiting = set(), list(ends)
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return found


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
