"""Checkpoints hold all that the rest of a stage depends on, and are whole or not there."""

import dataclasses
import itertools
import os
import time

import keras
import numpy as np
import pytest
from sentences import is_one_sentence, refused

import skt_tf
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.training.history import Progress, StageRecord
from skt_tf.utils.errors import UserError
from skt_tf.utils.locks import LOCK, FolderLock

RECORD = StageRecord("step1", 5, 1.5, ({"stage": "step1", "step": 5, "loss": 0.1 + 0.2},))


def variables(seed, shapes=((2, 3), (4,), ())):
    random = np.random.default_rng(seed)
    drawn = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    return [keras.Variable(value) for value in drawn]


def values(group):
    return [variable.numpy().tobytes() for variable in group]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "net0" / "checkpoints"


def save(place, step, seed=0, every="1", **options):
    checkpoints = Checkpoints(place, every, **options)
    groups = {"student": variables(seed), "optimizer": variables(seed + 1)}
    checkpoints.save(Progress([RECORD], step, 2.5, [{"loss": float(step)}]), groups)
    return groups


def test_what_was_saved_is_read_bit_for_bit(place):
    saved = save(place, 3)
    checkpoints = Checkpoints(place)
    found = checkpoints.newest()
    assert found == Progress([dataclasses.replace(RECORD, rows=list(RECORD.rows))], 3, 2.5, [
        {"loss": 3.0}
    ])  # fmt: skip
    others = {"student": variables(7), "optimizer": variables(8)}
    checkpoints.restore(others)
    assert {name: values(group) for name, group in others.items()} == {
        name: values(group) for name, group in saved.items()
    }


def test_without_checkpoints_nothing_is_done(place):
    assert Checkpoints(place).newest() == Progress()
    assert not place.exists()


def test_the_last_two_are_kept(place):
    for step in (1, 2, 9, 10):
        save(place, step)
    assert {path.name for path in place.iterdir()} == {"14", "15"}
    assert Checkpoints(place).newest().step == 10


def test_a_further_worker_reads_and_writes_nothing(place):
    save(place, 1)
    save(place, 2, writes=False)
    other = Checkpoints(place, writes=False)
    assert other.newest().step == 1
    other.clear()
    assert place.exists()
    Checkpoints(place).clear()
    assert not place.exists()


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "empty"])
def test_any_damage_of_the_newest_is_seen_and_the_one_before_is_taken(damage, name, place, capsys):
    save(place, 1)
    save(place, 2)
    path = place / "7" / name
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "gone":
        path.unlink()
    else:
        flipped = bytes([content[middle] ^ 1])
        path.write_bytes({
            "cut": content[:middle],
            "flip": content[:middle] + flipped + content[middle + 1 :],
            "empty": b"",
        }[damage])  # fmt: skip
    assert Checkpoints(place).newest().step == 1
    warning = capsys.readouterr().err
    assert is_one_sentence(warning)
    assert str(place / "7") in warning
    assert str(place / "6") in warning
    # The next one to be written may have its name.
    assert not (place / "7").exists()


def test_one_of_another_version_is_refused(place, monkeypatch):
    monkeypatch.setattr(skt_tf, "__version__", "0.0.7")
    save(place, 1)
    monkeypatch.undo()
    with refused(r"was written by other code, skt_tf 0\.0\.7"):
        Checkpoints(place).newest()


@pytest.mark.parametrize(
    "other",
    [
        {"student": variables(0)},
        {"student": variables(0), "optimizer": variables(0, ((2, 3), (4,)))},
        {"student": variables(0), "optimizer": variables(0, ((2, 3), (5,), ()))},
    ],
)
def test_other_variables_are_refused(other, place):
    save(place, 1)
    checkpoints = Checkpoints(place)
    checkpoints.newest()
    before = {name: values(group) for name, group in other.items()}
    with refused("another network or optimizer"):
        checkpoints.restore(other)
    assert {name: values(group) for name, group in other.items()} == before


def test_every_so_many_iterations_or_seconds(place, monkeypatch):
    checkpoints = Checkpoints(place, "3")
    assert [step for step in range(1, 10) if checkpoints.due(Progress(step=step))] == [3, 6, 9]
    now = itertools.count(100.0, 4.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    checkpoints = Checkpoints(place, "7s")
    assert [checkpoints.due(Progress(step=step)) for step in (1, 2, 3)] == [False, True, True]


def test_folders_made_for_nothing_are_removed_and_others_stay(tmp_path):
    with pytest.raises(KeyError), FolderLock(tmp_path / "a" / "b"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with FolderLock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert (tmp_path / "a" / "b" / "file").exists()


def test_what_is_kept_beside_takes_the_first_free_name_and_the_lock_holds_the_new_one(tmp_path):
    folder = tmp_path / "run"
    for number in (1, 2):
        with FolderLock(folder) as lock:
            (folder / "file").write_text(str(number))
            assert lock.keep_beside() == tmp_path / f"run.{number}"
            assert (folder / LOCK).read_text() == str(os.getpid())
            assert [path.name for path in folder.iterdir()] == [LOCK]
    for number in (1, 2):
        assert (tmp_path / f"run.{number}" / "file").read_text() == str(number)
        assert not (tmp_path / f"run.{number}" / LOCK).exists()


@pytest.mark.parametrize("started", ["run", "run/below"])
def test_the_folder_that_a_process_was_started_in_keeps_its_name(started, tmp_path, monkeypatch):
    (tmp_path / "run/below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / started)
    with (
        pytest.raises(UserError, match=r"--fresh cannot .* started in it") as refusal,
        FolderLock(tmp_path / "run") as lock,
    ):
        lock.keep_beside()
    assert is_one_sentence(str(refusal.value))
    assert (tmp_path / "run/below").exists()
