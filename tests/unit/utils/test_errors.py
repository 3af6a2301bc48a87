"""Errors as others than the command line meet them."""

import copy
import pickle

import pytest

import skt_tf
from skt_tf.training.history import StageRecord
from skt_tf.utils.errors import one_line

RECORD = StageRecord("step1", 3, 1.5, ({"loss": 2.0},))
ERRORS = [
    skt_tf.UserError("that is wrong"),
    skt_tf.UnfitTeacher("zero on every image"),
    skt_tf.Diverged("the loss is nan", "task", 4, "p0_p1", 0.1, [RECORD]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy]
    + [lambda error, k=k: pickle.loads(pickle.dumps(error, k)) for k in range(6)],
)
def test_every_public_error_survives_pickle_and_copy(error, again):
    found = again(error)
    assert type(found) is type(error)
    assert isinstance(found, ValueError)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


def test_a_sentence_of_ours_is_told_without_tensorflows_words():
    noise = "Error in user-defined function passed to MapDataset:3 transformation with iterator: "
    noise += "Iterator::Root::Map: images of NaN : Tensor had NaN values\n\t [[{{node Check}}]]"
    assert one_line(noise) == "images of NaN"
    several = (
        "Graph execution error:\n3 root error(s) found.\n  (0) INVALID_ARGUMENT:  no label\n  (1)"
    )
    assert one_line(several) == "no label"
    assert one_line("assertion failed: [no end] [Condition x < y did] [x] [1]") == "no end"
