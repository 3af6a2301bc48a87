"""Where images come from, and whether they are held in memory, or stream.

Those that stream are read from the disk in the order of the batches.
"""

import math
import numbers
import os
import pathlib
import re

import numpy as np

from skt_tf.data.identity import Origin
from skt_tf.data.image_folders import ImageFolder
from skt_tf.data.images import resized
from skt_tf.data.lazy_images import Held, LazyImages
from skt_tf.data.tfds import Prepared
from skt_tf.utils.errors import UserError, option

# Images that need more than this share of the memory that is free are not held there: the batches
# are taken from a second copy of them, and the networks want the last third.
SHARE = 1 / 3
# The limit of a container's memory, what it has taken, and of what kinds, by control groups.
_CONTAINERS = (
    [f"/sys/fs/cgroup/memory.{name}" for name in ("max", "current", "stat")],
    [
        f"/sys/fs/cgroup/memory/memory.{name}"
        for name in ("limit_in_bytes", "usage_in_bytes", "stat")
    ],
)


def find(name, data_dir, size, bits, crop, stream):
    """The images of a name; the arguments are those of `load_dataset`, and so are the errors.

    Returns:
        ((images, labels), (images, labels)) of training and test, arrays or `LazyImages`; the
        names of the classes; the `Origin`, or None; and what the test images are called.
    """
    size = None if size is None else _checked_size(size)
    folder = _checked_folder(data_dir) if data_dir else None
    if crop == "resized" and size is None:
        raise UserError(
            f"{option('crop')}=resized needs {option('image_size')}, the pixels of a crop, such as "
            "224"
        )
    if not isinstance(stream, bool | None):
        raise UserError(f"stream={stream!r}: expected True, False or None")
    if name == "digits":
        if stream:
            raise UserError(
                f"{option('stream')}: digits are built in and lie in memory, so leave it out"
            )
        return *_digits(size, crop), None, "test"
    if name != "folder":
        source = Prepared(name, folder)
    elif folder is None:
        raise UserError(
            f"the dataset 'folder' needs {option('data_dir')}, the folder of train/<class>/… "
            "and test/<class>/…"
        )
    else:
        source = ImageFolder(folder, bits)
    parts = _read(source, size, crop == "resized", stream)
    origin = Origin(source, size, crop == "resized")
    return parts, source.class_names, origin, source.test_name


def _read(source, size, resized, stream):
    """((images, labels), (images, labels)) of a source, in memory or not."""
    stream, why = _decided(source.bytes(size, resized), stream)
    if stream:
        print(f"{source.where}: {len(source):,} images stream from the disk, {why}")
    if not stream and not resized:
        return source.in_memory(size)
    parts = source.streamed(size, resized)
    if stream:
        return parts
    # As they are, of any sizes, since each crop is of another part of them.
    return tuple((images.in_memory(), labels) for images, labels in parts)


def _digits(size, crop):
    """(((images, labels), (images, labels)) of training and test, names of the classes).

    1,797 digits of 8×8 grey pixels in a fixed, stratified split.
    """
    from sklearn import datasets, model_selection

    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    if size is not None and crop != "resized":
        images = np.stack([resized(image, size) for image in images])
    train, tested, train_labels, test_labels = model_selection.train_test_split(
        images, bunch.target, test_size=360, random_state=0, stratify=bunch.target
    )
    if crop == "resized":
        held = (Held(some, some.shape[1:], "digits") for some in (train, tested))
        train, tested = (LazyImages(some, None, size, True) for some in held)
    names = [str(digit) for digit in range(10)]
    return ((train, train_labels), (tested, test_labels)), names


def _decided(needed, stream):
    """(whether images of so many bytes stream, why); None bytes: nothing tells how many."""
    if stream is not None:
        return stream, f"as {option('stream')} says"
    if needed is None:
        return True, "since they may be of several sizes"
    free = free_memory()
    return needed > SHARE * free, (
        f"since they need {needed / 1e9:.2g} GB, more than a third of the {free / 1e9:.2g} GB of "
        "memory that are free"
    )


def free_memory():
    """Bytes that processes can still take, of the machine and of the container that they are in."""
    try:
        said = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
        free = 1024 * int(re.search(r"MemAvailable:\s+(\d+) kB", said)[1])
    except (OSError, TypeError):  # Not on macOS.
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(free, *map(_left, _CONTAINERS))


def _left(names):
    """Bytes that a container leaves, by its files `names`; infinite where it sets no limit."""
    try:
        limit, used, kinds = (pathlib.Path(name).read_text(encoding="ascii") for name in names)
        # What is kept of files that were read is given up when memory is needed.
        cache = re.search(r"^(?:total_)?inactive_file (\d+)", kinds, re.MULTILINE)
        return max(0, int(limit) - int(used) + int(cache[1]))
    except (OSError, ValueError, TypeError):
        return math.inf


def _checked_folder(given):
    if not isinstance(given, str | os.PathLike):
        raise UserError(f"data_dir={given!r} is no path: expected one, or None")
    folder = pathlib.Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{option('data_dir')}={given} does not exist: expected a folder of datasets"
        )
    return folder


def _checked_size(given):
    """(height, width) of one number for both, or of two."""
    size = (given, given) if isinstance(given, numbers.Integral) else given
    if not (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(s, numbers.Integral) and s >= 1 for s in size)
    ):
        raise UserError(
            f"image_size={given!r}: expected pixels, one number for both sides, or (height, width)"
        )
    return tuple(map(int, size))
