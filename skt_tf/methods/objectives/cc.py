"""Correlation congruence: Peng et al., ICCV 2019, arXiv 1904.01802."""

import math

import tensorflow as tf

from skt_tf.methods.heads import dense
from skt_tf.methods.numerics import norm, normalized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_features
from skt_tf.utils.errors import UserError


class CC(Objective):
    """Correlations between the embeddings of a batch, by neighbours or by the paper's kernel.

    An embedding e [width] of teacher and student each goes through a dense layer of its own, both
    trained beside the student. The recipe's code compares neighbours in the batch: with
    Δₙ = |eˢₙ − eᵗₙ|, the loss is Σₙ Δₙ · Δₙ₊₁ / (batch − 1).

    The paper compares kernel matrices, [batch, batch]: ‖Kˢ − Kᵗ‖_F / batch², of embeddings divided
    by their norm, with the Gaussian's expansion K_nm = e^−2γ Σ_p (2γ)^p / p! (eₙ · eₘ)^p, p from 0
    to P. There the peers' code has no dense layers, and takes the norm unsquared, which the paper
    squares.

    Args:
        kernel: None, or `"gaussian"`, for which there is no recipe: its weight is 1.
        width: of the dense layers; None: there are none, and without a kernel both networks need
            embeddings of one width.
        gamma: γ.
        order: P.
    """

    looks_at = ("embedding",)
    weight = 0.02
    compares_images = True

    def __init__(self, kernel=None, width=128, gamma=0.4, order=2):
        if kernel not in (None, "gaussian"):
            raise UserError(f"kernel '{kernel}' is unknown: expected gaussian, or none")
        self.kernel, self.width, self.gamma, self.order = kernel, width, gamma, order
        if kernel:
            self.weight = 1.0

    def build(self, teacher, student, number=None):
        self.heads = []
        if self.width:
            self.heads = [dense(self.width, f"cc_{role}") for role in ("student", "teacher")]
            for head, seen in zip(self.heads, (student, teacher)):
                head.build((None, seen.embedding[-1]))
        elif not self.kernel:
            check_features(self.name, teacher, student, "give a width")

    def loss(self, teacher, student, batch):
        """A scalar, of embeddings; without a kernel that of a batch of one image is zero."""
        outputs, taught = student.embedding, teacher.embedding
        if self.width:
            outputs, taught = self.heads[0](outputs), self.heads[1](taught)
        number = tf.cast(tf.shape(outputs)[0], tf.float32)
        if self.kernel:
            difference = self._kernel(outputs) - self._kernel(taught)
            return norm(tf.reshape(difference, [-1]))[0] / number**2
        difference = tf.abs(outputs - taught)
        neighbours = tf.reduce_sum(difference[:-1] * difference[1:])
        return tf.math.divide_no_nan(neighbours, number - 1)

    def _kernel(self, embedding):
        rows = normalized(embedding)
        cosines = tf.matmul(rows, rows, transpose_b=True)
        kernel = tf.ones_like(cosines)
        for p in range(1, self.order + 1):
            kernel += (2 * self.gamma) ** p / math.factorial(p) * cosines**p
        return math.exp(-2 * self.gamma) * kernel
