"""Images in folders: train/<class>/*.png and test/<class>/*.jpg."""

import collections
import numbers
import os
import pathlib

import numpy as np

from skt_tf.data.image_files import ENDINGS, ImageFiles
from skt_tf.data.images import BITS, gather
from skt_tf.utils.errors import UserError, option

# What stands in for test/ where that is missing.
_HELD_OUT = ("val", "valid", "validation")


def read(folder, image_size=None, bits=None):
    """((images, labels), (images, labels), class names, test name) of a folder of images.

    Classes are the names of the folders in train/, in their order, with all images in and below
    them; what begins with a dot is passed over, and so are other files, which is said. A
    photograph is turned as its camera noted. Images are grey if all of them are, else RGB. Without
    test/, val/ (valid/, validation/) takes its place, which is said.

    Args:
        folder: path of the folder that holds train/ and test/.
        image_size: (height, width) to bring all images to; None where they have one size.
        bits: of `ImageFiles`.

    Raises:
        ValueError: a folder or a class without images, a test class that train/ lacks, files
            that are damaged, images of several sizes, or of other bits.
    """
    if bits is not None and not isinstance(bits, numbers.Integral):
        raise UserError(f"{option('image_bits')}={bits!r} is no integer: expected one")
    if bits is not None and not BITS.least <= bits <= BITS.most:
        raise UserError(
            f"{option('image_bits')}={bits} is out of range: expected {BITS.least} to {BITS.most}"
        )
    names = _classes(folder / "train")
    held = [name for name in _HELD_OUT if (folder / name).is_dir()]
    test = "test" if (folder / "test").exists() or not held else held.pop(0)
    instead = ", or val/<class>/… in its place" if test == "test" else ""
    unknown = sorted(set(_classes(folder / test, instead)) - set(names))
    if unknown:
        raise UserError(
            f"{folder / test / unknown[0]} is a class that {folder / 'train'} lacks: expected "
            f"some of {', '.join(names[:8])}" + ", …" * (len(names) > 8)
        )
    passed_over = collections.Counter()
    files = {part: _files(folder / part, names, passed_over) for part in ("train", test)}
    paths = [path for paths, _ in files.values() for path in paths]
    found = ImageFiles(paths, bits)
    images = gather(found, len(paths), image_size, str(folder))
    train, tested = (labels for _, labels in files.values())
    if test != "test":
        found.notes.append(f"{test}/ takes the place of test/, which is not there")
    if held:
        found.notes.append(
            f"{held[0]}/ is not read: {option('validation', 'hold_out')} sets images aside"
        )
    if +passed_over:
        found.notes.append(_said(passed_over))
    for note in found.notes:
        print(f"{folder}: {note}")
    # A copy, so that the training images need not stay where some of them are held out.
    name = "test" if test == "test" else "validation"
    return (images[: len(train)], train), (images[len(train) :].copy(), tested), names, name


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
        found = sorted(_images_below(folder / name, passed_over))
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
        for path in (pathlib.Path(place, name) for name in files if not name.startswith(".")):
            if not path.is_file() and path.exists():
                passed_over["that are no files"] += 1  # To read a pipe would wait for ever.
            elif path.suffix.lower() in ENDINGS:
                yield path
            else:
                passed_over[f"of {path.suffix.lower()}" if path.suffix else "of no ending"] += 1
