"""Images and where they come from."""

import dataclasses
import functools
import numbers
import os
import pathlib

import numpy as np
import tensorflow as tf

from skt_tf.data import digits, image_folders, tfds
from skt_tf.data.batches import evaluation_batches, training_batches
from skt_tf.data.images import CROPS, MIRRORED, check_labels, held_out_name, spread
from skt_tf.utils.errors import UserError, option, unknown
from skt_tf.utils.records import digest


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset for image classification, whole and in memory.

    Attributes:
        name: as given to `load_dataset`.
        train_images, test_images: [number, height, width, channels], uint8.
        train_labels, test_labels: [number], int32, 0 … num_classes − 1.
        num_classes: number of classes.
        mirrored: whether a mirrored image keeps its meaning.
        crop: `"pad"`: training images are padded by an eighth of their size and cropped at random
            back to it; `"none"`: they are trained on as they are, mirrored or not.
        test_name: what the test images are called: `"validation"` where the source has no test
            part and its validation part takes the place.
        class_names: of all classes in the order of their numbers, or None.
        validation_images, validation_labels: likewise, training images that `hold_out` has set
            aside; None where there are none.

    Raises:
        ValueError: what no network could be trained on, in one sentence.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int
    mirrored: bool
    validation_images: np.ndarray | None = None
    validation_labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    crop: str = "pad"
    test_name: str = "test"

    def __post_init__(self):
        for part in ("train", "test"):
            for kind in ("images", "labels"):  # Lists and tensors of them, too.
                name = f"{part}_{kind}"
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if not isinstance(self.num_classes, numbers.Integral) or self.num_classes < 2:
            raise UserError(
                f"the dataset '{self.name}' has {self.num_classes} classes: expected two or more"
            )
        if self.crop not in CROPS:
            raise UserError(unknown(f"crop={self.crop!r}", self.crop, CROPS))
        for part in ("train", "test"):
            self._check_images(part)
            self._check_labels(part)
        shapes = self.train_images.shape[1:], self.test_images.shape[1:]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"train_images have shape {shapes[0]} and test_images {shapes[1]}: expected one "
                "shape of all images"
            )

    def _check_images(self, part):
        images = getattr(self, f"{part}_images")
        if images.ndim != 4 or images.dtype != np.uint8:
            raise UserError(
                f"{part}_images have shape {images.shape} and dtype {images.dtype}: expected "
                "[number, height, width, channels], uint8"
            )
        if not images.size:
            raise UserError(f"{part}_images have shape {images.shape}: expected one image or more")

    def _check_labels(self, part):
        images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
        if labels.shape != (len(images),):
            raise UserError(
                f"{part}_labels have shape {labels.shape}: expected one integer for each of the "
                f"{len(images)} images"
            )
        check_labels(labels, f"{part}_labels are", self.num_classes)

    @property
    def image_shape(self):
        """(height, width, channels)."""
        return self.train_images.shape[1:]

    @property
    def number(self):
        """How many training images there are."""
        return len(self.train_labels)

    @property
    def watched(self):
        """(images, labels) that curves show: those held out, else those of the test set."""
        if self.validation_images is None:
            return self.test_images, self.test_labels
        return self.validation_images, self.validation_labels

    @property
    def part(self):
        """The name of `watched` in logs and their files: `"test"` or `"validation"`."""
        return "test" if self.validation_images is None else "validation"

    @property
    def watched_name(self):
        """What `watched` is called in sentences."""
        held = self.validation_images is not None
        return held_out_name(self.test_name) if held else self.test_name

    def training_batches(self, *args, **options):
        """As `skt_tf.training_batches` of this dataset."""
        return training_batches(self, *args, **options)

    def watched_batches(self):
        """A `tf.data.Dataset` of all that is watched, for evaluation."""
        return evaluation_batches(*self.watched)

    def sample(self, number):
        """Up to `number` of the training images, evenly spread over all of them."""
        return spread(self.train_images, number)

    @property
    def watched_digest(self):
        """None: the images that are watched are a part of what `digest` is of."""

    @functools.cached_property
    def digest(self):
        """A number that other images or labels would hardly have."""
        return digest((self.train_images, self.train_labels, self.test_images, self.test_labels))

    def first(self, number):
        """The same with the first `number` training images alone."""
        images, labels = self.train_images[:number], self.train_labels[:number]
        return dataclasses.replace(self, train_images=images, train_labels=labels)

    def hold_out(self, number):
        """The same with `number` of the training images set aside for validation.

        They are drawn once and for all, whatever the run's seed, and stratified: each class
        keeps its share.

        Raises:
            ValueError: too few images for one of each class on both sides.
        """
        if not isinstance(number, numbers.Integral):
            raise UserError(f"{number!r} is no number of images: expected an integer")
        from sklearn.model_selection import train_test_split

        counts = np.bincount(self.train_labels, minlength=self.num_classes)
        classes, total = np.count_nonzero(counts), len(self.train_labels)
        least = counts[counts > 0].min()
        if not classes <= number <= total - classes or least < 2:
            raise UserError(
                f"{option('validation', 'number')}={number} cannot be drawn from "
                f"{total} training images of {classes} classes, {least} or more of each: expected "
                f"{classes} to {total - classes}, and two images of each class"
            )
        train, held = train_test_split(
            np.arange(total), test_size=number, random_state=0, stratify=self.train_labels
        )
        train, held = np.sort(train), np.sort(held)
        return dataclasses.replace(
            self,
            train_images=self.train_images[train],
            train_labels=self.train_labels[train],
            validation_images=self.train_images[held],
            validation_labels=self.train_labels[held],
        )

    @functools.cached_property
    def tensors(self):
        """(train_images, train_labels) as tensors: one copy for all stages of a run."""
        with tf.device("CPU"):
            return tf.constant(self.train_images), tf.constant(self.train_labels)

    @functools.cached_property
    def mean(self):
        """Mean of each channel over the training images, in grey levels of 0…255."""
        return self.train_images.mean(axis=(0, 1, 2), dtype=np.float64)

    @functools.cached_property
    def variance(self):
        """Variance of each channel over the training images, in squared grey levels."""
        levels = np.arange(256.0)
        channels = np.moveaxis(self.train_images, 3, 0)
        counts = np.array([np.bincount(channel.ravel(), minlength=256) for channel in channels])
        shares = counts / channels[0].size
        return shares @ levels**2 - (shares @ levels) ** 2


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


