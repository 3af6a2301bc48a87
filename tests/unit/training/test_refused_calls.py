"""Calls of `distill`, and of what it is made of, that cannot be meant: said before training."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from sentences import refused

import skt_tf
from skt_tf.data.datasets import Dataset
from skt_tf.methods.stage import Stage
from skt_tf.training.batch_parts import asked_for


def dataset(shape=(8, 8, 1), classes=4):
    images = np.zeros((12, *shape), np.uint8)
    labels = np.arange(12, dtype=np.int32) % classes
    return Dataset("noise", images, labels, images, labels, classes, mirrored=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "skt_shared"}, "'skt_shared' is a control of several nets"),
        ({"method": "teachers"}, "'teachers' is an experiment's row"),
        ({"temperature": "hot"}, "temperature"),
        ({"teacher_points": "p1"}, "teacher_points='p1': expected a list"),
        ({"student_points": [1, 2]}, "student_points=.*expected a list"),
    ],
)
def test_settings_that_no_single_training_has(options, says, teacher, student):
    with refused(says):
        skt_tf.distill(teacher, student, dataset(), **options)


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("flows>task+mlkd", {}, "second view of each image.*give a skt_tf.Dataset"),
        ("flows>task+sp", {"weights": True}, "weights of images.*compares the images"),
        ("flows>task+sp", {"batch_size": 1}, "'sp' compares the images of a batch"),
        ("fsp", {"task_steps": 2, "together": 3}, "stage 'task' has 2"),
    ],
)
def test_what_a_later_stage_cannot_do_is_said_before_the_first(
    method, options, says, teacher, student, batch
):
    options = {"transfer_steps": 4, "task_steps": 4, "batch_size": 4, **options}
    weights = [np.ones(8)] if options.pop("weights", False) else []
    if together := options.pop("together", None):
        options["optimizer"] = keras.optimizers.SGD(0.1, gradient_accumulation_steps=together)
    before = [variable.numpy().tobytes() for variable in student.variables]
    with refused(says):
        skt_tf.distill(teacher, student, (*batch, *weights), method=method, verbose=0, **options)
    assert before == [variable.numpy().tobytes() for variable in student.variables]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (skt_tf.sequence("dense>task", overlap="half"), "'dense>task' was made for other flows"),
        (skt_tf.sequence("flows>task", section_flows="within"), "made for other flows"),
    ],
    ids=str,
)
def test_a_sequence_whose_text_would_be_another(made, says, teacher, student, batch):
    with refused(says):
        skt_tf.distill(teacher, student, batch, method=made)


def test_weights_of_other_flows(teacher, student, batch):
    with refused("flow_weights has 1 numbers: .* flows p0_p1, p1_p2"):
        skt_tf.distill(teacher, student, batch, flow_weights={("p0", "p1"): 1.0})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dataset(shape=(8, 8, 3)), r"images of shape \(8, 8, 3\).*\(8, 8, 1\)"),
        (dataset(classes=6), "6 classes and the student 4"),
    ],
)
def test_datasets_of_other_images_or_classes(given, says, teacher, student):
    with refused(says):
        skt_tf.distill(teacher, student, given, method="kd")


def test_images_to_watch_beside_a_dataset_that_has_some(teacher, student, batch):
    with refused("images to watch of its own"):
        skt_tf.distill(teacher, student, dataset(), batch, method="kd")


def test_stages_that_no_objective_is_known_for(teacher, student):
    with refused("unknown objective 'guess': expected transfer"):
        skt_tf.SequentialDistiller(teacher, student, Stage("guessed", "guess", {}))
    (task,) = skt_tf.stages("baseline")
    with refused("transfer_batch_norm=moving"):
        skt_tf.SequentialDistiller(teacher, student, task, transfer_batch_norm="moving")


@pytest.mark.parametrize(
    ("name", "what"), [("indices", "numbers of its images"), ("second", "a second view")]
)
def test_batches_without_what_a_loss_asks_for(name, what):
    objective = types.SimpleNamespace(beside=(name,))
    with refused(f"{what}.*{name}=True"):
        asked_for(objective, {}, "remembering")
    assert asked_for(objective, {name: 3, "other": 4}, "remembering") == {name: 3}


def test_validation_data_are_read_to_their_end_before_the_first_step(teacher, student, batch):
    images, labels = map(np.asarray, batch)
    labels = np.append(labels[:-1], 99)
    held = tf.data.Dataset.from_tensor_slices((images, labels)).batch(3)
    with refused("^validation_data cannot be read: .*labels that are not 0 to"):
        skt_tf.distill(None, student, batch, held, method="baseline", task_steps=1)


def test_a_student_that_sees_other_images_than_its_teacher_is_warned_of(teacher, batch, capsys):
    images = keras.Input(batch[0].shape[1:])
    maps = keras.layers.RandomFlip(name="flip", seed=0)(images)
    maps = keras.layers.Conv2D(4, 3, name="conv")(maps)
    outputs = keras.layers.Dense(teacher.output_shape[-1])(keras.layers.Flatten()(maps))
    student = keras.Model(images, outputs)
    options = {"task_steps": 1, "batch_size": 4, "verbose": 0}
    for method, warned in (("baseline", False), ("kd", True)):
        skt_tf.distill(teacher, student, batch, method=method, **options)
        assert ("the student's flip shows it other images" in capsys.readouterr().err) == warned
