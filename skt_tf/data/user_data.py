"""Images and labels of a user's own, as training takes them: arrays, or batches that come."""

import functools

import keras
import numpy as np
import tensorflow as tf

from skt_tf.data.batches import draw_images, over_steps
from skt_tf.data.images import check_labels, spread
from skt_tf.data.incoming_batches import as_dataset, check_end, content_digest, safely
from skt_tf.utils.errors import UserError
from skt_tf.utils.records import digest


class Stream:
    """Training and validation examples of (image, label), taken as they are.

    Args:
        train_data: (images, labels), arrays of [number, height, width, channels] and [number],
            shuffled anew in every epoch; or a `tf.data.Dataset` of (image, label) or of batches of
            them, or a `keras.utils.PyDataset`, repeated in their own order. Labels are class
            numbers, or one-hot, [classes]; a third part is each image's weight in the loss.
        validation_data: likewise, in its own order; or None.
        batch_size: images a batch.
        image_shape: (height, width, channels) as the networks take it, None where any will do.
        classes: labels are integers from 0 to `classes` − 1.

    Attributes:
        first: (images, labels) of a batch of `train_data`, and weights, if any: of arrays evenly
            spread, else the first, read once.

    Raises:
        ValueError: what is neither, is empty, or does not fit to the networks.
    """

    name, part, watched_name = "train_data", "validation", "validation"

    def __init__(self, train_data, validation_data, batch_size, image_shape, classes):
        self._batch_size, self._shape, self._classes = batch_size, image_shape, classes
        given = {"train_data": train_data}
        if validation_data is not None:
            given["validation_data"] = validation_data
        for name, data in given.items():  # Before any of it is read.
            _check_kind(data, name)
        self._train, self.first = self._checked(train_data, "train_data")
        self.image_shape, self._watched = self.first[0].shape[1:], None
        if validation_data is not None:
            self._watched, _ = self._checked(validation_data, "validation_data")

    def _checked(self, data, name):
        if isinstance(data, keras.utils.PyDataset):
            data = as_dataset(data, name)
        if isinstance(data, tf.data.Dataset):
            return self._checked_dataset(data, name)
        try:
            images, labels, *weights = (np.asarray(part) for part in data)
        except (TypeError, ValueError):  # Rows of several lengths, or nothing like an array.
            kinds = ", ".join(type(part).__name__ for part in data)
            raise UserError(f"{name} has parts of {kinds}: expected arrays of numbers") from None
        is_images = images.ndim == 4 and images.dtype.kind in "uif"
        if not is_images or labels.shape[:1] != (len(images),):
            raise UserError(
                f"{name} has images of shape {images.shape}, {images.dtype}, and labels of shape "
                f"{labels.shape}: expected [number, height, width, channels] and [number]"
            )
        if not len(images):
            raise UserError(f"{name} has no images: expected one or more")
        self._check_shape(images.shape[1:], name)
        weights = [_checked_weights(w, len(images), name) for w in weights]
        # As the networks see them: float64 holds more than they do.
        seen = images.astype(np.float32, copy=False) if images.dtype.kind == "f" else 0
        if not np.isfinite(seen).all():
            raise UserError(f"{name} has pixels that are NaN or infinite: expected numbers")
        labels = self._class_numbers(labels, name).astype(np.int32)
        parts = images, labels, *weights
        return parts, tuple(part[spread(len(part), self._batch_size)] for part in parts)

    def _checked_dataset(self, data, name):
        spec = data.element_spec
        ranks = None
        if isinstance(spec, tuple) and len(spec) in (2, 3):
            dense = all(isinstance(part, tf.TensorSpec) for part in spec)
            ranks = [part.shape.rank for part in spec] if dense else None
        # Labels may be a column, or one-hot.
        if (
            not ranks
            or ranks[0] not in (3, 4)
            or any(rank is None or not 0 <= rank - ranks[0] + 3 <= 1 for rank in ranks[1:])
        ):
            raise UserError(
                f"{name} has elements {spec}: expected (image, label), images [height, width, "
                "channels] and integers, or batches of them, and a weight of each if you like"
            )
        self._check_shape(spec[0].shape[-3:], name)
        if ranks[0] == 3:
            data = data.batch(self._batch_size)
        first = next(iter(safely(data.take(1), name)), None)
        if first is None or not len(first[0]):
            raise UserError(f"{name} has no images: expected one or more")
        self._check_shape(first[0].shape[1:], name)
        images, labels, *weights = (part.numpy() for part in first)
        numbers = self._class_numbers(labels, name)
        weights = [_checked_weights(w, len(images), name) for w in weights]
        # How many numbers each image has as its label, and as its weight.
        sizes = [part.size // len(images) for part in (labels, *weights)]
        shape, one_hot = [None, *images.shape[1:]], sizes[0] > 1
        limits = f"{name} has labels that are not 0 to {self._classes - 1}"

        def checked(images, labels, *weights):
            if images.dtype.is_floating:
                tf.debugging.check_numerics(
                    tf.cast(images, tf.float32), f"{name} has images of NaN or infinity"
                )
            number = tf.shape(images)[0]
            tf.debugging.assert_positive(number, f"{name} has a batch of no images")
            for part, size in zip((labels, *weights), sizes):
                unlike = f"{name} has a batch of another number of labels or weights than images"
                tf.debugging.assert_equal(tf.shape(part)[0], number, unlike)
                unlike = f"{name} has labels or weights of another shape than in its first batch"
                tf.debugging.assert_equal(tf.size(part), number * size, unlike)
            if labels.dtype == tf.bool:
                labels = tf.cast(labels, tf.int32)
            if one_hot:
                ones = tf.math.count_nonzero(labels, 1), tf.reduce_max(labels, 1)
                for found in ones:
                    tf.debugging.assert_equal(found, tf.ones_like(found), f"{name} {_NOT_ONE_HOT}")
                labels = tf.argmax(labels, axis=1)
            labels = tf.reshape(labels, [-1])
            if labels.dtype not in (tf.int32, tf.int64):
                labels = tf.cast(labels, tf.int32)
            tf.debugging.assert_non_negative(labels, limits)
            tf.debugging.assert_less(labels, tf.cast(self._classes, labels.dtype), limits)
            weights = [tf.reshape(tf.cast(weight, tf.float32), [-1]) for weight in weights]
            for weight in weights:
                sound = tf.reduce_all(tf.math.is_finite(weight) & (weight >= 0))
                tf.debugging.assert_equal(sound, True, f"{name} {_NO_WEIGHTS}")
            return tf.ensure_shape(images, shape), labels, *weights

        data = data.map(checked)
        if name == "validation_data":  # Else it is looked at when hours have passed.
            check_end(data, name)
        return data, (images, numbers, *weights)

    def _class_numbers(self, labels, name):
        """Class numbers [number] of labels of which there is one for each image."""
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]  # As keras.datasets has them.
        if labels.ndim == 2:
            if labels.shape[1] != self._classes:
                raise UserError(
                    f"{name} has labels of shape {labels.shape}: expected class numbers, or "
                    f"one-hot labels [number, {self._classes}], the outputs of the student"
                )
            if not ((labels == 1).sum(1) == 1).all() or not ((labels == 0) | (labels == 1)).all():
                raise UserError(f"{name} {_NOT_ONE_HOT}")
            return labels.argmax(1)
        if labels.ndim != 1:
            raise UserError(
                f"{name} has labels of shape {labels.shape}: expected one class number for each "
                "image, or one-hot labels"
            )
        check_labels(labels, f"{name} has labels", self._classes, "outputs of the student")
        return labels

    def _check_shape(self, given, name):
        if len(given) != 3 or any(
            None not in (g, t) and g != t for g, t in zip(given, self._shape, strict=True)
        ):
            raise UserError(
                f"{name} has images of shape {tuple(given)}: expected those that the networks "
                f"take, {tuple(self._shape)}"
            )

    @functools.cached_property
    def _tensors(self):
        """One copy for all stages."""
        with tf.device("CPU"):
            return tuple(tf.constant(part) for part in self._train)

    def training_batches(
        self, batch_size, seed, steps, *, stream=0, start=0, indices=False, second=False
    ):
        """Batches of (images, labels) for the iterations `start` … `steps` − 1 of a stage.

        A batch of arrays depends on (seed, stream, iteration) alone. A `tf.data.Dataset` begins
        anew in each stage.

        Args:
            batch_size, seed, steps, stream, start, indices: of `skt_tf.training_batches`.
            second: refused where it is True.
        """
        self.check_beside(indices, second)
        if isinstance(self._train, tf.data.Dataset):
            # Joined over the epochs' ends, for every batch to have one size.
            batches = self._train.repeat().rebatch(batch_size, drop_remainder=True)
            return batches.skip(start).take(steps - start).prefetch(tf.data.AUTOTUNE)
        parts, order = self._tensors, tf.random.split([seed, stream], 2)[0]

        def batch(step):
            chosen, _ = draw_images(step, batch_size, len(parts[1]), order)
            data = tuple(tf.gather(part, chosen) for part in parts)
            return (*data, {"indices": chosen}) if indices else data

        return over_steps(batch, start, steps)

    def check_beside(self, indices, second):
        """Raises a ValueError where these data have not what a loss asks for beside the images."""
        if second or (indices and isinstance(self._train, tf.data.Dataset)):
            lacking = "a second view of each image" if second else "the number of each image"
            raise UserError(
                f"a loss of this stage needs {lacking}, which images that are taken as they come "
                f"do not have: give a skt_tf.Dataset{'' if second else ', or arrays'}"
            )

    @property
    def has_weights(self):
        """Whether each image has a weight in the loss."""
        return len(self.first) > 2

    def watched_batches(self):
        """A `tf.data.Dataset` of all validation examples, or None where there are none."""
        if self._watched is None or isinstance(self._watched, tf.data.Dataset):
            return self._watched
        return tf.data.Dataset.from_tensor_slices(self._watched).batch(self._batch_size)

    def sample(self, number):
        """Batches of training images, `number` in all if there are as many.

        Of arrays they lie evenly spread; of a `tf.data.Dataset` they are the first.
        """
        if isinstance(self._train, tf.data.Dataset):
            first = self._train.rebatch(self._batch_size).take(-(-number // self._batch_size))
            return (images for images, *_ in first)
        images = self._train[0]
        images = images[spread(len(images), number)]
        starts = range(0, len(images), self._batch_size)
        return (images[start : start + self._batch_size] for start in starts)

    @property
    def number(self):
        """How many training images there are; None where they come in batches."""
        return None if isinstance(self._train, tf.data.Dataset) else len(self._train[1])

    @property
    def digest(self):
        """A number that other data would hardly have; of batches that come, of their type alone."""
        return _digest(self._train)

    @property
    def watched_digest(self):
        """Likewise of the validation data; None without."""
        return None if self._watched is None else _digest(self._watched)

    def watched_content(self):
        """A number that validation data of other content would hardly have, whatever their order.

        Of batches that come, which are gone through for it; None of others, whose digest it is.
        """
        if not isinstance(self._watched, tf.data.Dataset):
            return None
        return content_digest(self._watched, "validation_data")


def _digest(data):
    if isinstance(data, tf.data.Dataset):
        return str(data.element_spec)
    return digest(data)


_NO_WEIGHTS = "has weights that are below 0, NaN or infinite: expected 0 or more"
_NOT_ONE_HOT = (
    "has rows of labels that are not a single 1 among zeros: expected class numbers, or one-hot "
    "labels"
)


def _check_kind(data, name):
    """Refuses what is none of the kinds of data that a `Stream` takes."""
    if isinstance(data, (tf.data.Dataset, keras.utils.PyDataset)):
        return
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        what = type(data).__name__
        what += f" of {len(data)}" if isinstance(data, (tuple, list)) else ""
        raise UserError(
            f"{name} is a {what}: expected (images, labels), two arrays of one length, a "
            "tf.data.Dataset of (image, label), or a keras.utils.PyDataset"
        )


def _checked_weights(weights, number, name):
    """Weights [number], float32, of so many images."""
    if weights.shape not in ((number,), (number, 1)) or weights.dtype.kind not in "uif":
        raise UserError(
            f"{name} has weights of shape {weights.shape}, {weights.dtype}: expected a number for "
            "each image"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise UserError(f"{name} {_NO_WEIGHTS}")
    return weights.reshape(-1).astype(np.float32)
