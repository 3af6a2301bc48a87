"""The benchmark counts what it says it counts, and its file holds together."""

import keras
import tensorflow as tf

from skt_tf.models.cost import step_flops


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
