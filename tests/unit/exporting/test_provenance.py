"""What an export knows of a run's teacher, which was trained in the run or given to it."""

import json

import pytest

from skt_tf.exporting.card import _training
from skt_tf.exporting.provenance import provenance
from skt_tf.models.saving import save_network, weights_digest

ENVIRONMENT = {"python": "3.11", "tensorflow": "2.21", "keras": "3.15", "skt_tf": "0.2", "cores": 2}


@pytest.fixture
def run(teacher, tmp_path):
    """Writes a run with this teacher, with what is `changed` in its entry; the teacher's path."""
    path = tmp_path / "teacher" / "model.keras"
    save_network(teacher, path)

    def write(**changed):
        entry = {
            "depth": 8, "accuracy": 0.75, "validation_accuracy": 0.5, "source": None,
            "weights": weights_digest(path), "parameters": 5678, "iterations": 30,
        }  # fmt: skip
        results = {
            "dataset": "digits",
            "data": "12345678",
            "config": {"image_size": None},
            "environment": ENVIRONMENT,
            "teacher": {**entry, **changed},
            "methods": {},
        }
        (tmp_path / "results.json").write_text(json.dumps(results))
        return path

    return write


def test_a_teacher_that_was_trained_in_a_run_is_said_to_have_had_none(run):
    source = provenance(run())
    assert (source.method, source.teacher, source.stages) == (None, {}, (("teacher", 30),))
    assert source.accuracies == {"test": 0.75, "validation": 0.5}
    said = " ".join(_training(source))
    assert "trained without a teacher, by skt_tf" in said
    assert "method" not in said


@pytest.mark.parametrize("changed", [{"source": "given.keras"}, {"weights": "00000000"}])
def test_of_one_that_was_given_or_replaced_nothing_is_known(run, changed):
    assert provenance(run(**changed)) is None
