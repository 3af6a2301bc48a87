"""Knowledge review: Chen et al., CVPR 2021, arXiv 2104.09044."""

import keras
import tensorflow as tf

from skt_tf.methods.heads import batch_norm, convolution
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import average_pool_to, check_channels, check_pairs
from skt_tf.utils.errors import UserError

# Channels within the fusion modules: as the student's deepest map has, but no more.
_MOST_CHANNELS = 512


class ReviewKD(Objective):
    """Σ over points of HCL(Rₖ, Fᵗₖ): early maps of the teacher, from the student's later ones too.

    The student's maps go through attention-based fusion, from the deepest to the first: each is
    brought to common channels, joined with what comes from behind, enlarged, by two maps of
    attention, and a 3×3 convolution makes of it Rₖ, of the teacher's size and channels. HCL, the
    hierarchical context loss, is the mean squared error of two maps and, with weights ½, ¼, ⅛, of
    both pooled to each of the smaller `levels`, over the sum of the weights.

    The recipe's weight is that of resnet56 → resnet20; it has 5 for resnet32x4 → resnet8x4 and
    wrn40-2 → wrn16-2; its authors train with Nesterov's momentum. As in their code, the teacher's
    maps are those before the ReLU at its points, in wrn_… behind the batch normalisation that comes
    before it, and the student's are the points themselves.

    Args:
        fused: whether there are fusion modules; without, the maps themselves are compared, which
            then need the same sizes and channels.
        pooled: whether the embedding is a last map, of 1×1.
        levels: sizes that maps are pooled to, where those are smaller.
        epsilon: ε of the batch normalisations.
        rectified: whether the teacher's maps are those behind the ReLU too.
    """

    weight = 0.6
    warmup = 20 / 240  # Its authors' code: min(epoch / 20, 1), of 240.

    def __init__(self, fused=True, pooled=True, levels=(4, 2, 1), epsilon=1e-5, rectified=False):
        self.fused, self.pooled, self.rectified = fused, pooled, rectified
        self.levels, self.epsilon = tuple(levels), epsilon
        self.before_relu = () if rectified else ("teacher",)
        self.looks_at = ("embedding", "maps") if pooled else ("maps",)

    def build(self, teacher, student, number=None):
        taught, maps = (
            [*seen.maps, *([(1, 1, *seen.embedding)] if self.pooled else [])]
            for seen in (teacher, student)
        )
        both = teacher._replace(maps=taught), student._replace(maps=maps)
        check_pairs(self.name, *both)
        self.heads = []
        if not self.fused:
            check_channels(self.name, *both, "leave fused at True")
            if [shape[:2] for shape in taught] != [shape[:2] for shape in maps]:
                raise UserError(
                    f"maps of teacher and student differ in size: '{self.name}' needs the same "
                    "without its fusion modules; leave fused at True"
                )
            return
        channels = min(_MOST_CHANNELS, maps[-1][-1])
        for k, (target, shape) in enumerate(zip(taught, maps), start=1):
            last = k == len(maps)
            head = Fusion(channels, target, not last, self.epsilon, name=f"reviewkd{k}")
            head.build((None, *shape))
            self.heads.append(head)

    def loss(self, teacher, student, batch):
        """[batch], of maps and, where they are pooled, embeddings."""
        taught, maps = (self._maps(seen) for seen in (teacher, student))
        if self.fused:
            behind, reviewed = None, []
            for head, one in zip(reversed(self.heads), reversed(maps)):
                found, behind = head(one, behind, training=True)
                reviewed.insert(0, found)
            maps = reviewed
        return tf.add_n([context_loss(*pair, self.levels) for pair in zip(maps, taught)])

    def _maps(self, seen):
        return [*seen.maps, *([seen.embedding[:, None, None]] if self.pooled else [])]


def context_loss(first, second, levels):
    """HCL of two maps [batch, height, width, channels] of one shape: [batch]."""
    sizes = [tuple(first.shape[1:3])]
    sizes += [(level, level) for level in levels if level < first.shape[1]]
    total = 0.0
    for k, size in enumerate(sizes):
        pair = (average_pool_to(maps, size) for maps in (first, second))
        total += 0.5**k * tf.reduce_mean(tf.math.squared_difference(*pair), [1, 2, 3])
    return total / sum(0.5**k for k in range(len(sizes)))


class Fusion(keras.layers.Layer):
    """A module of attention-based fusion; see `ReviewKD`.

    Args:
        channels: within it, and of what it hands on.
        target: (height, width, channels) of the teacher's map.
        joins: whether something comes from behind.
        epsilon: ε of the batch normalisations.
        name: of the layer.
    """

    def __init__(self, channels, target, joins, epsilon, name):
        super().__init__(name=name, dtype="float32")
        self.channels, self.target = channels, target
        # As in its authors' code, √3 times as far from zero as other heads.
        self.entry = convolution(channels, 1, f"{name}_entry", scale=3**0.5)
        self.entry_norm = batch_norm(f"{name}_entry_norm", epsilon)
        self.exit = convolution(target[-1], 3, f"{name}_exit", scale=3**0.5)
        self.exit_norm = batch_norm(f"{name}_exit_norm", epsilon)
        self.attention = None
        if joins:
            self.attention = convolution(2, 1, f"{name}_attention", bias=True, activation="sigmoid")

    def build(self, input_shape):
        inner = (*input_shape[:-1], self.channels)
        self.entry.build(input_shape)
        self.entry_norm.build(inner)
        if self.attention:
            self.attention.build((*input_shape[:-1], 2 * self.channels))
        self.exit.build(inner)
        self.exit_norm.build((*input_shape[:-1], self.target[-1]))
        self.built = True

    def call(self, maps, behind=None, training=None):
        """(Rₖ, [batch, *target]; what it hands on, [batch, height, width, channels])."""
        maps = self.entry_norm(self.entry(maps), training=training)
        if self.attention:
            behind = _nearest(behind, maps.shape[1:3])
            shares = self.attention(tf.concat([maps, behind], -1))
            maps = maps * shares[..., :1] + behind * shares[..., 1:]
        maps = _nearest(maps, self.target[:2])
        return self.exit_norm(self.exit(maps), training=training), maps


def _nearest(maps, size):
    """Maps at another size, each place from the nearest before it."""
    for axis, (length, wanted) in enumerate(zip(maps.shape[1:3], size), start=1):
        if length != wanted:
            maps = tf.gather(maps, [k * length // wanted for k in range(wanted)], axis=axis)
    return maps
