"""Sequences that are killed go on to the same bytes: heads, memories and anchors are saved too."""

import itertools

import keras
import numpy as np
import pytest

import skt_tf
from skt_tf.data.strong_views import strengthened

NUMBER, CLASSES, SHAPE = 48, 4, (8, 8, 3)


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (NUMBER, *SHAPE), np.uint8)
    labels = np.arange(NUMBER) % CLASSES
    return skt_tf.Dataset("noise", images, labels, images[:8], labels[:8], CLASSES, False)


def distilled(data, folder, method, kill_at=()):
    """The student after a call that was killed at each of so many batches, and begun again."""

    def network(seed):
        return skt_tf.resnet(8, CLASSES, SHAPE, 4, normalization=(120.0, 4000.0), seed=seed)

    def call(*callbacks):
        return skt_tf.distill(
            network(1), network(2), data, method=method, transfer_steps=3, task_steps=5,
            batch_size=16, evaluations=2, output_dir=folder, checkpoint_every="1", verbose=0,
            callbacks=callbacks,
        )  # fmt: skip

    for at in kill_at:
        left = itertools.count(-at)

        def stop(batch, logs, left=left):
            if next(left) >= 0:
                raise Killed

        with pytest.raises(Killed):
            call(keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    return call()


@pytest.mark.parametrize(
    "method",
    [
        "vid+at>crd(negatives=8)+task",
        "flows>task+anchor*0.5+reviewkd*0.01",
        "mlkd+task>cc+fitnet+task",
    ],
)
def test_a_killed_sequence_ends_with_the_same_bytes(method, data, tmp_path):
    whole = distilled(data, tmp_path / "whole", method)
    cut = distilled(data, tmp_path / "cut", method, kill_at=(2, 3))
    for one, other in zip(whole.student.variables, cut.student.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.history == cut.history
    again = distilled(data, tmp_path / "again", method)
    assert again.history == whole.history


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
    import tensorflow as tf

    network = skt_tf.resnet(8, CLASSES, SHAPE, 4)
    student = skt_tf.resnet(8, CLASSES, SHAPE, 4)
    stream = tf.data.Dataset.from_tensor_slices((data.train_images, data.train_labels))
    for method, what in (("crd+task", "number"), ("mlkd+task", "second view")):
        with pytest.raises(skt_tf.UserError, match=what):
            skt_tf.distill(network, student, stream, method=method, verbose=0, task_steps=2)
