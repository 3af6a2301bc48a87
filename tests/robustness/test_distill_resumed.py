"""A call of `distill` that was stopped goes on, and one that is finished is not run again."""

import keras
import pytest
from chains import NAMES, SHORT, chain, examples, taught
from reference import same, values
from sentences import refused

import skt_tf


@pytest.fixture(scope="module")
def data():
    return examples()


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
        assert same(values(student), values(whole))
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
    assert same(values(student), values(whole))
    assert again.history == expected.history
    for change, part in (
        ({"seed": 1}, r"seed \(0 there, 1 here\)"),
        ({"task_steps": 5}, "task_steps"),
    ):
        with refused(part):
            skt_tf.distill(
                teacher, chain(), data, data, output_dir=tmp_path / "whole", **{**options, **change}
            )
    # The images watched may be others: the accuracy is theirs.
    guessed = data[0], whole.predict(data[0], verbose=0).argmax(1)
    again = skt_tf.distill(
        teacher, chain(), data, guessed, output_dir=tmp_path / "whole", **options
    )
    assert again.accuracy == 1 != expected.accuracy
    with refused("holds a student of other layers"):
        skt_tf.distill(
            teacher, chain((3, 4, 4, 6, 6, 8, 8, 5)), data, data, output_dir=tmp_path / "whole",
            **options,
        )  # fmt: skip
    other = data[0] // 2, data[1]
    with refused("differs in data"):
        skt_tf.distill(teacher, chain(), other, data, output_dir=tmp_path / "whole", **options)
    with refused("differs in teacher"):
        skt_tf.distill(
            chain((4, 4, 4, 6, 6, 9, 9), seed=2), chain(), data, data,
            output_dir=tmp_path / "whole", **options,
        )  # fmt: skip
