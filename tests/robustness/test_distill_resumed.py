"""A call of `distill` that was stopped goes on, and one that is finished is not run again."""

import keras
import pytest
from chains import NAMES, SHORT, chain, examples, taught
from reference import same, values
from sentences import refused

import skt_tf


class Stop(keras.callbacks.Callback):
    """Ends a call in the second stage of its transfer, as a preempted machine does."""

    left = 3

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Never(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        raise AssertionError("it is trained again")


def test_a_call_goes_on_from_its_checkpoint_and_is_not_run_again(tmp_path):
    data, teacher = examples(), taught((4, 4, 4, 6, 6, 9, 9))

    def call(student=None, folder="whole", teacher=teacher, train=data, **changed):
        options = {
            "method": "skt", "teacher_points": NAMES, "student_points": NAMES, "project": True,
            "checkpoint_every": "1", **SHORT, **changed,
        }  # fmt: skip
        student, place = student or chain(), tmp_path / folder
        return skt_tf.distill(teacher, student, train, data, output_dir=place, **options)

    expected = call()
    whole = values(expected.student)
    with pytest.raises(KeyboardInterrupt):
        call(folder="stopped", callbacks=[Stop()])
    assert not (tmp_path / "stopped/student.keras").exists()
    found = call(folder="stopped")
    assert same(values(found.student), whole)
    assert (found.history, found.accuracy) == (expected.history, expected.accuracy)
    files = [tmp_path / folder / "metrics.csv" for folder in ("stopped", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    names = sorted(path.name for path in files[0].parent.iterdir())
    assert names == ["distill.json", "metrics.csv", "student.keras"]
    again = call(callbacks=[Never()])
    assert same(values(again.student), whole)
    assert again.history == expected.history
    for part, changed in (
        (r"seed \(0 there, 1 here\)", {"seed": 1}),
        ("task_steps", {"task_steps": 5}),
        ("differs in student's layers", {"student": chain((3, 4, 4, 6, 6, 8, 8), factor=0.1)}),
        ("differs in data", {"train": (data[0] // 2, data[1])}),
        ("differs in teacher", {"teacher": chain((4, 4, 4, 6, 6, 9, 9), seed=2)}),
    ):
        with refused(part):
            call(**changed)
