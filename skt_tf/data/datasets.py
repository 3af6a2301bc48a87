"""Images and where they come from."""

import dataclasses
import functools
import numbers

import numpy as np
import tensorflow as tf

from skt_tf.data import sources, statistics
from skt_tf.data.batches import evaluation_batches, training_batches
from skt_tf.data.identity import Identity, Origin, pixel_digest
from skt_tf.data.images import CROPS, check_part, held_out_name, mirrored_by_default, spread
from skt_tf.data.lazy_images import Held, LazyImages, part
from skt_tf.utils.errors import UserError, about, option, unknown


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset for image classification, in memory, or read as its images are asked for.

    Attributes:
        name: as given to `load_dataset`.
        train_images, test_images: [number, height, width, channels], uint8; where they stream,
            `LazyImages`, which are sliced and indexed as arrays are.
        train_labels, test_labels: [number], int32, 0 … num_classes − 1.
        num_classes: number of classes.
        mirrored: whether a mirrored image keeps its meaning.
        crop: `"pad"`: training images are padded by an eighth of their size and cropped at random
            back to it; `"none"`: they are trained on as they are, mirrored or not; `"resized"`: 8
            to 100 % of their area, of a ratio of 3:4 to 4:3, are drawn and brought to their size.
        test_name: what the test images are called: `"validation"` where the source has no test
            part and its validation part takes the place.
        class_names: of all classes in the order of their numbers, or None.
        validation_images, validation_labels: likewise, training images that `hold_out` has set
            aside; None where there are none.
        origin: where the images were read from, for `identity`, or None.

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
    origin: Origin | None = None

    def __post_init__(self):
        given = [part is not None for part in (self.validation_images, self.validation_labels)]
        if any(given) != all(given):
            raise UserError("validation_images and validation_labels: expected both, or neither")
        sides = ("train", "test", "validation")[: 2 + any(given)]
        for side in sides:
            for kind in ("images", "labels"):  # Lists and tensors of them, too.
                name = f"{side}_{kind}"
                if not isinstance(getattr(self, name), LazyImages):
                    object.__setattr__(self, name, np.asarray(getattr(self, name)))
        object.__setattr__(self, "mirrored", bool(self.mirrored))
        if not isinstance(self.num_classes, numbers.Integral) or self.num_classes < 2:
            raise UserError(
                f"the dataset '{self.name}' has {self.num_classes} classes: expected two or more"
            )
        if self.crop not in CROPS:
            raise UserError(unknown(f"crop={self.crop!r}", self.crop, CROPS))
        for side in sides:
            images, labels = getattr(self, f"{side}_images"), getattr(self, f"{side}_labels")
            check_part(images, labels, side, self.num_classes)
            if images.shape[1:] != self.image_shape:
                raise UserError(
                    f"train_images have shape {self.image_shape} and {side}_images "
                    f"{images.shape[1:]}: expected one shape of all images"
                )
            if labels.dtype not in (np.int32, np.int64):
                object.__setattr__(self, f"{side}_labels", labels.astype(np.int32))
        if self.class_names is not None:
            names = tuple(map(str, self.class_names))
            object.__setattr__(self, "class_names", names)
            if len(names) != self.num_classes:
                raise UserError(
                    f"class_names has {len(names)} names: expected one for each of the "
                    f"{self.num_classes} classes, in the order of their numbers"
                )

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
        return part(self.train_images, spread(len(self.train_images), number))

    @property
    def watched_digest(self):
        """Of validation images in memory; None of others."""
        if self.validation_images is None or isinstance(self.validation_images, LazyImages):
            return None
        return pixel_digest([self.validation_images], [self.validation_labels])

    @functools.cached_property
    def identity(self):
        """The `Identity` by which it is known again."""
        return Identity(self)

    @property
    def digest(self):
        """A number that other images or labels would hardly have."""
        return self.identity.digest

    @property
    def failure(self):
        """The `UserError` that reading an image has raised last, or None."""
        images = self.train_images, self.test_images, self.validation_images
        return next(filter(None, (getattr(each, "failure", None) for each in images)), None)

    def first(self, number):
        """The same with the first `number` training images alone."""
        return dataclasses.replace(self, **self._some(slice(number)))

    def _some(self, rows):
        """What differs where some of the training images are all that there are."""
        return {
            "train_images": part(self.train_images, rows),
            "train_labels": self.train_labels[rows],
            "origin": self.origin and self.origin.part(np.arange(len(self.train_labels))[rows]),
        }

    def hold_out(self, number):
        """The same with `number` of the training images set aside for validation.

        They are drawn once and for all, whatever the run's seed, and stratified: each class
        keeps its share, to a whole image.

        Raises:
            ValueError: too few images, or none of a class to train on.
        """
        if not isinstance(number, numbers.Integral):
            raise UserError(f"{number!r} is no number of images: expected an integer")
        if self.validation_images is not None:
            raise UserError(f"the dataset '{self.name}' has validation images: give one without")
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
        left = np.count_nonzero(np.bincount(self.train_labels[train]))
        if left < classes:
            raise UserError(
                f"{option('validation', 'number')}={number} leaves images of {left} of {classes} "
                "classes to train on: give a smaller number"
            )
        return dataclasses.replace(
            self,
            **self._some(train),
            validation_images=part(self.train_images, held),
            validation_labels=self.train_labels[held],
        )

    @functools.cached_property
    def tensors(self):
        """(train_images, train_labels) as tensors: one copy for all stages of a run.

        Images that are not taken as they are, but read or cropped one by one, are `LazyImages`.
        """
        images = self.train_images
        if self.crop == "resized" and not isinstance(images, LazyImages):
            images = LazyImages(Held(images, self.image_shape, self.name))
        with tf.init_scope(), tf.device("CPU"):
            if not isinstance(images, LazyImages):
                images = tf.constant(images)
            return images, tf.constant(self.train_labels)

    @functools.cached_property
    def _levels(self):
        return statistics.grey_levels(self.train_images)

    @functools.cached_property
    def mean(self):
        """Mean of each channel over the training images, in grey levels of 0…255.

        Of more than 2³⁰ pixels (21,399 images of 224×224), over images evenly spread.
        """
        return statistics.mean(self._levels)

    @functools.cached_property
    def variance(self):
        """Variance of each channel likewise, in squared grey levels."""
        return statistics.variance(self._levels)


