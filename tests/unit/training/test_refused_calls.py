"""Calls of `distill`, and of what it is made of, that cannot be meant: said before training."""

import types

import numpy as np
import pytest
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
        ({"temperature": "hot"}, "temperature"),
        ({"teacher_points": "p1"}, "teacher_points='p1': expected a list"),
        ({"student_points": [1, 2]}, "student_points=.*expected a list"),
    ],
)
def test_settings_that_no_single_training_has(options, says, teacher, student):
    with refused(says):
        skt_tf.distill(teacher, student, dataset(), **options)


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
