"""Images in folders, one for each class: train/<class>/… and test/<class>/…."""

import collections
import math
import numbers
import os

import numpy as np

from skt_tf.data.image_files import ENDINGS, ImageFiles
from skt_tf.data.images import BITS, gather
from skt_tf.data.lazy_images import LazyImages
from skt_tf.utils.errors import UserError, option
from skt_tf.utils.fields import check_limits

# What stands in for test/ where that is missing.
_HELD_OUT = ("val", "valid", "validation")


class ImageFolder:
    """A folder of images, of which none is decoded yet.

    Classes are the names of the folders in train/, in their order, with all images in and below
    them; what begins with a dot is passed over, and so are other files, which is said. A
    photograph is turned as its camera noted. Images are grey if all of them are, else RGB. Without
    test/, val/ (valid/, validation/) takes its place, which is said.

    Args:
        folder: path of the folder that holds train/ and test/.
        bits: of `ImageFiles`.

    Attributes:
        class_names: a list.
        test_name: `"validation"` where val/ takes the place of test/, else `"test"`.

    Raises:
        ValueError: a folder or a class without images, a test class that train/ lacks, or bits
            that do not hold the images.
    """

    def __init__(self, folder, bits=None):
        if bits is not None and not isinstance(bits, numbers.Integral):
            raise UserError(f"{option('image_bits')}={bits!r} is no integer: expected one")
        if bits is not None:
            check_limits("image_bits", bits, BITS)
        self.class_names = names = _classes(folder / "train")
        held = [name for name in _HELD_OUT if (folder / name).is_dir()]
        test = "test" if (folder / "test").exists() or not held else held.pop(0)
        self.test_name = "test" if test == "test" else "validation"
        instead = ", or val/<class>/… in its place" if test == "test" else ""
        unknown = sorted(set(_classes(folder / test, instead)) - set(names))
        if unknown:
            raise UserError(
                f"{folder / test / unknown[0]} is a class that {folder / 'train'} lacks: expected "
                f"some of {', '.join(names[:8])}" + ", …" * (len(names) > 8)
            )
        passed_over, self.where = collections.Counter(), str(folder)
        parts = [_files(folder / part, names, passed_over) for part in ("train", test)]
        self._labels = [labels for _, labels in parts]
        self._files = ImageFiles([path for paths, _ in parts for path in paths], bits, self.where)
        self._notes = [*self._files.notes]
        if test != "test":
            self._notes.append(f"{test}/ takes the place of test/, which is not there")
        if held:
            self._notes.append(
                f"{held[0]}/ is not read: {option('validation', 'hold_out')} sets images aside"
            )
        if +passed_over:
            self._notes.append(_said(passed_over))

    def __len__(self):
        return len(self._files)

    def bytes(self, size, resized):
        """Bytes of all pixels that would be held: brought to `size`, or for crops as they are."""
        if size is None or resized:
            return self._files.bytes
        return len(self) * math.prod(size) * self._files.shape[2]

    def in_memory(self, size):
        """((images, labels), (images, labels)) of training and test.

        Args:
            size: (height, width) to bring all images to; None where they have one size.

        Raises:
            ValueError: files that are damaged, images of several sizes, or too many for memory.
        """
        train, tested = self._labels
        found = self._files.each(range(len(self)))
        images = gather(found, len(self), size, self.where)
        self._say()
        # A copy, so that the training images need not stay where some of them are held out.
        return (images[: len(train)], train), (images[len(train) :].copy(), tested)

    def streamed(self, size, middle):
        """Likewise with `LazyImages`; `middle` as of these."""
        self._files.check_heads()
        images = LazyImages(self._files, None, size, middle)
        self._say()
        numbers = np.split(np.arange(len(self)), [len(self._labels[0])])
        return tuple((images.part(rows), labels) for rows, labels in zip(numbers, self._labels))

    def _say(self):
        while self._notes:
            print(f"{self.where}: {self._notes.pop(0)}")


def _classes(folder, instead=""):
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder: expected {folder.name}/<class>/*.png or *.jpg, a folder for "
            f"each class{instead}"
        )
    names = sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not names:
        raise UserError(f"{folder} has no folders: expected one for each class, with images in it")
    return names


def _files(folder, names, passed_over):
    """(paths, labels) of all images of a part, class after class; others are counted by kind."""
    paths, labels = [], []
    beside = [path for path in folder.iterdir() if not path.is_dir()]
    passed_over["in no folder of a class"] += sum(not path.name.startswith(".") for path in beside)
    for number, name in enumerate(names):
        # As text, of which millions fit into memory, in the order that paths have.
        found = sorted(_images_below(folder / name, passed_over), key=lambda path: path.split("/"))
        # A class that is never tested is no mistake; one that is never trained on is.
        if not found and folder.name == "train":
            raise UserError(f"{folder / name} has no images: {_expected(passed_over)}")
        paths += found
        labels += [number] * len(found)
    if not paths:
        raise UserError(f"{folder} has no images: {_expected(passed_over)}")
    return paths, np.array(labels, np.int32)


def _said(passed_over):
    kinds = ", ".join(f"{number} {kind}" for kind, number in (+passed_over).most_common())
    return f"passed over: {passed_over.total()} ({kinds})"


def _expected(passed_over):
    expected = f"expected files that end in {', '.join(ENDINGS)}"
    return f"{expected} ({_said(passed_over)})" if +passed_over else expected


def _images_below(folder, passed_over):
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # They may lead in a circle.
        passed_over["links to folders"] += sum(os.path.islink(f"{place}/{n}") for n in folders)
        for name in (name for name in files if not name.startswith(".")):
            path, ending = os.path.join(place, name), os.path.splitext(name)[1].lower()
            if not os.path.isfile(path) and os.path.exists(path):
                passed_over["that are no files"] += 1  # To read a pipe would wait for ever.
            elif ending in ENDINGS:
                yield path
            else:
                passed_over[f"of {ending}" if ending[1:] else "of no ending"] += 1