def load_dataset(name, data_dir=None, image_size=None, mirror=None, crop="pad", image_bits=None):
    """Loads a dataset: `digits` (built in), a folder of images, or one of TensorFlow Datasets.

    `digits` are scikit-learn's 1,797 handwritten digits of 8×8 grey pixels, with a
    fixed, stratified split into 1,437 training and 360 test images.

    Args:
        name: `"digits"`; `"folder"`, for train/<class>/*.png|jpg and test/<class>/… in
            `data_dir`; or a name of TensorFlow Datasets that has an image and a label.
        data_dir: the folder of images, or that of TensorFlow Datasets; None stands for its
            default (the environment's TFDS_DATA_DIR, else ~/tensorflow_datasets).
        image_size: (height, width) that all images are brought to, one number for both, or None
            to keep them.
        mirror: whether training images may be mirrored; None: those of CIFAR alone.
        crop: `"pad"` or `"none"`, whether training images are padded and cropped at random; see
            `Dataset`.
        image_bits: of the images of a folder that have 16 bits a pixel, how many of them are
            used: the upper 8 of those become grey levels. None: the fewest of 8, 10, 12, 14 and
            16 that hold them all, which is printed.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: an unknown name, a folder that does not exist, or a dataset that is
            neither prepared nor reachable, with the place where it was looked for.
    """
    if image_size is not None:
        image_size = _checked_size(image_size)
    given = data_dir
    if data_dir:
        if not isinstance(data_dir, str | os.PathLike):
            raise UserError(f"data_dir={data_dir!r} is no path: expected one, or None")
        data_dir = pathlib.Path(data_dir).expanduser()
        if not data_dir.is_dir():
            raise UserError(
                f"{option('data_dir')}={given} does not exist: expected a folder of datasets"
            )
    if name == "digits":
        images = digits.read(image_size)
    elif name == "folder":
        if data_dir is None:
            raise UserError(
                f"the dataset 'folder' needs {option('data_dir')}, the folder of train/<class>/… "
                "and test/<class>/…"
            )
        images = image_folders.read(data_dir, image_size, image_bits)
    else:
        images = tfds.read(name, data_dir, image_size)
    (train_images, train_labels), (test_images, test_labels), class_names, test_name = images
    try:
        dataset = Dataset(
            name,
            train_images,
            train_labels.astype(np.int32),
            test_images,
            test_labels.astype(np.int32),
            len(class_names),
            name in MIRRORED if mirror is None else mirror,
            class_names=tuple(class_names),
            crop=crop,
            test_name=test_name,
        )
        if len(np.unique(dataset.train_labels)) < 2:
            raise UserError(
                f"all training images are of class {dataset.train_labels[0]}: expected two "
                "classes or more"
            )
    except UserError as error:
        raise UserError(f"dataset '{name}' cannot be used: {error}") from None
    return dataset
