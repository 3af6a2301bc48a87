"""Decoupled knowledge distillation: Zhao et al., CVPR 2022, arXiv 2203.08679."""

import tensorflow as tf

from skt_tf.methods.numerics import check_temperature, standardized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_classes


class DKD(Objective):
    """α TCKD + β NCKD: the label against the rest, and the rest among themselves, apart.

    With p = softmax(z / τ) of logits z [classes] and the label y, of teacher and student:
    TCKD = τ² KL((pᵗ_y, 1 − pᵗ_y) ‖ (pˢ_y, 1 − pˢ_y)), and NCKD = τ² KL(qᵗ ‖ qˢ) with q the softmax
    of z_k / τ over k ≠ y. [KD] is the same with β = 1 − pᵗ_y.

    Args:
        alpha: α.
        beta: β. The recipes have 2 for resnet56 → resnet20, 8 for resnet32x4 → resnet8x4, and 6
            for wrn40-2 → wrn16-2.
        temperature: τ.
        standardized: whether logits are standardised first, as in `logit_std_kd`. The recipes
            then have weight 18, which is the default, β 2 and τ 3 for resnet56 → resnet20; weight
            9, β 8 and τ 2 for resnet32x4 → resnet8x4; weight 12, β 2 and τ 2 for wrn40-2 → wrn16-2.
        epsilon: ε of the standardisation.
    """

    looks_at = ("logits",)
    weight = 1.0
    warmup = 20 / 240  # Its authors' code: min(epoch / 20, 1), of 240.
    labels = True

    def __init__(self, alpha=1.0, beta=2.0, temperature=4.0, standardized=False, epsilon=1e-7):
        check_temperature(temperature)
        self.alpha, self.beta, self.temperature = alpha, beta, temperature
        self.standardized, self.epsilon = standardized, epsilon
        if standardized:
            self.weight = 18.0

    def build(self, teacher, student, number=None):
        check_classes(self.name, teacher, student, self.standardized)

    def loss(self, teacher, student, batch):
        """[batch], of logits and labels."""
        logits = [teacher.logits, student.logits]
        if self.standardized:
            logits = [standardized(z, self.epsilon) for z in logits]
        mask = tf.one_hot(batch.labels, logits[0].shape[-1], on_value=True, off_value=False)
        # Logarithms of p_y and 1 − p_y, [batch], and of q, [batch, classes], at the label −10³⁰.
        label, rest, others = zip(*(_decoupled(z / self.temperature, mask) for z in logits))
        target = _divergence(label) + _divergence(rest)
        others = tf.reduce_sum(tf.where(mask, 0.0, _divergence(others)), -1)
        return self.temperature**2 * (self.alpha * target + self.beta * others)


def _decoupled(logits, mask):
    log_sum = tf.reduce_logsumexp(logits, -1)
    rest = tf.where(mask, -1e30, logits)
    log_rest = tf.reduce_logsumexp(rest, -1)
    label = tf.reduce_sum(tf.where(mask, logits, 0.0), -1)
    return label - log_sum, log_rest - log_sum, rest - log_rest[:, None]


def _divergence(logarithms):
    teacher, student = logarithms
    return tf.exp(teacher) * (teacher - student)
