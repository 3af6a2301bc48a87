"""Mean and variance of images, which networks remove."""

import numpy as np

from skt_tf.data.images import spread
from skt_tf.data.lazy_images import part, slices

# More pixels are not looked at: 21,000 images of 224×224, whose mean is that of all within a
# level. A million of 32×32: small datasets are counted whole, in memory or not.
MOST_PIXELS = 2**30
_AT_ONCE = 64


def grey_levels(images):
    """How often each grey level is met: [channels, 256], int64.

    Args:
        images: [number, height, width, channels], uint8, an array or `LazyImages`. Of those that
            have more than `MOST_PIXELS`, images are taken evenly spread over all.
    """
    number, height, width, channels = images.shape
    most = max(1, MOST_PIXELS // (height * width))
    if number > most:
        images = part(images, spread(number, most))
    counts = np.zeros((channels, 256), np.int64)
    for some in slices(images, _AT_ONCE):
        for channel in range(channels):
            counts[channel] += np.bincount(some[..., channel].ravel(), minlength=256)
    return counts


def mean(counts):
    """Mean of each channel, [channels], float64, in grey levels of 0…255."""
    return (counts @ np.arange(256)) / counts[0].sum()


def variance(counts):
    """Variance of each channel, [channels], float64, in squared grey levels."""
    levels = np.arange(256.0)
    shares = counts / counts[0].sum()
    return shares @ levels**2 - (shares @ levels) ** 2
