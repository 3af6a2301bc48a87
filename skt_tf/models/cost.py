"""What a network costs: parameters, FLOPs, images a second, and the memory it needs."""

import collections
import itertools
import math
import os
import statistics
import time

import tensorflow as tf

from skt_tf.models.architectures import architecture
from skt_tf.utils.errors import UserError, option

# Calls that are timed: at least so many, then as many as fit into these seconds, up to so many.
_LEAST, _SECONDS, _MOST = 10, 0.5, 100
# And before them, not timed: the first allocates.
_WARM_UP = 3


def describe(networks, images):
    """Size and speed of networks; their forward passes are measured in inference mode.

    Args:
        networks: {name: `keras.Model`}.
        images: one batch, as all of them take it.

    Returns:
        {name: {"parameters": their number;
        "flops_per_image": of convolutions and matrix products, a multiply-add being two;
        "images_per_second": by the median of some passes}}.
    """
    images = tf.constant(images)
    passes = {name: _inference(network, images) for name, network in networks.items()}
    seconds = median_seconds({name: lambda f=f: f().numpy() for name, f in passes.items()})
    return {
        name: {
            "parameters": network.count_params(),
            "flops_per_image": step_flops(passes[name].get_concrete_function().graph) / len(images),
            "images_per_second": len(images) / seconds[name],
        }
        for name, network in networks.items()
    }


def median_seconds(calls):
    """{name: median seconds of some calls} for {name: function of nothing}.

    They take turns, since the machine may do other work at times.
    """
    seconds = {name: [] for name in calls}
    end = time.monotonic() + _SECONDS
    for repetition in range(_WARM_UP + _MOST):
        if repetition >= _WARM_UP + _LEAST and time.monotonic() > end:
            break
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(found[_WARM_UP:]) for name, found in seconds.items()}


def _inference(network, images):
    return tf.function(lambda: network(images, training=False), autograph=False)


def step_flops(graph):
    """The FLOPs of `graph`, an integer, whatever they are multiplied in: see `flops_by_dtype`."""
    return flops_by_dtype(graph).total()


def flops_by_dtype(graph):
    """FLOPs of the convolutions and matrix products in `graph`; a multiply-add is two.

    What else a step does (normalisation, activations, updates) is bound by memory and
    is not counted, as is usual.

    Args:
        graph: that of a concrete `tf.function`, whose tensors have fixed shapes.

    Returns:
        A `Counter` of {name of the dtype that is multiplied in: integer}.
    """
    ends = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    found = collections.Counter()
    for op in _leading_to(ends):
        if op.type in _COUNT:
            found[op.outputs[0].dtype.name] += _COUNT[op.type](op)
    return found


def _leading_to(ends):
    """The operations that `ends` need; TensorFlow runs no others."""
    found, waiting = set(), list(ends)
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return found


def _convolution(maps, kernel):
    return 2 * math.prod(maps.shape) * math.prod(kernel.shape[:3])


def _product(op):
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    inner = op.inputs[0].shape[-2 if transposed else -1]
    return 2 * math.prod(op.outputs[0].shape) * inner


_COUNT = {
    "Conv2D": lambda op: _convolution(op.outputs[0], op.inputs[1]),
    # As many as forward: the gradient comes in where the result went out.
    "Conv2DBackpropInput": lambda op: _convolution(op.inputs[2], op.inputs[1]),
    "Conv2DBackpropFilter": lambda op: _convolution(op.inputs[2], op.outputs[0]),
    "MatMul": _product,
    "BatchMatMulV2": _product,
}
_FLOAT = 4


def check_memory(config, image_shape):
    """Raises a ValueError where training cannot fit into this machine's memory.

    A lower bound, from the convolutions alone: gradients need their inputs and outputs, and
    each weight has a gradient and a momentum. A GPU's memory is its own and is not looked at,
    nor are networks that are given.
    """
    built = {side: architecture(config, side) for side in ("teacher", "student")}
    bounds = {
        side: _least_memory(network, image_shape, config.batch_size)
        for side, network in built.items()
        if network
    }
    if tf.config.list_physical_devices("GPU") or not bounds:
        return
    side = max(bounds, key=bounds.get)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if bounds[side] > there:
        flag = f"{side}_network" if getattr(config, f"{side}_network") else "width"
        raise UserError(
            f"{option('batch_size')}={config.batch_size} and {option(flag)}="
            f"{getattr(config, flag)} need {bounds[side] / 1e9:,.0f} GB of memory or more, and "
            f"this machine has {there / 1e9:,.0f}: give less"
        )


def _least_memory(network, image_shape, batch_size):
    """Bytes that the training of an `Architecture` needs at least."""
    height, width, _ = image_shape
    pixels, weights = height * width * network.channels[0], 0
    for section, (before, channels) in enumerate(itertools.pairwise(network.channels)):
        maps = math.ceil(height / 2**section) * math.ceil(width / 2**section) * channels
        pixels += 2 * network.blocks * maps
        weights += 9 * channels * (before + (2 * network.blocks - 1) * channels)
    return _FLOAT * (2 * batch_size * pixels + 3 * weights)
