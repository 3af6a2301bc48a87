"""What a step computes, and what memory holds."""

import keras
import tensorflow as tf
from sentences import refused

from skt_tf.configuration import Config
from skt_tf.models.cost import check_memory, step_flops


def test_products_and_their_gradients_are_counted_from_the_formula():
    images = tf.random.normal([3, 8, 6, 2])
    convolution, dense = keras.layers.Conv2D(5, 3, strides=2, padding="same"), keras.layers.Dense(7)
    convolution.build(images.shape)
    dense.build((3, 60))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps = convolution(images)
            loss = tf.reduce_sum(dense(tf.reshape(maps, [3, 60])) ** 2)
            flows = tf.reshape(maps, [3, 12, 5])
            loss += tf.reduce_sum(tf.matmul(flows, flows, transpose_a=True))
            tf.matmul(flows, flows, transpose_b=True)  # Nobody asks for it: it is not run.
        return loss, tape.gradient(loss, [images, convolution.kernel.value, dense.kernel.value])

    one_convolution = 2 * (3 * 4 * 3 * 5) * (3 * 3 * 2)
    one_dense, one_flow = 2 * 3 * 60 * 7, 2 * 3 * (5 * 5) * 12
    # Forward, and once each for the gradients of both factors.
    expected = 3 * (one_convolution + one_dense + one_flow)
    assert step_flops(step.get_concrete_function().graph) == expected


def test_what_is_too_large_for_this_machine_is_refused():
    check_memory(Config(), (32, 32, 3))
    with refused("^batch_size=1000000 and width=4096 need .* GB"):
        check_memory(Config(width=4096, batch_size=1_000_000), (8, 8, 1))
