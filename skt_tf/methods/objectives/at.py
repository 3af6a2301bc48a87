"""Attention transfer: Zagoruyko and Komodakis, *Paying More Attention to Attention*, ICLR 2017."""

import tensorflow as tf

from skt_tf.methods.numerics import norm, normalized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_pairs, check_sizes, pooled_alike


class AT(Objective):
    """Σ over points of mean (Qˢ − Qᵗ)² over the places of a map: where it is active.

    A map F [height, width, channels] has the attention A = mean_c F_c^p, [height, width], and
    Q = A / ‖A‖₂ is divided by its norm over all places. Channels may differ; of two sizes the
    larger is average-pooled to the smaller. arXiv 1612.03928.

    The paper has ‖Qˢ − Qᵗ‖₂, not squared; its authors' code, whose weight the recipe is, has the
    mean of the squares.

    Args:
        power: p.
        squared: whether the distance is the mean square of the code, or the norm of the paper, for
            which there is no recipe: its weight is 1.
    """

    looks_at = ("maps",)
    weight = 1000.0

    def __init__(self, power=2, squared=True):
        self.power, self.squared = power, squared
        if not squared:
            self.weight = 1.0

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student)
        check_sizes(self.name, teacher, student)

    def loss(self, teacher, student, batch):
        """[batch], of maps."""
        return tf.add_n([self._distance(*pair) for pair in zip(teacher.maps, student.maps)])

    def _distance(self, taught, maps):
        taught, maps = (self._attention(x) for x in pooled_alike(taught, maps))
        if self.squared:
            return tf.reduce_mean(tf.math.squared_difference(taught, maps), 1)
        return norm(taught - maps)[:, 0]

    def _attention(self, maps):
        attention = tf.reduce_mean(maps**self.power, -1)
        places = attention.shape[1] * attention.shape[2]
        return normalized(tf.reshape(attention, [-1, places]))
