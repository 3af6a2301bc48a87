"""A hint as other code gives it, beside other losses: Romero et al., *FitNets*, ICLR 2015."""

import keras
import tensorflow as tf

from skt_tf.methods.heads import batch_norm, convolution
from skt_tf.methods.numerics import squared_errors
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_channels, check_pairs, check_sizes, pooled_alike


class FitNet(Objective):
    """mean (r(Fˢ) − Fᵗ)² over a map [height, width, channels] in the middle of the network.

    r is a 1×1 convolution to the teacher's channels, batch normalisation and ReLU, trained beside
    the student. Of two sizes the larger map is average-pooled to the smaller; RepDistiller has
    convolutions with strides there. The paper has a stage of its own for the hint, half the sum of
    the squares and no batch normalisation in r, as the stage `hint` does.

    Args:
        regressor: whether there is an r; without, both networks need the same channels.
        epsilon: ε of the batch normalisation.
    """

    looks_at = ("maps",)
    sections = slice(1, 2)
    weight = 100.0

    def __init__(self, regressor=True, epsilon=1e-5):
        self.regressor, self.epsilon = regressor, epsilon

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student)
        check_sizes(self.name, teacher, student)
        self.heads = []
        if not self.regressor:
            check_channels(self.name, teacher, student, "leave regressor at True")
            return
        for k, (taught, maps) in enumerate(zip(teacher.maps, student.maps), start=1):
            head = keras.Sequential(
                [
                    convolution(taught[-1], 1, f"fitnet{k}_conv", bias=True),
                    batch_norm(f"fitnet{k}_norm", self.epsilon),
                    keras.layers.ReLU(dtype="float32", name=f"fitnet{k}_relu"),
                ],
                name=f"fitnet{k}",
            )
            head.build((None, *maps))
            self.heads.append(head)

    def loss(self, teacher, student, batch):
        """[batch], of maps; several points are summed."""
        losses = []
        for k, (taught, maps) in enumerate(zip(teacher.maps, student.maps)):
            taught, maps = pooled_alike(taught, maps)
            if self.regressor:
                maps = self.heads[k](maps, training=True)
            losses.append(tf.reduce_mean(squared_errors(maps, taught), 1))
        return tf.add_n(losses)
