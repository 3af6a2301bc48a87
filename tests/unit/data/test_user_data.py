"""What users hand over as images and labels: arrays, tf.data.Datasets, PyDatasets."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sentences import refused

from skt_tf.data.user_data import Stream

IMAGES = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
LABELS = np.arange(12) % 3
ONE_HOT = np.eye(3)[LABELS]
WEIGHTS = np.arange(12) / 2


class Batches(keras.utils.PyDataset):
    """Batches of five, the last one smaller; counts what it is told."""

    def __init__(self, *parts, number=3):
        super().__init__()
        self.parts, self.number, self.ends = parts, number, 0

    @property
    def num_batches(self):
        return self.number

    def __getitem__(self, k):
        return tuple(part[5 * k : 5 * k + 5] for part in self.parts)

    def on_epoch_end(self):
        self.ends += 1


def slices(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


def stream(data, validation=None):
    return Stream(data, validation, 4, (1, 1, 1), 3)


def drawn(found, steps=6):
    """The parts of the batches of two epochs, joined."""
    batches = list(found.training_batches(4, 0, steps).as_numpy_iterator())
    return [np.concatenate(parts) for parts in zip(*batches)]


@pytest.mark.parametrize(
    ("labels", "weighted"), [(LABELS, True), (LABELS[:, None], False), (ONE_HOT == 1, True)]
)
@pytest.mark.parametrize(
    "form",
    [
        lambda *parts: parts,
        lambda *parts: slices(*parts),
        lambda *parts: slices(*parts).batch(5),
        Batches,
    ],
    ids=["arrays", "images", "batches", "PyDataset"],
)
def test_every_form_gives_the_same_examples(form, labels, weighted):
    parts = (IMAGES, labels, *[WEIGHTS] * weighted)
    found = stream(form(*parts), form(*parts))
    images, classes, *weights = drawn(found)
    assert sorted(images.ravel()) == sorted([*range(12)] * 2)
    assert np.array_equal(classes, images.ravel() % 3)
    watched = [np.concatenate(p) for p in zip(*found.watched_batches().as_numpy_iterator())]
    assert np.array_equal(watched[0].ravel(), np.arange(12))
    assert np.array_equal(watched[1], LABELS)
    for given, of in ((weights, images), (watched[2:], watched[0])):
        assert len(given) == weighted
        assert all(np.array_equal(weight, of.ravel() / 2) for weight in given)
    assert np.array_equal(found.first[1], found.first[0].ravel() % 3)
    assert np.concatenate(list(found.sample(4))).shape == (4, 1, 1, 1)


def test_a_pydataset_is_told_of_the_ends_of_its_epochs_and_goes_on_anywhere():
    data = Batches(IMAGES, LABELS)
    found = stream(data)
    whole = drawn(found, 7)[0][:24]
    assert data.ends == 2
    later = [images for images, _ in found.training_batches(4, 0, 6, start=4)]
    assert np.array_equal(np.concatenate(later), whole[16:])
    endless = Batches(np.tile(IMAGES, (9, 1, 1, 1)), np.tile(LABELS, 9), number=None)
    assert len(drawn(stream(endless))[0]) == 24
    with refused("validation_data repeats without end"):
        stream(endless, endless)


def test_digests_tell_data_apart():
    found = [stream((IMAGES, LABELS)), stream((IMAGES, ONE_HOT)), stream((IMAGES, LABELS, WEIGHTS))]
    assert len({one.digest for one in found}) == 2
    assert stream((IMAGES, LABELS)).watched_digest is None
    watched = [stream((IMAGES, LABELS), (IMAGES[k:], LABELS[k:])).watched_digest for k in (0, 1)]
    assert watched[0] != watched[1]


def test_content_tells_batches_apart_whatever_their_order():
    held = slices(IMAGES, LABELS)
    given = {
        "same": held.batch(5),
        "shuffled": held.shuffle(12).batch(3),
        "PyDataset": Batches(IMAGES, LABELS),
        "an image more": held.concatenate(held.take(1)),
        "another image": slices(np.where(IMAGES == 7, 8, IMAGES), LABELS),
        "another label": slices(IMAGES, np.where(LABELS == 2, 1, LABELS)),
    }
    found = {name: stream(held, data).watched_content() for name, data in given.items()}
    assert found["same"] == found["shuffled"] == found["PyDataset"]
    assert len(set(found.values())) == 4
    assert stream(held, (IMAGES, LABELS)).watched_content() is None
    assert stream(held).watched_content() is None


def broken(*_):
    raise AssertionError("it was read")


class Unread(Batches):
    __getitem__ = broken


class Unnumbered(keras.utils.PyDataset):
    def __getitem__(self, k):
        return IMAGES, LABELS


class Lost(Batches):
    def __getitem__(self, k):
        raise FileNotFoundError("image.png")


SOFT = np.full((12, 3), 1 / 3)
CASES = {
    "of one part": ((IMAGES,), "train_data is a tuple of 1"),
    "dict": ({"image": IMAGES}, "train_data is a dict"),
    "generator": ((x for x in ()), "train_data is a generator"),
    "soft": ((IMAGES, SOFT), "rows of labels that are not a single 1"),
    "two ones": ((IMAGES, np.ones((12, 3))), "rows of labels"),
    "other classes": ((IMAGES, np.eye(4)[LABELS]), r"\(12, 4\): .* one-hot labels \[number, 3\]"),
    "maps of labels": ((IMAGES, np.zeros((12, 3, 3), int)), r"shape \(12, 3, 3\)"),
    "words": ((IMAGES, np.array(["cat"] * 12)), "class number"),
    "weights below 0": ((IMAGES, LABELS, -WEIGHTS), "weights that are below 0"),
    "weights of NaN": ((IMAGES, LABELS, WEIGHTS * np.nan), "weights that are below 0, NaN"),
    "too few weights": ((IMAGES, LABELS, WEIGHTS[:3]), r"weights of shape \(3,\)"),
    "weights of classes": ((IMAGES, LABELS, np.ones((12, 3))), r"weights of shape \(12, 3\)"),
    "soft in batches": (slices(IMAGES, SOFT).batch(4), "rows of labels"),
    "soft in a PyDataset": (Batches(IMAGES, SOFT), "rows of labels"),
    "too many parts": (slices(IMAGES, LABELS, WEIGHTS, WEIGHTS), "has elements"),
    "empty PyDataset": (Batches(IMAGES, LABELS, number=0), "train_data has no images"),
    "objects": (Batches(IMAGES, LABELS.astype(object)), "batches of uint8 .* object"),
    "no number of batches": (Unnumbered(), "a PyDataset without __len__"),
    "a file that is gone": (Lost(IMAGES, LABELS), "train_data cannot be read: image.png"),
    "one part": (Batches(IMAGES), "batches of type tuple"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_taken_is_refused(name):
    data, says = CASES[name]
    with refused(f"train_data.*{says}|^{says}"):
        stream(data)


def test_nothing_is_read_where_the_other_part_is_unfit():
    with refused("validation_data is a dict"):
        stream(Unread(IMAGES, LABELS), {})


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((IMAGES, np.where(np.arange(12) == 9, 7, LABELS)), "labels that are not 0 to 2"),
        ((IMAGES, np.where(np.arange(12)[:, None] == 9, SOFT, ONE_HOT)), "rows of labels"),
        ((IMAGES, LABELS, np.where(np.arange(12) == 9, -1.0, 1.0)), "weights that are below 0"),
        ((IMAGES, LABELS, np.where(np.arange(12) == 9, np.inf, 1.0)), "weights that are below 0"),
    ],
)
@pytest.mark.parametrize("form", [lambda *parts: slices(*parts).batch(4), Batches])
def test_what_shows_in_a_later_batch_stops_there(form, parts, says):
    with pytest.raises(tf.errors.InvalidArgumentError, match=says):
        drawn(stream(form(*parts)))


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ([[[1]]], [[[1, 2]]]),
        ([[[0, 1, 0]]], [[[0, 1]]]),
        ([[1], [[0.5]]], [[1], [[0.5, 0.5]]]),
        ([[1], [[0.5]]], [[1], [[0.5], [0.5]]]),
    ],
    ids=["labels", "one-hot labels", "weights of classes", "weights of more"],
)
def test_labels_and_weights_of_a_later_batch_are_of_the_shape_of_the_first_s(first, later):
    batches = [(IMAGES[:1], *map(np.array, parts)) for parts in (first, later)]
    kinds = tuple(tf.TensorSpec([None] * part.ndim, part.dtype) for part in batches[0])
    kinds = tf.TensorSpec([None, 1, 1, 1], tf.uint8), *kinds[1:]
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=kinds)
    says = "train_data has (labels or weights of another shape|a batch of another number)"
    with pytest.raises(tf.errors.InvalidArgumentError, match=says):
        drawn(stream(data))
