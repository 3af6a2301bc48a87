"""Images that nothing can be trained on are refused in one sentence, and nothing is written."""

import numpy as np
import pytest
from command_line import is_one_sentence

from skt_tf.data.datasets import Dataset
from skt_tf.methods.flow_weights import normalized_flow_weights
from skt_tf.models.points import dense_flows
from skt_tf.utils.errors import UserError

GOOD = {
    "name": "mine",
    "train_images": np.zeros((6, 8, 8, 1), np.uint8),
    "train_labels": np.arange(6) % 3,
    "test_images": np.zeros((4, 8, 8, 1), np.uint8),
    "test_labels": np.arange(4) % 3,
    "num_classes": 3,
    "mirrored": False,
}


def test_arrays_of_one_s_own_can_be_used():
    assert Dataset(**GOOD).image_shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("train_images", np.full((6, 8, 8, 1), np.nan, np.float32), ["train_images", "float32"]),
        ("train_images", np.zeros((6, 8, 8), np.uint8), ["train_images", "(6, 8, 8)"]),
        ("train_images", np.zeros((0, 8, 8, 1), np.uint8), ["train_images", "one image or more"]),
        ("test_images", np.zeros((4, 9, 8, 1), np.uint8), ["(8, 8, 1)", "(9, 8, 1)"]),
        ("test_images", np.zeros((4, 8, 8, 3), np.uint8), ["(8, 8, 1)", "(8, 8, 3)"]),
        ("train_labels", np.arange(5) % 3, ["train_labels", "(5,)", "6 images"]),
        ("train_labels", np.eye(6)[:, :3], ["train_labels", "(6, 3)", "6 images"]),
        ("train_labels", np.full(6, np.nan), ["train_labels", "float64", "integer"]),
        ("train_labels", np.arange(6), ["train_labels", "0 to 5", "0 to 2"]),
        ("test_labels", -np.arange(4), ["test_labels", "-3 to 0", "0 to 2"]),
        ("num_classes", 1, ["1 classes", "two or more"]),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(name, value, parts):
    with pytest.raises(UserError) as refusal:
        Dataset(**{**GOOD, name: value})
    sentence = str(refusal.value)
    assert is_one_sentence(sentence)
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.full((4, 8, 8, 1), np.nan, np.float32), "images without NaN"),
        (np.zeros((4, 8, 8, 3), np.float32), r"\(8, 8, 3\) .* \(8, 8, 1\)"),
        (np.zeros((0, 8, 8, 1), np.float32), "at least one"),
    ],
)
def test_flows_cannot_be_normalised_on_images_that_are_none(images, says, teacher):
    with pytest.raises(UserError, match=says) as refusal:
        normalized_flow_weights(teacher, dense_flows(), images)
    assert is_one_sentence(str(refusal.value))
