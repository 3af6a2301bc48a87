"""Images and labels of a user's own, as training takes them: arrays, or a tf.data.Dataset."""

import functools
import zlib

import numpy as np
import tensorflow as tf

from skt_tf.data.batches import draw_images, over_steps
from skt_tf.data.images import check_labels, spread
from skt_tf.utils.errors import UserError, one_line


class Stream:
    """Training and validation examples of (image, label), taken as they are.

    Args:
        train_data: (images, labels), arrays of [number, height, width, channels] and [number],
            which are shuffled anew in every epoch; or a `tf.data.Dataset` of (image, label) or
            of batches of them, which is repeated in its own order.
        validation_data: likewise, in its own order; or None.
        batch_size: images a batch.
        image_shape: (height, width, channels) as the networks take it, None where any will do.
        classes: labels are integers from 0 to `classes` − 1.

    Attributes:
        first: (images, labels) of the first batch of `train_data`, read once.

    Raises:
        ValueError: what is neither, is empty, or does not fit to the networks.
    """

    name, part = "train_data", "validation"

    def __init__(self, train_data, validation_data, batch_size, image_shape, classes):
        self._batch_size, self._shape, self._classes = batch_size, image_shape, classes
        self._train, self.first = self._checked(train_data, "train_data")
        self.image_shape, self._watched = self.first[0].shape[1:], None
        if validation_data is not None:
            self._watched, _ = self._checked(validation_data, "validation_data")

    def _checked(self, data, name):
        if isinstance(data, tf.data.Dataset):
            return self._checked_dataset(data, name)
        try:
            images, labels = (np.asarray(part) for part in data)
        except (TypeError, ValueError):
            raise UserError(
                f"{name} is a {type(data).__name__}: expected (images, labels), two arrays of one "
                "length, or a tf.data.Dataset of (image, label)"
            ) from None
        if labels.shape == (len(images), 1):
            labels = labels[:, 0]  # As keras.datasets has them.
        if images.ndim != 4 or images.dtype.kind not in "uif" or labels.shape != images.shape[:1]:
            raise UserError(
                f"{name} has images of shape {images.shape}, {images.dtype}, and labels of shape "
                f"{labels.shape}: expected [number, height, width, channels] and [number]"
            )
        if not len(images):
            raise UserError(f"{name} has no images: expected one or more")
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise UserError(f"{name} has pixels that are NaN or infinite: expected numbers")
        self._check_shape(images.shape[1:], name)
        check_labels(labels, f"{name} has labels", self._classes, "outputs of the student")
        labels = labels.astype(np.int32)
        return (images, labels), (images[: self._batch_size], labels[: self._batch_size])

    def _checked_dataset(self, data, name):
        spec = data.element_spec
        ranks = None
        if isinstance(spec, tuple) and len(spec) == 2:
            ranks = [getattr(part, "shape", tf.TensorShape(None)).rank for part in spec]
        # A batch of labels may be a column.
        if ranks not in ([3, 0], [3, 1], [4, 1], [4, 2]) or not spec[1].dtype.is_integer:
            raise UserError(
                f"{name} has elements {spec}: expected (image, label), images [height, width, "
                "channels] and integers, or batches of them"
            )
        self._check_shape(spec[0].shape[-3:], name)
        if ranks[0] == 3:
            data = data.batch(self._batch_size)
        if name == "validation_data":
            data = _ending(data, name)
        first = next(iter(_safely(data.take(1), name)), None)
        if first is None:
            raise UserError(f"{name} has no images: expected one or more")
        self._check_shape(first[0].shape[1:], name)
        images, labels = (part.numpy() for part in first)
        if labels.size != len(first[0]):
            raise UserError(
                f"{name} has labels of shape {labels.shape[1:]}: expected one class number for "
                "each image"
            )
        check_labels(labels, f"{name} has labels", self._classes, "outputs of the student")
        shape = [None, *images.shape[1:]]

        def checked(images, labels):
            if images.dtype.is_floating:
                images = tf.debugging.check_numerics(
                    images, f"{name} has images of NaN or infinity"
                )
            return tf.ensure_shape(images, shape), tf.reshape(labels, [-1])

        return data.map(checked), (images, labels.ravel())

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

    def training_batches(self, batch_size, seed, steps, *, stream=0, start=0):
        """Batches of (images, labels) for the iterations `start` … `steps` − 1 of a stage.

        A batch of arrays depends on (seed, stream, iteration) alone. A `tf.data.Dataset` begins
        anew in each stage.
        """
        if isinstance(self._train, tf.data.Dataset):
            # Joined over the epochs' ends, for every batch to have one size.
            batches = self._train.repeat().rebatch(batch_size, drop_remainder=True)
            return batches.skip(start).take(steps - start).prefetch(tf.data.AUTOTUNE)
        images, labels = self._tensors
        order = tf.random.split([seed, stream], 2)[0]

        def batch(step):
            chosen, _ = draw_images(step, batch_size, len(labels), order)
            return tf.gather(images, chosen), tf.gather(labels, chosen)

        return over_steps(batch, start, steps)

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
            return (images for images, _ in first)
        images = spread(self._train[0], number)
        starts = range(0, len(images), self._batch_size)
        return (images[start : start + self._batch_size] for start in starts)

    @property
    def digest(self):
        """A number that other data would hardly have; of a `tf.data.Dataset`, of its type alone."""
        if isinstance(self._train, tf.data.Dataset):
            return str(self._train.element_spec)
        images, labels = (np.ascontiguousarray(part) for part in self._train)
        return f"{zlib.crc32(labels, zlib.crc32(images)):08x}"


# So many images, where nothing says how many there are, are taken for a stream without end.
_ENDLESS = 200_000


def _ending(data, name):
    """`data`, batches of which not even the number may be known; it must have an end."""
    expected = f"{name} repeats without end: expected each image once, so leave out repeat()"
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise UserError(expected)
    if data.cardinality() != tf.data.UNKNOWN_CARDINALITY:
        return data
    expected += f", or say how many there are, if more than {_ENDLESS}, by assert_cardinality"

    def counted(before, batch):
        number = before + tf.shape(batch[1], tf.int64)[0]
        tf.debugging.assert_less(number, tf.constant(_ENDLESS, tf.int64), expected)
        return number, batch

    return data.scan(tf.constant(0, tf.int64), counted)


def _safely(dataset, name):
    try:
        yield from dataset
    except tf.errors.OpError as error:
        raise UserError(f"{name} cannot be read: {one_line(error)}") from error
