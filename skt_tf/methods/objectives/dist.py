"""DIST: Huang et al., *Knowledge Distillation from A Stronger Teacher*, NeurIPS 2022."""

import tensorflow as tf

from skt_tf.methods.numerics import check_temperature, norm, standardized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_classes


class DIST(Objective):
    """β inter + γ intra: correlations of outputs, in place of a divergence.

    With Y = softmax(z / τ), [batch, classes], of teacher and student and Pearson's correlation ρ:
    inter = τ² (1 − meanₙ ρ(Yˢₙ, Yᵗₙ)) over the images, rows of Y; intra = τ² (1 − mean_k ρ(Yˢ_k,
    Yᵗ_k)) over the classes, columns of Y. arXiv 2205.10536.

    Args:
        beta: β.
        gamma: γ.
        temperature: τ. The recipe for CIFAR-100 has 4; its authors have 1 on ImageNet.
        standardized: whether logits are standardised first, as in `logit_std_kd`.
        epsilon: is added to the product of the norms in ρ, as in the authors' code.
    """

    looks_at = ("logits",)
    weight = 2.0
    compares_images = True

    def __init__(self, beta=1.0, gamma=1.0, temperature=4.0, standardized=False, epsilon=1e-8):
        check_temperature(temperature)
        self.beta, self.gamma, self.temperature = beta, gamma, temperature
        self.standardized, self.epsilon = standardized, epsilon

    def build(self, teacher, student, number=None):
        check_classes(self.name, teacher, student, self.standardized)

    def loss(self, teacher, student, batch):
        """A scalar, of logits."""
        logits = [teacher.logits, student.logits]
        if self.standardized:
            logits = [standardized(z) for z in logits]
        taught, outputs = (tf.nn.softmax(z / self.temperature) for z in logits)
        inter, intra = (1 - self._correlation(taught, outputs, axis) for axis in (1, 0))
        return self.temperature**2 * (self.beta * inter + self.gamma * intra)

    def _correlation(self, first, second, axis):
        """The mean of Pearson's ρ along `axis`; zero, with no gradient, where one is constant."""
        varies, centred = True, []
        for x in (first, second):
            centred.append(x - tf.reduce_mean(x, axis, keepdims=True))
            # What is left of a constant is rounding, of which a correlation would make much.
            varies &= norm(centred[-1], axis) > 1e-6 * norm(x, axis)
        product = tf.reduce_sum(centred[0] * centred[1], axis, keepdims=True)
        product /= norm(centred[0], axis) * norm(centred[1], axis) + self.epsilon
        return tf.reduce_mean(tf.where(varies, product, 0.0))
