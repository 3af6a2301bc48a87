"""Residual networks of depth 6n+2 whose flow points carry names.

He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, section 4.2.
"""

import random

import keras
import numpy as np
from keras import layers

from skt_tf.models.architectures import residual
from skt_tf.models.nested import layers_by_path
from skt_tf.models.points import SECTIONS, check_depth
from skt_tf.utils.errors import UserError


def check_shapes(num_classes, input_shape, normalization):
    """Raises a ValueError where no network can be built for these images and classes."""
    if (
        len(input_shape) != 3
        or None in input_shape
        or min(input_shape) < 1
        or min(input_shape[:2]) < 4
    ):
        raise UserError(
            f"input_shape {tuple(input_shape)} cannot be halved twice: expected "
            "(height, width, channels) with height and width of 4 or more"
        )
    if num_classes < 2:
        raise UserError(f"expected num_classes ≥ 2, received {num_classes}")
    if normalization is None:
        return
    channels = input_shape[-1]
    try:
        mean, variance = (np.asarray(part, np.float64) for part in normalization)
        fits = {mean.shape, variance.shape} <= {(), (1,), (channels,)} and (variance >= 0).all()
        fits = fits and np.isfinite(mean).all() and np.isfinite(variance).all()
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise UserError(
            "normalization is not (mean, variance): expected finite numbers, one for all channels "
            f"or one for each of the {channels} channels"
        )


def standardized(input_shape, normalization):
    """A symbolic input of images, and what the first layer takes: the same, or standardised."""
    images = keras.Input(input_shape, name="images")
    if normalization is None:
        return images, images
    # Keras takes two numbers or two lists, and no mixture.
    mean, variance = (part.tolist() for part in np.broadcast_arrays(*normalization))
    # In float32 under any precision: grey levels need more than bfloat16's 8 bits.
    options = {"dtype": "float32", "name": "standardization"}
    return images, layers.Normalization(mean=mean, variance=variance, **options)(images)


def batch_norm(x, name):
    """`x` behind the batch normalisation that is called `<name>_norm`."""
    # A running average over about ten batches, so that runs of a few hundred steps end with
    # statistics of their own weights (Keras' 0.99 is over 100). PyTorch's 0.1 is the same.
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, synchronized=True, name=f"{name}_norm"
    )(x)


def blocks(shape):
    """(place, channels, strides, name of the inner activation, of the end) of each block.

    Every layer is named, by section and block: Keras' own names count what a process has built.

    Args:
        shape: an `Architecture`.
    """
    for section in range(1, SECTIONS + 1):
        for block in range(1, shape.blocks + 1):
            place = f"s{section}b{block}"
            # The middle is what there is after n of a section's 2n convolutions.
            inner_name = f"m{section}" if 2 * block == shape.blocks + 1 else f"{place}_inner"
            end_name = f"m{section}" if 2 * block == shape.blocks else f"{place}_end"
            if block == shape.blocks:
                end_name = f"p{section}"
            strides = 2 if section > 1 and block == 1 else 1
            yield place, shape.channels[section], strides, inner_name, end_name


def resnet(
    depth,
    num_classes,
    input_shape=(32, 32, 3),
    width=16,
    *,
    normalization=None,
    seed=None,
    name=None,
):
    """Builds a CIFAR residual network [He et al. 2016] with named flow points.

    A 3×3 stem, three sections of n = (depth − 2) / 6 basic blocks with `width`,
    2·`width` and 4·`width` channels on full, half and quarter size maps, global
    average pooling and one dense layer. Shortcuts have no parameters (option A of
    the paper: subsampling and zero channels). Only built-in Keras layers are used,
    so a saved network loads without this package.

    The layers at the flow points are named `p0` (output of the stem), `m1`, `p1`,
    `m2`, `p2`, `m3`, `p3` (middle and end of each section); the middle of a section
    is the activation after n of its 2n convolutions.

    Args:
        depth: number of weighted layers, 6n+2: 8, 14, 20, 26, 32, …
        num_classes: number of logits.
        input_shape: (height, width, channels), height and width ≥ 4.
        width: channels of the first section.
        normalization: None, or (mean, variance) of each input channel or of all. The network
            then takes raw images and standardises them itself.
        seed: integer that fixes the initial weights, or None for random ones.
        name: name of the model; `resnet<depth>` by default.

    Returns:
        A functional `keras.Model` from images [batch, height, width, channels] to
        logits [batch, num_classes], float32.

    Raises:
        ValueError: a depth that is not 6n+2, or a size that cannot be halved twice.

    Example:
        >>> resnet(8, 10).get_layer("p3").output.shape
        (None, 8, 8, 64)
    """
    check_depth(depth)
    if num_classes < 2 or width < 1:
        raise UserError(
            f"expected num_classes ≥ 2 and width ≥ 1, received {num_classes} and {width}"
        )
    check_shapes(num_classes, input_shape, normalization)
    # Initialisers of the same seed draw the same numbers: each layer gets its own.
    seeds = random.Random(seed)

    def he_normal():
        return keras.initializers.HeNormal(seed=seeds.getrandbits(31))

    def convolution(x, channels, name, strides=1):
        x = layers.Conv2D(
            channels,
            3,
            strides,
            "same",
            use_bias=False,
            kernel_initializer=he_normal(),
            name=f"{name}_conv",
        )(x)
        return batch_norm(x, name)

    def shortcut(x, channels, name, strides):
        if strides > 1:
            x = layers.MaxPooling2D(pool_size=1, strides=strides, name=f"{name}_subsample")(x)
        if missing := channels - x.shape[-1]:
            # Declared channels-first, the layer pads the last axis: the channels.
            x = layers.ZeroPadding2D(
                ((0, 0), (missing // 2, missing - missing // 2)),
                data_format="channels_first",
                name=f"{name}_pad",
            )(x)
        return x

    images, x = standardized(input_shape, normalization)
    x = layers.ReLU(name="p0")(convolution(x, width, "stem"))
    for place, channels, strides, inner_name, end_name in blocks(residual(depth, width)):
        inner = convolution(x, channels, f"{place}_1", strides)
        inner = layers.ReLU(name=inner_name)(inner)
        inner = convolution(inner, channels, f"{place}_2")
        x = shortcut(x, channels, place, strides)
        x = layers.Add(name=f"{place}_add")([inner, x])
        x = layers.ReLU(name=end_name)(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    # Logits in float32 under any precision: softmax of bfloat16 loses small differences.
    logits = layers.Dense(
        num_classes, kernel_initializer=he_normal(), dtype="float32", name="logits"
    )(x)
    return keras.Model(images, logits, name=name or f"resnet{depth}")


def resnet_for(dataset, depth, width=16, seed=None):
    """A `resnet` for the images of a `Dataset`, which standardises them itself."""
    return resnet(
        depth,
        dataset.num_classes,
        dataset.image_shape,
        width,
        normalization=(dataset.mean.tolist(), dataset.variance.tolist()),
        seed=seed,
    )


def weighted_layers(network):
    """Weighted layers, those of inner models too: what the 6n+2 of a residual network counts."""
    weighted = (keras.layers.Conv2D, keras.layers.Dense)
    return sum(isinstance(layer, weighted) for layer in {*layers_by_path(network).values()})
