"""Images that are read when they are asked for: like an array, but on a disk."""

import concurrent.futures
import functools
import itertools
import math
import os

import numpy as np
import tensorflow as tf

from skt_tf.data import crops
from skt_tf.data.images import resized, several_sizes
from skt_tf.utils.errors import UserError
from skt_tf.utils.records import digest


class LazyImages:
    """Images [number, height, width, channels], uint8, of which none is in memory.

    `images[3]` is an image; `images[5:9]` and `images[[7, 2]]` are arrays, read by as many threads
    as there are cores: reading and decoding release Python's lock. `len`, `shape`, `dtype` and
    `ndim` are those of an array, and so is `np.asarray(images)`, which reads all of them.

    Args:
        source: a sequence of images [height, width, channels], uint8, which may differ in size.
            Its `shape` is that of each, with None where they differ; its `where` is what errors
            call it, and its `digest` a number that other images would hardly have, or None.
        rows: which images of the source these are, integers [number]; None: all.
        size: (height, width) that all are brought to; None where they have one.
        middle: whether they are cropped at the middle as of `crops.middle`; else the whole image
            is squeezed into the size.

    Attributes:
        failure: the `UserError` that reading has raised last, or None. In a `tf.data.Dataset` it
            comes as an error of TensorFlow's.

    Raises:
        ValueError: `size` is None and the images differ.
    """

    ndim, dtype = 4, np.dtype(np.uint8)

    def __init__(self, source, rows=None, size=None, middle=False):
        self.source, self.failure = source, None
        self._rows = np.arange(len(source)) if rows is None else np.asarray(rows)
        self._size, self._middle = size, middle
        if size is None and None in source.shape:
            raise UserError(several_sizes(source.where, *source.two_shapes))

    def __len__(self):
        return len(self._rows)

    @property
    def shape(self):
        """(number, height, width, channels)."""
        height, width, channels = self.source.shape
        return (len(self), *(self._size or (height, width)), channels)

    @property
    def size(self):
        """How many numbers they are."""
        return math.prod(self.shape)

    def part(self, rows):
        """Those at `rows`, integers, in that order; nothing is read."""
        return LazyImages(self.source, self._rows[rows], self._size, self._middle)

    def __getitem__(self, chosen):
        rows = self._rows[chosen]
        found = self._reading(self._whole, np.atleast_1d(rows))
        return found if rows.ndim else found[0]

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)

    def cropped(self, chosen, draws, mirrored):
        """Random resized crops, [n, height, width, channels], of the images at `chosen`.

        Args:
            chosen: integers [n].
            draws: [n, `crops.DRAWS`], uint32, random bits.
            mirrored: whether half of them are mirrored.
        """

        def crop(row, bits):
            return crops.cropped(self.source[row], self.shape[1:3], bits, mirrored)

        return self._reading(crop, self._rows[chosen], draws)

    @functools.cached_property
    def digest(self):
        """A number that other images would hardly have, by what its source knows, or None."""
        known = self.source.digest
        if known is None:
            return None
        choices = f"{known} {self._size} {self._middle}".encode()
        return digest((np.frombuffer(choices, np.uint8), self._rows.astype(np.int64)))

    def in_memory(self):
        """The same, with all images of the source held in memory as they are, of any sizes."""
        source = self.source
        held = Held(list(source.each(self._rows)), source.shape, source.where)
        return LazyImages(held, None, self._size, self._middle)

    def _whole(self, row):
        image, size = self.source[row], self.shape[1:3]
        if self._middle:
            image = crops.middle(image, size)
        elif self._size is not None:
            image = resized(image, size)
        if image.shape != self.shape[1:]:
            raise UserError(several_sizes(self.source.where, self.shape[1:], image.shape))
        return image

    def _reading(self, function, *arguments):
        """The images that `function` gives for each of the arguments, read by all threads."""
        found = np.empty((len(arguments[0]), *self.shape[1:]), np.uint8)

        def put(k):
            found[k] = function(*(argument[k] for argument in arguments))

        try:
            for _ in _pool().map(put, range(len(found))):
                pass
        except UserError as error:
            self.failure = error
            raise
        return found


class Held:
    """A source of `LazyImages` that lies in memory.

    Args:
        images: an array of images, or a list of some that may differ in size.
        shape, where: as `LazyImages` says.
    """

    digest = None  # By their pixels they are known better.

    def __init__(self, images, shape, where):
        self._images, self.shape, self.where = images, shape, where

    def __len__(self):
        return len(self._images)

    def __getitem__(self, row):
        return self._images[row]


def part(images, rows):
    """The images at `rows`, integers: of an array an array, of `LazyImages` such ones, unread."""
    return images.part(rows) if isinstance(images, LazyImages) else images[rows]


def slices(images, size):
    """Yields `images[:size]`, `images[size : 2 * size]`, …; of `LazyImages` one is read ahead."""
    starts = range(0, len(images), size)
    if not isinstance(images, LazyImages):
        yield from (images[start : start + size] for start in starts)
        return
    with concurrent.futures.ThreadPoolExecutor(1) as ahead:
        reads = (ahead.submit(images.__getitem__, slice(k, k + size)) for k in starts)
        following = next(reads, None)
        while following is not None:
            found, following = following.result(), next(reads, None)
            yield found


def gathered(images, chosen):
    """In a graph: the images at `chosen`, an integer tensor [n], of a tensor or `LazyImages`."""
    if not isinstance(images, LazyImages):
        return tf.gather(images, chosen)
    found = tf.numpy_function(images.__getitem__, [chosen], tf.uint8, stateful=False)
    return tf.ensure_shape(found, [*chosen.shape, *images.shape[1:]])


def cropped(images, chosen, draws, mirrored):
    """In a graph: random resized crops; see `LazyImages.cropped`, whose arguments are tensors."""

    crop = functools.partial(images.cropped, mirrored=mirrored)
    found = tf.numpy_function(crop, [chosen, draws], tf.uint8, stateful=False)
    return tf.ensure_shape(found, [*chosen.shape, *images.shape[1:]])


def ordered(function, items, ahead=64):
    """Yields `function(item)` of all items in their order, some of them computed ahead."""
    items, pool = iter(items), _pool()
    waiting = [pool.submit(function, item) for item in itertools.islice(items, ahead)]
    while waiting:
        found = waiting.pop(0).result()
        waiting += [pool.submit(function, item) for item in itertools.islice(items, 1)]
        yield found


@functools.cache
def _pool():
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "skt_tf-images")


# A copy of this process has none of its threads.
os.register_at_fork(after_in_child=_pool.cache_clear)
