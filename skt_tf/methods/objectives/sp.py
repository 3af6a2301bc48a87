"""Similarity-preserving distillation: Tung and Mori, ICCV 2019, arXiv 1907.09682."""

import tensorflow as tf

from skt_tf.methods.numerics import normalized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_pairs


class SP(Objective):
    """‖Gᵗ − Gˢ‖²_F / batch²: which images of a batch are alike.

    G = F Fᵀ, [batch, batch], of maps flattened to F [batch, height · width · channels], each row
    divided by its norm. Maps may differ in size and channels. The recipe takes the last section.
    """

    looks_at = ("maps",)
    sections = slice(-1, None)
    weight = 3000.0
    compares_images = True

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student)

    def loss(self, teacher, student, batch):
        """A scalar, of maps; several points are summed."""
        errors = [
            tf.math.squared_difference(_similarities(taught), _similarities(maps))
            for taught, maps in zip(teacher.maps, student.maps)
        ]
        return tf.add_n([tf.reduce_mean(error) for error in errors])


def _similarities(maps):
    rows = tf.reshape(maps, [-1, maps.shape[1] * maps.shape[2] * maps.shape[3]])
    return normalized(tf.matmul(rows, rows, transpose_b=True))
