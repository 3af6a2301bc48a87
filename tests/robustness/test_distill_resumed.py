"""A call of `distill` that was stopped goes on, and one that is finished is not run again."""

import dataclasses
import itertools
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from chains import NAMES, SHORT, chain, examples, taught
from reference import same, values
from sentences import refused

import skt_tf
from skt_tf.training.settings import Settings


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


@pytest.fixture(scope="module")
def data():
    return examples()


def begun(data, folder, student=None, stop=None, **options):
    """A call of two stages in a folder, which may be stopped in the second."""
    callbacks = []
    if stop:
        callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=stop)]
    points = {"teacher_points": NAMES, "student_points": NAMES}
    options = {**points, **SHORT, "method": "fsp", "checkpoint_every": "1", "verbose": 0, **options}
    student = student or chain()
    return skt_tf.distill(
        taught(), student, data, data, output_dir=folder, callbacks=callbacks, **options
    )


class Killed(Exception):
    pass


OPTIONS = {"transfer_learning_rate": 0.05, "teacher_precision": "bfloat16"}


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """(the folder, the result) of a call that nobody stopped."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, begun(data, folder, **OPTIONS)


def test_the_saved_student_is_loaded_and_trained_on(data, finished):
    folder, first = finished
    loaded = keras.models.load_model(folder / "student.keras", safe_mode=True)
    assert same(values(loaded), values(first.student))
    points = {"teacher_points": NAMES, "student_points": NAMES}
    second = skt_tf.distill(taught(), loaded, data, data, method="fsp", **points, **SHORT)
    assert second.student is loaded
    assert not same(values(loaded), values(first.student))
    record = json.loads((folder / "distill.json").read_text())
    assert record["accuracy"] == first.accuracy
    assert record["settings"]["task_steps"] == SHORT["task_steps"]
    assert record["environment"]["keras"] == keras.__version__


def test_a_student_without_a_seed_goes_on(data, finished, tmp_path, capsys):
    folder, whole = finished
    # Before the first checkpoint, and in the second stage.
    for at in (0, 6):
        left = itertools.count(-at)

        def stop(batch, logs, left=left):
            if next(left) >= 0:
                raise Killed

        with pytest.raises(Killed):
            begun(data, tmp_path / "cut", chain(seed=0 if at == 0 else 7), stop, **OPTIONS)
    found = begun(data, tmp_path / "cut", chain(seed=5), **OPTIONS)
    assert "it begins with those" in capsys.readouterr().err
    assert same(values(found.student), values(whole.student))
    names = {path.name for path in (tmp_path / "cut").iterdir()}
    assert names == {path.name for path in folder.iterdir()}
    assert "begun.weights.h5" not in names


def again(data, finished, folder, student=None, held=None, damage=None):
    """The same call in a copy of a finished folder, of which `damage` has changed the student."""
    shutil.copytree(finished[0], folder)
    if damage:
        damage(folder / "student.keras")
    return skt_tf.distill(
        taught(), student or chain(), data, held or data, "fsp", teacher_points=NAMES,
        student_points=NAMES, output_dir=folder, verbose=0, **OPTIONS, **SHORT,
    )  # fmt: skip


def cut(path):
    path.write_bytes(path.read_bytes()[:900])


def test_a_finished_folder_is_that_of_its_student_and_held_out_images(data, finished, tmp_path):
    found = again(data, finished, tmp_path / "same", chain(seed=4))
    saved = keras.models.load_model(finished[0] / "student.keras")
    assert same(values(found.student), values(saved))
    with refused("differs in student's layers"):
        again(data, finished, tmp_path / "a", chain(factor=0.1))
    with refused("differs in validation"):
        again(data, finished, tmp_path / "b", held=(data[0][:8], data[1][:8]))
    for number, (damage, says) in enumerate(
        (
            (cut, "cannot be read as a saved network"),
            (pathlib.Path.unlink, "is no file any more"),
            (lambda path: chain(seed=3).save(path), "is not the student that was trained here"),
        )
    ):
        with refused(f"student.keras {says}"):
            again(data, finished, tmp_path / str(number), damage=damage)


def test_other_held_out_batches_are_noticed(data, tmp_path):
    images, labels = map(np.asarray, data)
    folder, held = tmp_path / "run", tf.data.Dataset.from_tensor_slices((images, labels))

    def call(held):
        options = {"method": "baseline", "task_steps": 2, "batch_size": 8, "verbose": 0}
        return skt_tf.distill(None, chain(), data, held, output_dir=folder, **options)

    call(held)
    call(held.shuffle(96))
    with refused("differs in validation's content"):
        call(tf.data.Dataset.from_tensor_slices((images, labels[::-1])))
    # Of what is drawn anew each time nothing can be said.
    call(held.shuffle(96).take(48))
    record = json.loads((folder / "distill.json").read_text())
    for name in ("dataset", "class_names", "watched", "validation_content"):
        del record[name]  # As of older versions.
    (folder / "distill.json").write_text(json.dumps(record))
    call(held)
    record = json.loads((folder / "distill.json").read_text())
    assert (record["dataset"], record["watched"]) == (None, "validation")
    assert len(record["validation_content"]) == 8


def test_other_validation_images_of_a_dataset_are_noticed(data, tmp_path):
    labels = np.asarray(data[1])
    images = np.random.default_rng(0).integers(0, 256, np.shape(data[0]), np.uint8)
    parts = images[:24], labels[:24], images[24:48], labels[24:48]
    given = skt_tf.Dataset("own", *parts, 4, False)
    held = images[48:72], labels[48:72]
    folder = tmp_path / "run"

    def call(validation_images=held[0], validation_labels=held[1]):
        options = {"method": "baseline", "task_steps": 2, "batch_size": 8, "verbose": 0}
        watched = {"validation_images": validation_images, "validation_labels": validation_labels}
        dataset = dataclasses.replace(given, **watched)
        return skt_tf.distill(None, chain(), dataset, output_dir=folder, **options)

    call()
    call()
    for other in ((held[0][::-1], held[1]), (held[0], held[1][::-1]), (None, None)):
        with refused("differs in (watched.*)?validation"):
            call(*other)
    record = json.loads((folder / "distill.json").read_text())
    record["validation"] = None  # As of older versions, which noted only that there are some.
    (folder / "distill.json").write_text(json.dumps(record))
    call()
    with refused("differs in watched"):
        call(None, None)


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The home folder of a training without a teacher whose folder was named with a tilde."""
    home = tmp_path_factory.mktemp("home")
    # Numbers may be NumPy's.
    options = {"method": "baseline", "task_steps": np.int64(1), "batch_size": 8, "verbose": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        skt_tf.distill(None, chain(), data, output_dir="~/runs/mine", **options)
    return home


def test_a_record_holds_what_was_used(finished, alone):
    record = json.loads((finished[0] / "distill.json").read_text())
    # Nothing of a command line, of hints or of softened outputs.
    fields = {field.name for field in dataclasses.fields(Settings)} - {*Settings.FREE}
    hints = {"hint_steps", "hint_learning_rate", "hint_reduction", "temperature"}
    assert record["settings"].keys() == fields - hints
    assert record["used"] == {
        "student_precision": "float32",
        "teacher_precision": "bfloat16",
        "learning_rates": {"transfer": 0.05, "task": 0.1},
    }
    record = json.loads((alone / "runs/mine/distill.json").read_text())
    assert record["used"].keys() == {"student_precision", "learning_rates"}
    assert not {"teacher_precision", "flow_weights", *hints} & record["settings"].keys()


def test_a_tilde_is_the_home_folder(alone):
    assert (alone / "runs/mine/student.keras").is_file()
