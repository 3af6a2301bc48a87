"""Variational information distillation: Ahn et al., CVPR 2019, arXiv 1904.05835."""

import math

import keras
import tensorflow as tf

from skt_tf.methods.heads import convolution
from skt_tf.methods.numerics import squared_errors
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_pairs, check_sizes, pooled_alike
from skt_tf.utils.errors import UserError


class VID(Objective):
    """mean ½ ((μ − Fᵗ)² / σ² + log σ²): the teacher's maps, as the student's let them be guessed.

    μ = W₂ relu(W₁ relu(W₀ Fˢ)) are 1×1 convolutions without a bias from the student's channels to
    the teacher's, σ²_c = log(1 + e^α_c) + ε is a variance for each of the teacher's channels. The
    mean runs over a map, [height, width, channels]; points are summed. Of two sizes the larger map
    is average-pooled to the smaller. Convolutions and α are trained beside the student; of the
    peers, one never trains α. The constant ½ log 2π is left out, as in the peers' code.

    Args:
        variance: σ² at the start.
        epsilon: ε, below which no variance falls.
    """

    looks_at = ("maps",)
    weight = 1.0

    def __init__(self, variance=5.0, epsilon=1e-5):
        if not 0 < epsilon < variance < 1e9:
            raise UserError(
                f"'{self.name}' has variance={variance} and epsilon={epsilon}: expected numbers "
                "above 0 and below 10⁹, the variance the larger"
            )
        self.variance, self.epsilon = variance, epsilon

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student)
        check_sizes(self.name, teacher, student)
        self.heads = []
        for k, (taught, maps) in enumerate(zip(teacher.maps, student.maps), start=1):
            head = Guess(taught[-1], self.variance, self.epsilon, name=f"vid{k}")
            head.build((None, *maps))
            self.heads.append(head)

    def loss(self, teacher, student, batch):
        """[batch], of maps."""
        losses = []
        for head, taught, maps in zip(self.heads, teacher.maps, student.maps):
            taught, maps = pooled_alike(taught, maps)
            mean, variance = head(maps)
            error = squared_errors(mean, taught)
            losses.append(0.5 * tf.reduce_mean(error / variance + tf.math.log(variance), 1))
        return tf.add_n(losses)


class Guess(keras.layers.Layer):
    """μ [batch, height, width, channels] and σ² [channels] of the teacher's maps, from others."""

    def __init__(self, channels, variance, epsilon, name):
        super().__init__(name=name, dtype="float32")
        self.start, self.epsilon, self.channels = variance, epsilon, channels
        activations = ("relu", "relu", None)
        self.convolutions = [
            convolution(channels, 1, f"{name}_{k}", activation=activation)
            for k, activation in enumerate(activations)
        ]

    def build(self, input_shape):
        # Softplus of it is the variance at the start.
        above = self.start - self.epsilon
        start = above + math.log(-math.expm1(-above))
        self.alpha = self.add_weight(
            (self.channels,), keras.initializers.Constant(start), name="alpha"
        )
        for layer in self.convolutions:
            layer.build(input_shape)
            input_shape = (*input_shape[:-1], self.channels)
        self.built = True

    def call(self, maps):
        for layer in self.convolutions:
            maps = layer(maps)
        return maps, tf.nn.softplus(self.alpha) + self.epsilon
