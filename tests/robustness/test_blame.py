"""Numbers that are no numbers are found where they come from."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from chains import NAMES, SHORT, chain, examples, taught

import skt_tf
from skt_tf.data.user_data import Stream
from skt_tf.training.callbacks import Guard
from skt_tf.training.history import Progress
from skt_tf.utils.errors import Diverged, UserError

OPTIONS = {"teacher_points": NAMES, "student_points": NAMES, "verbose": 0, **SHORT}


def scaled(network, factor, name="kernel"):
    for variable in network.trainable_variables:
        if variable.name == name:
            variable.assign(factor * variable)
    return network


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("method", ["hint", "fsp"])
def test_weights_are_looked_at_before_the_first_step(role, method):
    networks = {"teacher": chain(seed=1), "student": chain()}
    networks[role].weights[-1].assign(networks[role].weights[-1] * np.nan)
    with pytest.raises(UserError, match=f"the {role} '.*' holds weights that are NaN or infinite"):
        skt_tf.distill(train_data=examples(), method=method, **networks, **OPTIONS)


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "float32"), (np.inf, "float16")])
def test_an_image_is_found_at_its_iteration_though_a_relu_hides_it(value, dtype):
    images, labels = examples()
    images = images.astype(dtype)
    images[20, 3, 3, 0] = value  # In iteration 3.
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    steps, data = [], tf.data.Dataset.from_tensor_slices((images, labels))
    with pytest.raises(UserError, match=r"train_data has images of NaN or infinity$"):
        skt_tf.distill(None, chain(), data, method="baseline", callbacks=seen, **OPTIONS)
    assert len(steps) == 2


@pytest.mark.parametrize("method", ["fsp", "kd", "hint"])
def test_a_teacher_too_large_for_its_precision_is_named(method):
    teacher = scaled(chain(seed=1), 30)
    options = {**OPTIONS, "method": method, "train_data": examples()}
    with pytest.raises(Diverged, match="too large for float16: give teacher_precision=float32"):
        skt_tf.distill(teacher, chain(), teacher_precision="float16", **options)


@keras.saving.register_keras_serializable(package="tests")
class Root(keras.layers.Layer):
    """Maps whose gradient is infinite where they are 0."""

    def call(self, inputs):
        return tf.sqrt(tf.nn.relu(inputs - 1e9))


def rooted():
    images = x = keras.Input((16, 16, 3))
    x = Root()(keras.layers.Conv2D(4, 3)(x))
    return keras.Model(images, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))


def test_gradients_that_are_no_numbers_stop_their_own_iteration():
    with pytest.raises(Diverged, match=r"nan at iteration 1 .*: no step was taken yet") as error:
        skt_tf.distill(None, rooted(), examples(), method="baseline", **OPTIONS)
    assert "learning_rate" not in str(error.value)


def test_only_what_is_left_is_the_learning_rates():
    with pytest.raises(Diverged, match=r"give a smaller transfer_learning_rate$"):
        skt_tf.distill(
            taught(), chain(), examples(), method="fsp", transfer_learning_rate=9e8, **OPTIONS
        )


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_a_teacher_whose_flows_are_far_smaller_does_not_blow_the_student_up(factor):
    # As it is built, its maps fade from layer to layer.
    teacher = scaled(chain(seed=1), factor, "gamma")
    found = skt_tf.distill(
        teacher, chain(), examples(), method="fsp", **{**OPTIONS, "transfer_steps": 20}
    )
    assert found.history["transfer"]["loss"][0] < 3
    assert np.isfinite([stage["loss"][-1] for stage in found.history.values()]).all()


def endless(kind):
    data = tf.data.Dataset.from_tensor_slices(examples()).batch(32).repeat()
    return data if kind == "known" else data.filter(lambda *_: True)


@pytest.mark.parametrize("kind", ["known", "unknown"])
def test_validation_data_without_end_is_refused(kind, monkeypatch):
    monkeypatch.setattr("skt_tf.data.incoming_batches._ENDLESS", 200)
    with pytest.raises(UserError, match=r"^validation_data repeats without end"):
        Stream(examples(), endless(kind), 8, (16, 16, 3), 4)


def test_images_that_come_once_are_told_from_those_that_come_again():
    def data():
        rest = iter(list(zip(*examples())))
        spec = tf.TensorSpec((16, 16, 3), tf.uint8), tf.TensorSpec((), tf.int64)
        return tf.data.Dataset.from_generator(lambda: rest, output_signature=spec)

    with pytest.raises(UserError, match=r"^train_data ended after iteration \d+ of stage 'task'"):
        skt_tf.distill(None, chain(), data(), method="baseline", **{**OPTIONS, "task_steps": 40})
    with pytest.raises(UserError, match=r"^validation_data has no images the second time"):
        skt_tf.distill(taught(), chain(), examples(), data(), method="kd", **OPTIONS)


def test_a_mark_of_pixels_without_data_is_told_from_a_rate():
    images, labels = examples()
    images = images.astype(np.float32)
    images[:, 3, 3] = np.finfo(np.float32).min
    with pytest.raises(Diverged, match=r"a pixel of 3\.4e\+38: give images of a scale"):
        skt_tf.distill(None, chain(), (images, labels), method="baseline", **OPTIONS)
    with pytest.raises(UserError, match="pixels that are NaN or infinite"):
        skt_tf.distill(None, chain(), (10 * images.astype(np.float64), labels), method="baseline")


@pytest.mark.parametrize(("last", "warned"), [(0.5, False), (3.0, False), (1e12, True)])
def test_a_transfer_that_spoils_the_student_is_warned_of(last, warned, capsys):
    transfer, task = skt_tf.stages("fsp")
    for stage in (transfer, task):
        guard = Guard(Progress(rows=[{"loss": last}]), 4, 2, None, "transfer_learning_rate", "")
        guard.set_model(types.SimpleNamespace(stage=stage, name="mine"))
        guard.first_loss = 2.0
        guard._say_growth()
        said = capsys.readouterr().err
        expected = warned and stage == transfer
        assert ("of stage transfer has grown from 2 to 1e+12" in said) == expected
        assert ("give a smaller transfer_learning_rate" in said) == expected
