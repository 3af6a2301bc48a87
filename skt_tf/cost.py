"""What it costs to classify an image."""

import statistics
import time

import tensorflow as tf

from skt_tf.flops import step_flops

# Passes that are timed: at least so many, then as many as fit into these seconds, up to so many.
_LEAST, _SECONDS, _MOST = 10, 0.3, 100


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
    passes = {name: _forward(network, images) for name, network in networks.items()}
    seconds = {name: [] for name in passes}
    # In turns, since the machine may do other work at times, and warm up.
    end = time.monotonic() + _SECONDS
    for repetition in range(1 + _MOST):
        if repetition > _LEAST and time.monotonic() > end:
            break
        for name, forward in passes.items():
            began = time.monotonic()
            forward().numpy()
            if repetition:  # The first pass allocates.
                seconds[name].append(time.monotonic() - began)
    return {
        name: {
            "parameters": network.count_params(),
            "flops_per_image": step_flops(passes[name].get_concrete_function().graph) / len(images),
            "images_per_second": len(images) / statistics.median(seconds[name]),
        }
        for name, network in networks.items()
    }


def _forward(network, images):
    return tf.function(lambda: network(images, training=False), autograph=False)
