"""Multi-level logit distillation: Jin, Wang, Lin, CVPR 2023."""

import tensorflow as tf

from skt_tf.methods.numerics import check_temperature, divergence, standardized
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_classes
from skt_tf.utils.errors import UserError

_TERMS = ("kd", "class", "batch")


class MLKD(Objective):
    """Softened outputs of two views, and relations between classes and between images.

    With P = softmax(z / τ), [batch, classes], for each τ: KD = τ² KL(Pᵗ ‖ Pˢ), averaged over the
    batch; class = ‖PˢᵀPˢ − PᵗᵀPᵗ‖²_F / classes; batch = ‖PˢPˢᵀ − PᵗPᵗᵀ‖²_F / batch. The loss is
    m Σ_τ KD(weak) + Σ_τ KD(strong) + c Σ_τ class(weak) + m Σ_τ batch(weak).

    m is the share of images of which the teacher is at most as sure as of their median, and c that
    of classes whose summed probability is at most their median. In the paper both choose what is
    compared; as its authors' code multiplies what has been averaged already, they only scale, by
    about one half, and that is done here. Also as there, `weak_temperatures` of the strong term
    look at the weak view. The recipe's cross-entropy of the strong view with the labels is a part
    of the loss; that of the weak view is `task*0.1`.

    Args:
        temperatures: each τ.
        weak_temperatures: of them those whose strong term takes the weak view; none is the paper.
        terms: those of the loss, of `"kd"`, `"class"` and `"batch"`; without `"kd"` one view does.
        masked: whether to scale by m and c; False: they are 1.
        standardized: whether logits are standardised in KD, as in `logit_std_kd`; class and batch
            take them as they are.
        cross_entropy: factor of the strong view's cross-entropy; with the recipe's weight it is
            that of 0.1. Without a second view there is none.
    """

    looks_at = ("logits",)
    weight = 0.9
    compares_images = True

    def __init__(
        self,
        temperatures=(4.0, 3.0, 5.0, 2.0, 6.0),
        weak_temperatures=(2.0, 6.0),
        terms=_TERMS,
        masked=True,
        standardized=False,
        cross_entropy=1 / 9,
    ):
        check_temperature(*temperatures)
        if not terms or not set(terms) <= set(_TERMS):
            raise UserError(f"terms {', '.join(terms)}: expected some of {', '.join(_TERMS)}")
        self.temperatures, self.weak_temperatures = tuple(temperatures), tuple(weak_temperatures)
        self.terms, self.masked, self.standardized = tuple(terms), masked, standardized
        self.cross_entropy = cross_entropy
        self.views = 2 if "kd" in self.terms else 1
        self.labels = self.views == 2 and cross_entropy != 0

    def build(self, teacher, student, number=None):
        check_classes(self.name, teacher, student, self.standardized)

    def loss(self, teacher, student, batch):
        """A scalar, of the logits of one view or two."""
        weak = strong = teacher.logits, student.logits
        if self.views == 2:
            strong = tuple(seen.logits for seen in batch.second)
        sure = tf.nn.softmax(teacher.logits)
        images = _share_up_to_median(tf.reduce_max(sure, 1)) if self.masked else 1.0
        classes = _share_up_to_median(tf.reduce_sum(sure, 0)) if self.masked else 1.0
        first, second = weak, strong
        if self.standardized:
            first, second = (tuple(map(standardized, logits)) for logits in (weak, strong))
        found = []
        for temperature in self.temperatures:
            views = first, first if temperature in self.weak_temperatures else second
            taught, outputs = (tf.nn.softmax(logits / temperature) for logits in weak)
            if "kd" in self.terms:
                kd = [tf.reduce_mean(divergence(*logits, temperature)) for logits in views]
                found.append(images * kd[0] + kd[1])
            if "class" in self.terms:
                found.append(classes * _relations(tf.transpose(taught), tf.transpose(outputs)))
            if "batch" in self.terms:
                found.append(images * _relations(taught, outputs))
        if self.labels:
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.labels, strong[1])
            found.append(self.cross_entropy * tf.reduce_mean(entropy))
        return tf.add_n(found)


def _relations(teacher, student):
    """‖A Aᵀ − B Bᵀ‖²_F over the number of rows."""
    products = (tf.matmul(rows, rows, transpose_b=True) for rows in (student, teacher))
    return tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(*products), 1))


def _share_up_to_median(values):
    """The share of `values`, [number], that is at most their median."""
    order, number = tf.sort(values), tf.size(values)
    median = (order[(number - 1) // 2] + order[number // 2]) / 2
    return tf.reduce_mean(tf.cast(values <= median, tf.float32))
