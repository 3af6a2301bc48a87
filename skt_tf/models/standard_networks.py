"""The networks of the field's standard protocol on CIFAR-100, as its papers train them.

As HobbitLong/RepDistiller and megvii-research/mdistiller have them. [ResNet] He et al., *Deep
Residual Learning for Image Recognition*, CVPR 2016; [WRN] Zagoruyko and Komodakis, *Wide Residual
Networks*, BMVC 2016. They differ from `skt_tf.resnet`, the networks of this project's papers, in
their shortcuts: where maps become smaller or channels more, 1×1 convolutions.
"""

import random

import keras
from keras import layers

from skt_tf.models.architectures import STANDARD
from skt_tf.models.resnet import batch_norm, blocks, check_shapes, standardized
from skt_tf.utils.errors import UserError, unknown


def standard_network(name, num_classes, input_shape=(32, 32, 3), *, normalization=None, seed=None):
    """Builds a network of the field's standard protocol, with named flow points.

    `resnet56` and `resnet20` have 16, 32 and 64 channels behind a stem of 16, `resnet32x4` and
    `resnet8x4` 64, 128 and 256 behind one of 32; batch normalisation and ReLU follow the
    convolutions, the last ReLU of a block the sum. `wrn_40_2` and `wrn_16_2` have 32, 64 and 128
    behind 16, and normalise and rectify before the convolutions, and once more behind the last
    section. The first block of a section that changes the maps' shape has a 1×1 convolution as its
    shortcut, with batch normalisation in `resnet…`, of the rectified maps in `wrn_…`. Only built-in
    Keras layers are used.

    The layers at the flow points are named as those of `skt_tf.resnet`: `p0` is the stem's output,
    `p1` to `p3` and `m1` to `m3` the ends and middles of the sections; in `wrn_…` these are raw,
    before batch normalisation and ReLU.

    Args:
        name: one of `skt_tf.models.architectures.STANDARD`.
        num_classes: number of logits.
        input_shape: (height, width, channels), height and width ≥ 4.
        normalization: None, or (mean, variance) of each input channel or of all. The network
            then takes raw images and standardises them itself.
        seed: integer that fixes the initial weights, or None for random ones.

    Returns:
        A functional `keras.Model` from images [batch, height, width, channels] to logits
        [batch, num_classes], float32.

    Raises:
        ValueError: an unknown name, or a size that cannot be halved twice.

    Example:
        >>> standard_network("wrn_16_2", 100).get_layer("p3").output.shape
        (None, 8, 8, 128)
    """
    if name not in STANDARD:
        raise UserError(unknown(f"the network '{name}'", name, STANDARD))
    check_shapes(num_classes, input_shape, normalization)
    made = _Layers(seed)
    images, x = standardized(input_shape, normalization)
    shape = STANDARD[name]
    x = (_wide if shape.preactivated else _residual)(made, shape, x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    logits = made.classifier(x, num_classes, zeros=shape.preactivated)
    return keras.Model(images, logits, name=name)


def _residual(made, shape, x):
    x = made.convolution(x, shape.channels[0], "stem")
    x = layers.ReLU(name="p0")(batch_norm(x, "stem"))
    for place, channels, strides, inner_name, end_name in blocks(shape):
        inner = made.convolution(x, channels, f"{place}_1", strides)
        inner = layers.ReLU(name=inner_name)(batch_norm(inner, f"{place}_1"))
        inner = batch_norm(made.convolution(inner, channels, f"{place}_2"), f"{place}_2")
        if strides > 1 or x.shape[-1] != channels:
            x = made.convolution(x, channels, f"{place}_shortcut", strides, size=1)
            x = batch_norm(x, f"{place}_shortcut")
        x = layers.Add(name=f"{place}_add")([inner, x])
        x = layers.ReLU(name=end_name)(x)
    return x


def _wide(made, shape, x):
    x = made.convolution(x, shape.channels[0], "stem")
    # A layer of its own: a frozen teacher's batch normalisation is folded into the convolution.
    x = layers.Identity(name="p0")(x)
    for place, channels, strides, inner_name, end_name in blocks(shape):
        rectified = layers.ReLU(name=f"{place}_start")(batch_norm(x, f"{place}_1"))
        if x.shape[-1] != channels:
            x = made.convolution(rectified, channels, f"{place}_shortcut", strides, size=1)
        inner = made.convolution(rectified, channels, f"{place}_1", strides)
        inner = layers.ReLU(name=inner_name)(batch_norm(inner, f"{place}_2"))
        inner = made.convolution(inner, channels, f"{place}_2")
        x = layers.Add(name=end_name)([inner, x])
    return layers.ReLU(name="end")(batch_norm(x, "end"))


class _Layers:
    """Weighted layers as PyTorch makes them in those repositories."""

    def __init__(self, seed):
        # Initialisers of the same seed draw the same numbers: each layer gets its own.
        self._seeds = random.Random(seed)

    def _seed(self):
        return self._seeds.getrandbits(31)

    def convolution(self, x, channels, name, strides=1, size=3):
        padding = "same"
        if strides > 1:
            # Centred at every other pixel from the first, as the shortcut; Keras pads behind alone.
            padding = "valid"
            if size > 1:
                x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
        return layers.Conv2D(
            channels,
            size,
            strides,
            padding,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal", seed=self._seed()
            ),
            name=f"{name}_conv",
        )(x)

    def classifier(self, x, num_classes, zeros):
        """The logits; its bias starts with `zeros`, or as PyTorch leaves it."""
        bound = x.shape[-1] ** -0.5
        bias = keras.initializers.RandomUniform(-bound, bound, seed=self._seed())
        # Logits in float32 under any precision: softmax of bfloat16 loses small differences.
        return layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.RandomUniform(-bound, bound, seed=self._seed()),
            bias_initializer="zeros" if zeros else bias,
            dtype="float32",
            name="logits",
        )(x)
