"""What all sources of images share: size, memory, and one array of many images.

NumPy is loaded by what needs it: the command line reads this module.
"""

import math
import os

from skt_tf.utils.errors import UserError, option
from skt_tf.utils.fields import Limits

# Mirrored digits are other signs, or none.
MIRRORED = ("cifar10", "cifar100")
CROPS = ("pad", "none", "resized")
# What images of 16 bits may use of them.
BITS = Limits(8, 16)


def plain_name(dataset):
    """The name of a dataset without configuration and version."""
    return dataset.split(":")[0].split("/")[0]


def is_mirrored(dataset):
    """Whether a mirrored image keeps its meaning, by the dataset's name as TFDS takes it."""
    return plain_name(dataset).lower() in MIRRORED


def mirrored_by_default(name, crop):
    """Whether training images of the dataset `name` are mirrored where nothing says so.

    Those of CIFAR are, as in the papers, and so are random resized crops, which are meant for
    photographs.
    """
    return is_mirrored(name) or crop == "resized"


def image_size(text):
    """`"32"` → (32, 32), `"32x48"` → (32, 48), None → None."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def resized(image, size):
    """An image [height, width, channels] of uint8, brought to `size` (height, width).

    The whole image is squeezed into the new size, by Pillow's bilinear filter, which averages
    over the pixels that fall together.
    """
    import numpy as np
    from PIL import Image

    if image.shape[:2] == tuple(size):
        return image
    # Filtered one by one; three at once come out the same, and sooner.
    together = 3 if image.shape[2] == 3 else 1
    parts = [
        Image.fromarray(np.ascontiguousarray(image if together == 3 else image[..., k]))
        for k in range(0, image.shape[2], together)
    ]
    parts = [np.asarray(part.resize(size[::-1], Image.Resampling.BILINEAR)) for part in parts]
    return parts[0] if together == 3 else np.stack(parts, axis=-1)


def gather(images, number, size, where):
    """One array [number, height, width, channels] of images read one after the other.

    Args:
        images: an iterable of `number` arrays [height, width, channels], uint8.
        number: how many there are.
        size: (height, width) to bring them to; None where all have one size.
        where: what errors call them.

    Raises:
        ValueError: images of several sizes and no `size`, or more than memory holds.
    """
    import numpy as np

    found = None
    for k, image in enumerate(images):
        if found is None:
            shape = (*(size or image.shape[:2]), image.shape[2])
            _check_memory(number, shape, where)
            found = np.empty((number, *shape), np.uint8)
        image = image if size is None else resized(image, size)
        if image.shape != found.shape[1:]:
            raise UserError(several_sizes(where, found.shape[1:], image.shape))
        found[k] = image
    return found


def held_out_name(test_name):
    """What training images that are set aside are called, where test images are `test_name`."""
    return "validation" if test_name == "test" else "held-out"


def several_sizes(where, *shapes):
    """The sentence that refuses images of two shapes where there must be one."""
    return (
        f"{where} has images of shapes {' and '.join(map(str, shapes))}: give "
        f"{option('image_size')}, such as 32 or 32x48, to bring all to one"
    )


def spread(total, number):
    """Indices of up to `number` of `total` images, evenly spread over all of them."""
    import numpy as np

    return np.linspace(0, total - 1, min(number, total)).round().astype(int)


def check_labels(labels, name, classes, called="classes"):
    """Refuses labels, an array called `name`, that are no class numbers below `classes`."""
    if labels.dtype.kind not in "iu":
        raise UserError(
            f"{name} of dtype {labels.dtype}: expected one class number for each image, integers"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"{name} from {labels.min()} to {labels.max()}: expected 0 to {classes - 1}, for "
            f"{classes} {called}"
        )


def check_part(images, labels, side, classes):
    """Refuses images and labels of a part of a dataset, such as "train", that are none."""
    if images.ndim != 4 or images.dtype != "uint8":
        raise UserError(
            f"{side}_images have shape {images.shape} and dtype {images.dtype}: expected "
            "[number, height, width, channels], uint8"
        )
    if not images.size:
        raise UserError(f"{side}_images have shape {images.shape}: expected one image or more")
    if labels.shape != (len(images),):
        raise UserError(
            f"{side}_labels have shape {labels.shape}: expected one integer for each of the "
            f"{len(images)} images"
        )
    check_labels(labels, f"{side}_labels are", classes)


def _check_memory(number, shape, where):
    needed = number * math.prod(shape)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there / 2:  # Beside them lie the copy that batches are taken from, and networks.
        raise UserError(
            f"{where} has {number:,} images of shape {shape}, {needed / 1e9:,.0f} GB, and this "
            f"machine has {there / 1e9:,.0f} GB of memory: let them stream, or give a smaller "
            + option("image_size")
        )
