"""Probabilistic knowledge transfer: Passalis and Tefas, ECCV 2018, arXiv 1803.10837."""

import tensorflow as tf

from skt_tf.methods.numerics import norm
from skt_tf.methods.objective import Objective


class PKT(Objective):
    """mean Pᵗ log((Pᵗ + ε) / (Pˢ + ε)): how probable two images of a batch are as neighbours.

    K = (u uᵀ + 1) / 2, [batch, batch], of embeddings u = f / (‖f‖ + ε), and P is K with each row
    divided by its sum. Embeddings may differ in width. As in its authors' code an image is its own
    neighbour too, and the mean runs over all batch² entries, which the weight is for; the paper
    leaves the diagonal out and sums.

    Args:
        epsilon: ε.
    """

    looks_at = ("embedding",)
    weight = 30000.0
    compares_images = True

    def __init__(self, epsilon=1e-7):
        self.epsilon = epsilon

    def loss(self, teacher, student, batch):
        """A scalar, of embeddings."""
        taught, outputs = (self._neighbours(seen.embedding) for seen in (teacher, student))
        # Of both at once: their own logarithms are large, and differ by little.
        ratio = tf.math.log((taught + self.epsilon) / (outputs + self.epsilon))
        return tf.reduce_mean(taught * ratio)

    def _neighbours(self, embedding):
        rows = embedding / (norm(embedding) + self.epsilon)
        similarities = (tf.matmul(rows, rows, transpose_b=True) + 1) / 2
        return similarities / tf.reduce_sum(similarities, 1, keepdims=True)
