"""What it costs to classify an image."""

import statistics
import time

import tensorflow as tf

from skt_tf.flops import step_flops

_REPETITIONS = 10


def describe(network, images):
    """Size and speed of a network; its forward pass is measured in inference mode.

    Args:
        network: a `keras.Model`.
        images: one batch, as `network` takes it.

    Returns:
        {"parameters": their number;
        "flops_per_image": of convolutions and matrix products, a multiply-add being two;
        "images_per_second": by the median of some passes}.
    """
    images = tf.constant(images)
    forward = tf.function(lambda: network(images, training=False), autograph=False)
    flops = step_flops(forward.get_concrete_function().graph)
    forward()  # The first pass allocates.
    seconds = []
    for _ in range(_REPETITIONS):
        began = time.monotonic()
        forward().numpy()
        seconds.append(time.monotonic() - began)
    return {
        "parameters": network.count_params(),
        "flops_per_image": flops / len(images),
        "images_per_second": len(images) / statistics.median(seconds),
    }
