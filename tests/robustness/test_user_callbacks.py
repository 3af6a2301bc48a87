"""Callbacks of Keras that a user gives, over stages."""

import csv
import re

import keras
import pytest
import tensorflow as tf
from chains import NAMES, SHORT, chain, examples, taught

import skt_tf
from skt_tf.training.user_callbacks import checked
from skt_tf.utils.errors import UserError

KERAS = keras.callbacks
OPTIONS = {"teacher_points": NAMES, "student_points": NAMES, "verbose": 0, **SHORT}


class Mine(KERAS.LearningRateScheduler):
    """One of a user's own."""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (KERAS.ReduceLROnPlateau("loss"), "ReduceLROnPlateau sets the learning rate"),
        ([[KERAS.History()], Mine(lambda epoch: 0.1)], "Mine sets the learning rate"),
        (KERAS.BackupAndRestore("backup"), "BackupAndRestore goes on .*output_dir"),
        (KERAS.SwapEMAWeights(), "SwapEMAWeights needs an optimizer"),
        (print, "expected Keras callbacks"),
    ],
)
def test_callbacks_that_cannot_do_their_work_are_refused(given, words):
    with pytest.raises(UserError, match=words):
        checked(given)


def test_several_one_or_no_callback_are_taken_as_by_fit():
    one = KERAS.History()
    assert checked(one) == checked([[one]]) == [one]
    assert checked(None) == []


@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_train_batch_end"])
def test_a_callback_of_ones_own_that_sets_the_rate_is_named_in_a_sentence(moment):
    def set_rate(number, logs):
        callback.model.optimizer.learning_rate = 0.1

    callback = KERAS.LambdaCallback(**{moment: set_rate})
    with pytest.raises(UserError, match="a callback sets the learning rate"):
        skt_tf.distill(
            None, chain(), examples(), method="baseline", callbacks=callback, verbose=0, **SHORT
        )


def test_what_a_callback_asks_of_a_stage_in_vain_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    callback = KERAS.ModelCheckpoint(
        "{epoch}-{val_accuracy:.2f}.weights.h5", save_weights_only=True
    )
    says = "names its files by 'val_accuracy', which stage 'transfer' does not log"
    with pytest.raises(UserError, match=says):
        skt_tf.distill(
            taught(), chain(), examples(), examples(), "fsp", callbacks=callback, **OPTIONS
        )


def rows_of(log):
    with open(log.filename, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_list_of_callbacks_is_each_of_them_and_files_are_those_of_all_stages(tmp_path):
    with pytest.raises(UserError, match="ReduceLROnPlateau sets the learning rate"):
        checked(KERAS.CallbackList([KERAS.ReduceLROnPlateau("loss")]))
    mine = KERAS.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=1.0))
    log = KERAS.CSVLogger(str(tmp_path / "log.csv"))
    best = str(tmp_path / "best.weights.h5")
    last = KERAS.ModelCheckpoint(best, "loss", save_best_only=True, save_weights_only=True)
    callbacks = [
        mine,
        log,
        KERAS.ModelCheckpoint(str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True),
        last,
        KERAS.TensorBoard(tmp_path / "board", write_graph=False),
    ]
    found = skt_tf.distill(
        taught(), chain(), examples(), examples(), method="fsp",
        callbacks=KERAS.CallbackList(callbacks), **OPTIONS,
    )  # fmt: skip
    rows = rows_of(log)
    assert [row["stage"] for row in rows] == ["transfer", "transfer", "task", "task"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert {row["mine"] for row in rows} == {"1.0"}
    logged = found.history["transfer"]["loss"] + found.history["task"]["loss"]
    assert [float(row["loss"]) for row in rows] == pytest.approx(logged)
    assert [row["p0_p1"] == "NA" for row in rows] == [False, False, True, True]
    assert {path.name for path in tmp_path.glob("[0-9]*")} == {
        f"{epoch}.weights.h5" for epoch in (1, 2, 3, 4)
    }
    # The best of the last stage, though losses of the one before may be smaller.
    assert last.best == pytest.approx(min(found.history["task"]["loss"]))
    steps = {
        event.step
        for path in tmp_path.glob("board/train/*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        if any(re.fullmatch("epoch_loss", value.tag) for value in event.summary.value)
    }
    assert steps == {0, 1, 2, 3}
    # As by `fit`, a second call begins the file anew.
    skt_tf.distill(
        None, chain(), examples(), method="baseline", callbacks=KERAS.CallbackList([mine, log]),
        verbose=0, **SHORT,
    )  # fmt: skip
    assert [(row["stage"], row["mine"]) for row in rows_of(log)] == [("task", "1.0")] * 2
    assert not log.append
