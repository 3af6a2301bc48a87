"""By what a dataset is known again when a run goes on: its pixels, or the files they are in."""

import dataclasses

from skt_tf.data.lazy_images import LazyImages, slices
from skt_tf.utils.records import digest

# What the digest of files begins with.
_FILES = "files-"
_AT_ONCE = 64


def are_comparable(one, other):
    """Whether two digests that differ are of other images: both of files, or both of pixels."""
    return one.startswith(_FILES) == other.startswith(_FILES)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where images were read from, which can be read again.

    Attributes:
        source: an `ImageFolder` or a `Prepared`.
        size, middle: as of `LazyImages`.
        rows: which of the training images, integers, or None for all.
    """

    source: object
    size: tuple | None
    middle: bool
    rows: object = None

    def part(self, rows):
        """That of some of the training images."""
        return dataclasses.replace(self, rows=rows if self.rows is None else self.rows[rows])

    def images(self):
        """The training and the test images, `LazyImages`."""
        (train, _), (tested, _) = self.source.streamed(self.size, self.middle)
        return (train if self.rows is None else train.part(self.rows)), tested


class Identity:
    """What is compared of a dataset; it holds no image.

    Args:
        dataset: a `Dataset`.

    Attributes:
        digest: a number that other images or labels would hardly have: of images in memory, of
            their pixels; of others, of their files, which are not read for it.
    """

    def __init__(self, dataset):
        self._labels = dataset.train_labels, dataset.test_labels
        self._origin = dataset.origin
        images = dataset.train_images, dataset.test_images
        known = [getattr(each, "digest", None) for each in images]
        self._images = None if None in known else images
        self.digest = self._of_files(known) if self._images else pixel_digest(images, self._labels)

    def is_of(self, known):
        """Whether a digest is that of these images, held in memory or not.

        Args:
            known: of either kind, or None, which says nothing. Of images that are not in memory,
                all are read where it is one of pixels.
        """
        if known in (None, self.digest):
            return True
        if known.startswith(_FILES):
            if self._images or not self._origin:
                return False
            return known == self._of_files([each.digest for each in self._origin.images()])
        return self._images is not None and known == pixel_digest(self._images, self._labels)

    def _of_files(self, digests):
        return _FILES + "-".join([*digests, digest(self._labels)])


def pixel_digest(images, labels):
    """A number that other parts [[number, height, width, channels], …] would hardly have."""
    return digest(_parts(images, labels))


def _parts(images, labels):
    for some, theirs in zip(images, labels):
        yield from slices(some, _AT_ONCE) if isinstance(some, LazyImages) else [some]
        yield theirs
