"""`--crop=resized`: the crops that networks of photographs are trained and tested on.

Training: a random resized crop (Szegedy et al., *Going deeper with convolutions*, 2015, section 6,
in the form that torchvision's RandomResizedCrop gave it). Testing: the middle of the image.
"""

import math

import numpy as np

from skt_tf.data.images import resized

# Of the image's area, and width to height of the crop.
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
TRIES = 10
# Numbers that an image's crop is drawn from: an area and a ratio a try, top, left, mirrored.
DRAWS = 2 * TRIES + 3
# The shorter side of a test image before it is cropped, for 224 pixels.
_BEFORE = (256, 224)


def cropped(image, size, bits, mirrored):
    """A random crop of an image, brought to one size.

    Args:
        image: [height, width, channels], uint8.
        size: (height, width) of the result.
        bits: [`DRAWS`], uint32: what decides it.
        mirrored: whether half of all crops are mirrored.

    Returns:
        [*size, channels], uint8; by Pillow's bilinear filter, which averages where it shrinks.
    """
    top, left, height, width = box(*image.shape[:2], bits[:-1] / 2**32)
    found = resized(image[top : top + height, left : left + width], size)
    return found[:, ::-1] if mirrored and bits[-1] % 2 else found


def box(height, width, draws):
    """(top, left, height, width) of a random crop, in pixels of an image of that size.

    Area and logarithm of the ratio are drawn evenly until the crop fits into the image, ten times;
    then it is the middle of the image, as much of it as the ratio allows.

    Args:
        draws: [2 · `TRIES` + 2], floats in [0, 1).
    """
    lowest, highest = map(math.log, RATIO)
    for area, ratio in draws[: 2 * TRIES].reshape(TRIES, 2):
        pixels = height * width * (AREA[0] + (AREA[1] - AREA[0]) * area)
        ratio = math.exp(lowest + (highest - lowest) * ratio)
        h, w = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(draws[-2] * (height - h + 1)), int(draws[-1] * (width - w + 1)), h, w
    h = min(height, max(1, round(width / RATIO[0])))
    w = min(width, max(1, round(height * RATIO[1])))
    return (height - h) // 2, (width - w) // 2, h, w


def middle(image, size):
    """The middle of an image, [*size, channels]: what is tested on.

    The image is brought to the smallest size that has 256/224 of `size` on both sides, so that a
    square of 224 is cropped out of an image whose shorter side is 256.

    Args:
        image: [height, width, channels], uint8.
        size: (height, width).
    """
    height, width = image.shape[:2]
    h, w = (round(side * _BEFORE[0] / _BEFORE[1]) for side in size)
    if h * width >= w * height:  # In whole numbers, where rounding could cut a pixel off.
        w = h * width // height
    else:
        h = w * height // width
    found = resized(image, (h, w))
    top, left = round((h - size[0]) / 2), round((w - size[1]) / 2)
    return np.ascontiguousarray(found[top : top + size[0], left : left + size[1]])
