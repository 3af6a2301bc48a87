"""Inter-channel correlation: Liu et al., ICCV 2021, arXiv 2202.03680."""

import keras
import tensorflow as tf

from skt_tf.methods.heads import batch_norm, convolution
from skt_tf.methods.numerics import normalized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_channels, check_pairs


class ICKD(Objective):
    """‖Gˢ − Gᵗ‖²_F / channels: which channels of a map are active together.

    G = F Fᵀ, [channels, channels], of a map F [channels, height · width], each row divided by its
    norm. The student's map first goes through a 1×1 convolution to the teacher's channels and
    batch normalisation, trained beside it. Sizes may differ. The recipe takes the last section;
    its weight is that of its README, the script beside it has 4.

    A channel of zeros has no gradient here; the peers divide it by 10⁻¹² and get gradients of
    10¹¹. Through the embedding none of the student's channels is zero.

    Args:
        embedding: whether there are convolution and batch normalisation; without, both networks
            need the same channels.
        epsilon: ε of the batch normalisation.
    """

    looks_at = ("maps",)
    sections = slice(-1, None)
    weight = 2.5

    def __init__(self, embedding=True, epsilon=1e-5):
        self.embedding, self.epsilon = embedding, epsilon

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student)
        self.heads = []
        if not self.embedding:
            check_channels(self.name, teacher, student, "leave embedding at True")
            return
        for k, (taught, maps) in enumerate(zip(teacher.maps, student.maps), start=1):
            head = keras.Sequential(
                [
                    convolution(taught[-1], 1, f"ickd{k}_conv"),
                    batch_norm(f"ickd{k}_norm", self.epsilon),
                ],
                name=f"ickd{k}",
            )
            head.build((None, *maps))
            self.heads.append(head)

    def loss(self, teacher, student, batch):
        """[batch], of maps; several points are summed."""
        maps = student.maps
        if self.embedding:
            maps = [head(x, training=True) for head, x in zip(self.heads, maps)]
        losses = []
        for pair in zip(teacher.maps, maps):
            error = tf.math.squared_difference(*map(_correlations, pair))
            losses.append(tf.reduce_mean(tf.reduce_sum(error, 2), 1))
        return tf.add_n(losses)


def _correlations(maps):
    columns = tf.reshape(maps, [-1, maps.shape[1] * maps.shape[2], maps.shape[3]])
    return normalized(tf.matmul(columns, columns, transpose_a=True))
