"""What objectives compute with: norms that are safe at zero, and softened outputs.

A norm has no gradient at zero, and a row divided by its norm has one that grows without bound as
the row shrinks. Maps behind a ReLU do have channels of zeros: here such a row stays zero, and gets
no gradient.
"""

import tensorflow as tf

from skt_tf.utils.errors import UserError
from skt_tf.utils.fields import TEMPERATURE


def norm(x, axis=-1):
    """‖x‖₂ along `axis`, which is kept; of zeros it is zero, and so is its gradient."""
    squares = tf.reduce_sum(tf.square(x), axis, keepdims=True)
    dead = squares <= 0  # False for NaN, which shall stay one.
    return tf.where(dead, 0.0, tf.sqrt(tf.where(dead, 1.0, squares)))


def normalized(x, axis=-1, epsilon=1e-12):
    """x / max(‖x‖₂, ε) along `axis`; zeros stay zero, and get no gradient."""
    length = norm(x, axis)
    # Of lengths alone, which are fewer than what they divide.
    return x * tf.where(tf.equal(length, 0.0), 0.0, 1 / tf.maximum(length, epsilon))


def standardized(logits, epsilon=1e-7):
    """z′ = (z − mean z) / (std z + ε) of each image [Sun et al., CVPR 2024].

    Args:
        logits: z, [batch, classes], float32, three classes or more: of two they are always
            ±1/√2. The deviation has classes − 1 in its denominator, as in its authors' code; the
            paper has classes.
        epsilon: ε.

    Returns:
        [batch, classes], float32. Where all logits of an image are equal it is zero, with no
        gradient.
    """
    centred = logits - tf.reduce_mean(logits, -1, keepdims=True)
    length = norm(centred)
    deviation = length / (logits.shape[-1] - 1) ** 0.5
    return tf.where(tf.equal(length, 0.0), 0.0, centred / (deviation + epsilon))


def divergence(teacher, student, temperature):
    """τ² KL(teacher ‖ student) of outputs softened by τ [KD], [batch], of logits."""
    teacher, student = (tf.nn.log_softmax(logits / temperature) for logits in (teacher, student))
    return temperature**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), -1)


@tf.custom_gradient
def squared_errors(maps, targets):
    """The mean over places of (F − Fᵗ)² for each channel: [batch, channels].

    Args:
        maps, targets: [batch, height, width, channels]; `targets` gets no gradient.
    """
    difference = maps - targets

    def gradient(upstream):
        # One pass over the maps, where TensorFlow's own takes three.
        places = tf.cast(tf.reduce_prod(tf.shape(maps)[1:3]), maps.dtype)
        return difference * (2 * upstream / places)[:, None, None], None

    return tf.reduce_mean(tf.square(difference), [1, 2]), gradient


def check_temperature(*temperatures):
    """Raises a ValueError where a temperature is out of its limits."""
    for temperature in temperatures:
        if not TEMPERATURE.least <= temperature <= TEMPERATURE.most:
            raise UserError(
                f"temperature {temperature:g} is out of range: expected {TEMPERATURE.said}"
            )
