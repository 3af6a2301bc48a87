"""What batches carry beside images and labels, for losses that ask for it."""

import numpy as np
import pytest
import tensorflow as tf

import skt_tf
from skt_tf.data.strong_views import strengthened

NUMBER, CLASSES, SHAPE = 48, 4, (8, 8, 3)


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (NUMBER, *SHAPE), np.uint8)
    labels = np.arange(NUMBER) % CLASSES
    return skt_tf.Dataset("noise", images, labels, images[:8], labels[:8], CLASSES, False)


def test_batches_carry_the_numbers_of_their_images_and_a_second_view(data):
    options = {"indices": True, "second": True}
    found = list(skt_tf.training_batches(data, 16, 3, 4, **options))
    plain = list(skt_tf.training_batches(data, 16, 3, 4))
    for (images, labels, beside), (same, _) in zip(found, plain):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels, data.train_labels[beside["indices"]])
        assert beside["second"].shape == images.shape
        assert not np.array_equal(beside["second"], images)
    later = next(iter(skt_tf.training_batches(data, 16, 3, 4, start=2, **options)))
    np.testing.assert_array_equal(later[2]["second"], found[2][2]["second"])


def test_a_strong_view_hides_a_square_and_changes_brightness_within_its_bounds():
    grey = np.full((64, 16, 16, 3), 100, np.uint8)
    found = strengthened(grey, (1, 2)).numpy()
    # Of one grey level contrast, saturation and the hidden square's mean change nothing.
    levels = found.reshape(64, -1)
    assert np.ptp(levels, axis=1).max() == 0
    assert 40 <= levels.min() < 60
    assert 140 < levels.max() <= 160
    edge = np.zeros((32, 16, 16, 3), np.uint8)
    edge[:, 8:] = 200
    moved = strengthened(edge, (1, 2)).numpy()
    assert len(np.unique(moved.reshape(32, -1), axis=0)) == 32
    np.testing.assert_array_equal(moved, strengthened(edge, (1, 2)))


def test_images_that_come_have_neither_numbers_nor_a_second_view(data):
    network = skt_tf.resnet(8, CLASSES, SHAPE, 4)
    student = skt_tf.resnet(8, CLASSES, SHAPE, 4)
    stream = tf.data.Dataset.from_tensor_slices((data.train_images, data.train_labels))
    for method, what in (("crd+task", "how many"), ("mlkd+task", "second view")):
        with pytest.raises(skt_tf.UserError, match=what):
            skt_tf.distill(network, student, stream, method=method, verbose=0, task_steps=2)
