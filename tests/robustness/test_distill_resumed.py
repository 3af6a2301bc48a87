"""A call of `distill` that was stopped goes on, and one that is finished is not run again."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

import skt_tf
from skt_tf.utils.errors import UserError

SHAPE, CLASSES = (16, 16, 3), 4


NAMES = tuple(f"c{k}" for k in range(7))


SHORT = {"transfer_steps": 4, "task_steps": 4, "hint_steps": 2, "batch_size": 8, "evaluations": 2}


def chain(channels=(3, 4, 4, 6, 6, 8, 8), classes=CLASSES, shape=SHAPE, seed=0, factor=0.0):
    """A plain network, no relative of the project's own, with a layer `c<k>` for each point."""
    keras.utils.set_random_seed(seed)
    images = x = keras.Input(shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for k, number in enumerate(channels):
        strides = 2 if k in (3, 5) else 1
        x = layers.Conv2D(
            number, 3, strides, "same", kernel_regularizer=keras.regularizers.L2(factor)
        )(x)
        x = layers.ReLU(name=f"c{k}")(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(images, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


@functools.cache
def taught(channels=(3, 4, 4, 6, 6, 8, 8), classes=CLASSES):
    """A `chain` that has learnt a little: before, its maps fade from layer to layer."""
    teacher = chain(channels, classes, seed=1)
    skt_tf.distill(None, teacher, examples(), method="baseline", task_steps=15, batch_size=16)
    return teacher


@functools.cache
def examples():
    """Bright and dark images of four classes that a small network learns in a few steps."""
    random = np.random.default_rng(0)
    labels = np.arange(96) % CLASSES
    images = random.normal(size=(96, *SHAPE)) * 10 + 30 + 60 * labels[:, None, None, None]
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def data():
    return examples()


def weights(network):
    return [variable.numpy() for variable in network.variables]


def same(first, second):
    return [a.tobytes() for a in first] == [b.tobytes() for b in second]


def test_a_call_goes_on_from_its_checkpoint_and_is_not_run_again(data, tmp_path):
    options = {
        "method": "skt", "teacher_points": NAMES, "student_points": NAMES, "project": True,
        "checkpoint_every": "1", **SHORT,
    }  # fmt: skip
    teacher = taught((4, 4, 4, 6, 6, 9, 9))

    class Stop(keras.callbacks.Callback):
        """Ends the call at one of its iterations, as a preempted machine does."""

        def __init__(self, left):
            super().__init__()
            self.left = left

        def on_train_batch_end(self, batch, logs=None):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    whole = chain()
    expected = skt_tf.distill(teacher, whole, data, data, output_dir=tmp_path / "whole", **options)
    for left in (3, 7):
        student, folder = chain(), tmp_path / str(left)
        with pytest.raises(KeyboardInterrupt):
            skt_tf.distill(
                teacher, student, data, data, output_dir=folder, callbacks=[Stop(left)], **options
            )
        assert not (folder / "student.keras").exists()
        student = chain()
        found = skt_tf.distill(teacher, student, data, data, output_dir=folder, **options)
        assert same(weights(student), weights(whole))
        assert (found.history, found.accuracy) == (expected.history, expected.accuracy)
        metrics = [path / "metrics.csv" for path in (folder, tmp_path / "whole")]
        assert metrics[0].read_bytes() == metrics[1].read_bytes()
        assert sorted(path.name for path in folder.iterdir()) == [
            "distill.json", "metrics.csv", "student.keras",
        ]  # fmt: skip

    class Never(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise AssertionError("it is trained again")

    student = chain()
    again = skt_tf.distill(
        teacher, student, data, data, output_dir=tmp_path / "whole", callbacks=[Never()], **options
    )
    assert same(weights(student), weights(whole))
    assert again.history == expected.history
    for change, part in (
        ({"seed": 1}, r"seed \(0 there, 1 here\)"),
        ({"task_steps": 5}, "task_steps"),
    ):
        with pytest.raises(UserError, match=part):
            skt_tf.distill(
                teacher, chain(), data, data, output_dir=tmp_path / "whole", **{**options, **change}
            )
    # The images watched may be others: the accuracy is theirs.
    guessed = data[0], whole.predict(data[0], verbose=0).argmax(1)
    again = skt_tf.distill(
        teacher, chain(), data, guessed, output_dir=tmp_path / "whole", **options
    )
    assert again.accuracy == 1 != expected.accuracy
    with pytest.raises(UserError, match="holds a student of other layers"):
        skt_tf.distill(
            teacher, chain((3, 4, 4, 6, 6, 8, 8, 5)), data, data, output_dir=tmp_path / "whole",
            **options,
        )  # fmt: skip
    other = data[0] // 2, data[1]
    with pytest.raises(UserError, match="differs in data"):
        skt_tf.distill(teacher, chain(), other, data, output_dir=tmp_path / "whole", **options)
    with pytest.raises(UserError, match="differs in teacher"):
        skt_tf.distill(
            chain((4, 4, 4, 6, 6, 9, 9), seed=2), chain(), data, data,
            output_dir=tmp_path / "whole", **options,
        )  # fmt: skip
