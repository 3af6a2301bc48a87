"""FSP matrices as other code compares them: Yim et al., CVPR 2017.

A stage of flows is this project's way to transfer them, with weights, stems, middles and dense
flows. What is here are flows between the ends of neighbouring sections, to set beside other
objectives and beside the peers.
"""

import itertools

import tensorflow as tf

from skt_tf.methods.fsp import fsp_matrix
from skt_tf.methods.numerics import norm
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_channels, check_pairs, pooled_alike
from skt_tf.utils.errors import UserError

_POOLINGS = ("max", "average")
_REDUCTIONS = ("sum", "mean", "columns")


class FSP(Objective):
    """Σ over flows of ‖Gᵗ − Gˢ‖², of FSP matrices G [first channels, second channels].

    G = F¹ᵀ F² / (height · width) of the maps at the ends of two neighbouring sections; of two sizes
    the larger is pooled to the smaller. The defaults are the paper's: max pooling, and the squared
    error summed over a matrix, which is what flows of weight 1 have. RepDistiller has average
    pooling and the mean over a matrix, its factor 50 never takes effect, for it trains with flows
    alone and then without. torchdistill sums the norms of columns, not squared.

    Args:
        pooling: `"max"` or `"average"`.
        reduction: of the squared error over a matrix, `"sum"` or `"mean"`; `"columns"`: the sum of
            the norms of its columns.
    """

    looks_at = ("maps",)

    def __init__(self, pooling="max", reduction="sum"):
        for name, value, known in (
            ("pooling", pooling, _POOLINGS),
            ("reduction", reduction, _REDUCTIONS),
        ):
            if value not in known:
                raise UserError(f"{name} '{value}' is unknown: expected {' or '.join(known)}")
        self.pooling, self.reduction = pooling, reduction

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student, least=2)
        check_channels(self.name, teacher, student, "take a stage of flows with projections")

    def loss(self, teacher, student, batch):
        """[batch], of maps of two sections or more."""
        matrices = map(self.matrices, (teacher, student))
        return tf.add_n([self._distance(*pair) for pair in zip(*matrices)])

    def matrices(self, seen):
        """The FSP matrices [batch, first channels, second channels] of what is `Seen`."""
        pairs = itertools.pairwise(seen.maps)
        if self.pooling == "average":
            pairs = (pooled_alike(*pair) for pair in pairs)
        return [fsp_matrix(*pair) for pair in pairs]

    def _distance(self, taught, matrix):
        if self.reduction == "columns":
            return tf.reduce_sum(norm(taught - matrix, axis=1), [1, 2])
        reduce = tf.reduce_sum if self.reduction == "sum" else tf.reduce_mean
        return reduce(tf.math.squared_difference(taught, matrix), [1, 2])
