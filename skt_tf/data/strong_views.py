"""A second, strongly augmented view of images, for objectives that compare two."""

import tensorflow as tf

# How far brightness, contrast and saturation may go from 1, to both sides.
_REACH = 0.6
# Side of the square that is hidden, as a share of the image's.
_HIDDEN = 0.5
# What an eye sees of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


def strengthened(images, seed):
    """Images of other brightness, contrast and saturation, and with a square of each hidden.

    Each factor is drawn evenly from 1 − 0.6 to 1 + 0.6 for each image; the square, half as long as
    the shorter side, lies with its centre anywhere and has the image's mean colour.

    Args:
        images: [batch, height, width, channels], uint8.
        seed: [2], integers; what is drawn depends on nothing else.

    Returns:
        As `images`.
    """
    number, height, width, channels = images.shape
    draws = tf.random.stateless_uniform([5, number, 1, 1, 1], seed)
    brightness, contrast, saturation = tf.unstack(1 + _REACH * (2 * draws[:3] - 1))
    x = tf.cast(images, tf.float32) * brightness
    mean = tf.reduce_mean(x, [1, 2, 3], keepdims=True)
    x = mean + contrast * (x - mean)
    if channels == len(_LUMA):
        grey = tf.reduce_sum(x * _LUMA, 3, keepdims=True)
        x = grey + saturation * (x - grey)
    half = _HIDDEN * min(height, width) / 2
    rows = tf.range(height, dtype=tf.float32)[:, None, None] + 0.5 - draws[3] * height
    columns = tf.range(width, dtype=tf.float32)[:, None] + 0.5 - draws[4] * width
    hidden = (tf.abs(rows) < half) & (tf.abs(columns) < half)
    x = tf.where(hidden, tf.reduce_mean(x, [1, 2], keepdims=True), x)
    return tf.cast(tf.clip_by_value(tf.round(x), 0, 255), tf.uint8)
