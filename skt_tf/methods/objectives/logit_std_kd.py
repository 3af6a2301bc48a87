"""Softened outputs of standardised logits: Sun et al., CVPR 2024, arXiv 2403.01427."""

from skt_tf.methods.numerics import check_temperature, divergence, standardized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_classes


class LogitStdKD(Objective):
    """τ² KL(softmax(z′ᵗ / τ) ‖ softmax(z′ˢ / τ)) of logits z standardised for each image.

    z′ = (z − mean z) / (std z + ε) over the classes, so that the student need not match the scale
    of the teacher's logits. As in the authors' code, whose deviation has classes − 1 in its
    denominator; the paper's has classes. The recipe adds 0.1 times the cross-entropy. `dkd`, `dist`
    and `mlkd` take standardised logits by their parameter `standardized`.

    Args:
        temperature: τ.
        epsilon: ε.
    """

    looks_at = ("logits",)
    weight = 9.0

    def __init__(self, temperature=2.0, epsilon=1e-7):
        check_temperature(temperature)
        self.temperature, self.epsilon = temperature, epsilon

    def build(self, teacher, student, number=None):
        check_classes(self.name, teacher, student, standardized=True)

    def loss(self, teacher, student, batch):
        """[batch], of logits."""
        logits = (standardized(seen.logits, self.epsilon) for seen in (teacher, student))
        return divergence(*logits, self.temperature)
