"""Relational knowledge distillation: Park et al., CVPR 2019, arXiv 1904.05068."""

import tensorflow as tf

from skt_tf.methods.numerics import norm, normalized
from skt_tf.methods.objective import Objective


class RKD(Objective):
    """w_d L_d + w_a L_a: distances between the embeddings of a batch, and angles.

    L_d = mean h(dˢ − dᵗ) over all pairs, of distances d [batch, batch] divided by the mean of those
    between different images, in each network by its own. L_a = mean h(aˢ − aᵗ) over all triples, of
    the cosine a_ijk of the angle at image i between j and k. h(x) = x² / 2 for |x| < 1, else
    |x| − ½. Embeddings may differ in width. The means run over pairs and triples of an image with
    itself too, as in its authors' code; the paper's sums are over different images.

    Args:
        distance_weight: w_d.
        angle_weight: w_a.
    """

    looks_at = ("embedding",)
    weight = 1.0
    compares_images = True

    def __init__(self, distance_weight=25.0, angle_weight=50.0):
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def loss(self, teacher, student, batch):
        """A scalar, of embeddings; that of a batch of one image is zero."""
        # [batch, batch, features]: at [i, j] fⱼ − fᵢ.
        taught, outputs = (
            seen.embedding[None] - seen.embedding[:, None] for seen in (teacher, student)
        )
        loss = 0.0
        if self.distance_weight:
            loss += self.distance_weight * _difference(_distances(taught), _distances(outputs))
        if self.angle_weight:
            loss += self.angle_weight * _difference(_cosines(taught), _cosines(outputs))
        return tf.convert_to_tensor(loss)


def _distances(differences):
    """[batch, batch], divided by the mean between different images; at least 10⁻⁶ before."""
    others = 1 - tf.eye(tf.shape(differences)[0])
    distances = others * tf.maximum(norm(differences)[..., 0], 1e-6)
    mean = tf.math.divide_no_nan(tf.reduce_sum(distances), tf.reduce_sum(others))
    return tf.math.divide_no_nan(distances, mean)


def _cosines(differences):
    """[batch, batch, batch]: at [i, j, k] the cosine of the angle at i."""
    directions = normalized(differences)
    return tf.matmul(directions, directions, transpose_b=True)


def _difference(first, second):
    """The mean of h."""
    error = first - second
    # h(x) = c (x − c/2) with x limited to c = −1 … 1: few passes over all triples.
    limited = tf.clip_by_value(error, -1.0, 1.0)
    return tf.reduce_mean(limited * (error - limited / 2))
