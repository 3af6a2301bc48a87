"""What the networks that are built here consist of, by name or by depth, without TensorFlow."""

import dataclasses

# Those of `skt_tf.resnet`, where nothing else is asked for.
WIDTH = 16


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A stem and three sections of blocks of two 3×3 convolutions.

    Attributes:
        depth: the layers in its name.
        blocks: of each section.
        channels: of the stem and of each section.
        preactivated: whether batch normalisation and ReLU come before each convolution [WRN],
            not behind it.
    """

    depth: int
    blocks: int
    channels: tuple
    preactivated: bool = False


def residual(depth, stem, width=None):
    """A network of depth 6n+2 with `width`, 2·`width` and 4·`width` channels; those of `stem`."""
    width = width or stem
    return Architecture(depth, (depth - 2) // 6, (stem, width, 2 * width, 4 * width))


def _wide(depth, factor):
    """A wide residual network of depth 6n+4, whose stem alone is not widened."""
    channels = (16, 16 * factor, 32 * factor, 64 * factor)
    return Architecture(depth, (depth - 4) // 6, channels, preactivated=True)


# Those of the field's standard protocol on CIFAR-100.
STANDARD = {
    "resnet56": residual(56, 16),
    "resnet20": residual(20, 16),
    "resnet32x4": residual(32, 32, 64),
    "resnet8x4": residual(8, 32, 64),
    "wrn_40_2": _wide(40, 2),
    "wrn_16_2": _wide(16, 2),
}


def architecture(config, side):
    """The `Architecture` of a `Config`'s teacher or student, as `side` says, if it is built here.

    None of a network that is given by its path.
    """
    if getattr(config, side):
        return None
    name = getattr(config, f"{side}_network")
    return STANDARD[name] if name else residual(getattr(config, f"{side}_depth"), config.width)


def same_channels(config):
    """Whether teacher and student have the same channels; None where one is given by its path."""
    built = [architecture(config, side) for side in ("teacher", "student")]
    return None if None in built else built[0].channels == built[1].channels