def load_dataset(
    name, data_dir=None, image_size=None, mirror=None, crop="pad", image_bits=None, stream=None
):
    """Loads a dataset: `digits` (built in), a folder of images, or one of TensorFlow Datasets.

    `digits` are scikit-learn's 1,797 handwritten digits of 8×8 grey pixels, with a
    fixed, stratified split into 1,437 training and 360 test images.

    Args:
        name: `"digits"`; `"folder"`, for images in train/<class>/… and test/<class>/… of
            `data_dir`; or a name of TensorFlow Datasets that has an image and a label.
        data_dir: the folder of images, or that of TensorFlow Datasets; None stands for its
            default (the environment's TFDS_DATA_DIR, else ~/tensorflow_datasets).
        image_size: (height, width) that all images are brought to, one number for both, or None
            to keep them.
        mirror: whether training images may be mirrored; None: those of CIFAR, and those of which
            resized crops are taken.
        crop: `"pad"` or `"none"`, whether training images are padded and cropped at random; or
            `"resized"`, for photographs, which may differ in size: training images are cropped
            as `Dataset` says, of all others the middle is taken, from an image whose shorter side
            is `image_size`·256/224.
        image_bits: of the images of a folder that have 16 bits a pixel, how many of them are
            used: the upper 8 of those become grey levels. None: the fewest of 8, 10, 12, 14 and
            16 that hold them all, which is printed.
        stream: whether images are read from the disk when they are drawn, and not held in
            memory; batches are the same. None: where they need more than a third of the memory
            that is free, or are known to be of several sizes alone, which is printed.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: an unknown name, a folder that does not exist, or a dataset that is
            neither prepared nor reachable, with the place where it was looked for.
    """
    found = sources.find(name, data_dir, image_size, image_bits, crop, stream)
    parts, class_names, origin, test_name = found
    (train_images, train_labels), (test_images, test_labels) = parts
    with about(f"dataset '{name}' cannot be used"):
        dataset = Dataset(
            name,
            train_images,
            train_labels.astype(np.int32),
            test_images,
            test_labels.astype(np.int32),
            len(class_names),
            mirrored_by_default(name, crop) if mirror is None else mirror,
            class_names=class_names,
            crop=crop,
            test_name=test_name,
            origin=origin,
        )
        if len(np.unique(dataset.train_labels)) < 2:
            raise UserError(
                f"all training images are of class {dataset.train_labels[0]}: expected two "
                "classes or more"
            )
    return dataset
