"""Sequences that are killed go on to the same bytes: heads, memories and anchors are saved too."""

import itertools

import keras
import numpy as np
import pytest

import skt_tf

NUMBER, CLASSES, SHAPE = 48, 4, (8, 8, 3)
# What has heads, remembers images or weights, or sees images twice, behind what has none of it.
METHOD = "at>vid+crd(negatives=8)+task+anchor*0.5+mlkd"


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (NUMBER, *SHAPE), np.uint8)
    labels = np.arange(NUMBER) % CLASSES
    return skt_tf.Dataset("noise", images, labels, images[:8], labels[:8], CLASSES, False)


def distilled(data, folder, kill_at=None):
    """The result of a call; or of one that was killed at the end of a batch, and begun again."""

    def network(seed):
        return skt_tf.resnet(8, CLASSES, SHAPE, 4, normalization=(120.0, 4000.0), seed=seed)

    def call(*callbacks):
        return skt_tf.distill(
            network(1), network(2), data, method=METHOD, transfer_steps=3, task_steps=5,
            batch_size=16, evaluations=2, output_dir=folder, checkpoint_every="1", verbose=0,
            callbacks=callbacks,
        )  # fmt: skip

    if kill_at:
        left = itertools.count(1 - kill_at)

        def stop(batch, logs):
            if next(left) >= 0:
                raise Killed

        with pytest.raises(Killed):
            call(keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    return call()


def test_a_killed_sequence_ends_with_the_same_bytes(data, tmp_path):
    whole = distilled(data, tmp_path / "whole")
    cut = distilled(data, tmp_path / "cut", kill_at=6)
    for one, other in zip(whole.student.variables, cut.student.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.history == cut.history
