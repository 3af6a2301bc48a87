"""Neuron selectivity transfer: Huang and Wang, *Like What You Like*, 2017, arXiv 1707.01219."""

import tensorflow as tf

from skt_tf.methods.numerics import normalized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_pairs, check_sizes, pooled_alike


class NST(Objective):
    """Maximum mean discrepancy between the channels of teacher and student, summed over points.

    Channel c of a map, [height · width], divided by its norm, is a sample f_c; with the kernel
    k(a, b) = (a · b)² the loss is mean k(fᵗ_c, fᵗ_d) + mean k(fˢ_c, fˢ_d) − 2 mean k(fˢ_c, fᵗ_d)
    over all pairs of channels of one image. Channels may differ; of two sizes the larger is
    average-pooled to the smaller, as in the peers' code.
    """

    looks_at = ("maps",)
    weight = 50.0

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student)
        check_sizes(self.name, teacher, student)

    def loss(self, teacher, student, batch):
        """[batch], of maps."""
        return tf.add_n([_discrepancy(*pair) for pair in zip(teacher.maps, student.maps)])


def _discrepancy(taught, maps):
    taught, maps = (_selectivity(x) for x in pooled_alike(taught, maps))
    return _kernel(taught, taught) + _kernel(maps, maps) - 2 * _kernel(maps, taught)


def _selectivity(maps):
    places = maps.shape[1] * maps.shape[2]
    return normalized(tf.reshape(maps, [-1, places, maps.shape[3]]), axis=1)


def _kernel(first, second):
    """[batch]: the mean over all pairs of channels."""
    products = tf.matmul(first, second, transpose_a=True)
    return tf.reduce_mean(tf.square(products), [1, 2])
