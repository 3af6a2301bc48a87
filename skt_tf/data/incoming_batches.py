"""Batches that a user's own code hands over one by one."""

import itertools

import numpy as np
import tensorflow as tf

from skt_tf.utils.errors import UserError, one_line
from skt_tf.utils.records import digest


def as_dataset(data, name):
    """A `keras.utils.PyDataset` as a `tf.data.Dataset`, its batches in their order."""
    try:
        number = data.num_batches
    except NotImplementedError:
        raise UserError(
            f"{name} is a PyDataset without __len__: expected the number of its batches, or None "
            "as num_batches where there is no end"
        ) from None
    # What reads a user's files raises whatever it does.
    except Exception as error:
        raise UserError(f"{name} cannot be read: {one_line(error)}") from error
    if number is None and name == "validation_data":
        raise UserError(
            f"{name} repeats without end: expected the number of its batches as num_batches"
        )
    if number == 0:
        raise UserError(f"{name} has no images: expected one or more")

    def batch(k):
        parts = data[k]
        if not isinstance(parts, (tuple, list)) or len(parts) not in (2, 3):
            raise UserError(
                f"{name} has batches of type {type(parts).__name__}: expected (images, labels), or "
                "(images, labels, weights)"
            )
        if k and len(parts) != len(first):
            raise UserError(f"{name} has batches of {len(first)} and of {len(parts)} parts")
        parts = tuple(np.asarray(part) for part in parts)
        if any(part.dtype.kind not in "uifb" or not part.ndim for part in parts):
            kinds = ", ".join(f"{part.dtype} {part.shape}" for part in parts)
            raise UserError(f"{name} has batches of {kinds}: expected arrays of numbers")
        return parts

    def epoch():
        data.on_epoch_begin()
        yield from map(batch, itertools.count() if number is None else range(number))
        data.on_epoch_end()

    try:
        first = batch(0)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} cannot be read: {one_line(error)}") from error
    spec = tuple(tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in first)
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=spec)
    if number is None:
        return dataset.repeat()
    return dataset.apply(tf.data.experimental.assert_cardinality(number))


# So many images, where nothing says how many there are, are taken for a stream without end.
_ENDLESS = 100_000


def check_end(data, name):
    """Reads `data`, batches, to their end, and refuses those that cannot be read or have none."""
    expected = f"{name} repeats without end: expected each image once, so leave out repeat()"
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise UserError(expected)
    known, number = data.cardinality() != tf.data.UNKNOWN_CARDINALITY, 0
    for batch in safely(data, name):
        number += len(batch[0])
        if number >= _ENDLESS and not known:
            raise UserError(
                f"{expected}, or say how many there are, if {_ENDLESS:,} or more, by "
                "assert_cardinality"
            )


def content_digest(data, name):
    """A number that batches of other examples would hardly have, whatever their order."""
    total = 0
    for batch in safely(data, name):
        for example in zip(*(part.numpy() for part in batch)):
            total += int(digest(example), 16)
    return f"{total % 2**32:08x}"


def safely(dataset, name):
    try:
        yield from dataset
    except tf.errors.OpError as error:
        raise UserError(f"{name} cannot be read: {one_line(error)}") from error
