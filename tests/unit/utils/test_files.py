"""Files that are written whole or not at all."""

import json
import os
import pathlib

import pytest

from skt_tf.utils.files import DRAFT, undrafted, whole, whole_folder, write_json, write_text


def test_a_written_file_takes_its_place_with_nothing_beside_it(tmp_path):
    with whole(tmp_path / "new" / "folder" / "a.txt") as draft:
        draft.write_text("new")
    assert (tmp_path / "new" / "folder" / "a.txt").read_text() == "new"
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["a.txt"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole(path) as draft:
        draft.write_text("half of the n")
        assert path.read_text() == "old"
        draft.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", ["old", None])
def test_an_interrupted_write_leaves_what_was_there_and_no_draft(old, interruption, tmp_path):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with pytest.raises(interruption), whole(path) as draft:  # noqa: PT012
        draft.write_text("half")
        raise interruption
    assert [found.read_text() for found in tmp_path.iterdir()] == [old] * bool(old)


def test_an_interruption_before_anything_was_written_is_not_hidden(tmp_path):
    with pytest.raises(RuntimeError, match="early"), whole(tmp_path / "a.txt"):
        raise RuntimeError("early")


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), whole(path):
        pass
    assert path.read_text() == "old"


def test_a_draft_lies_beside_its_target_with_the_same_ending(tmp_path):
    with whole(tmp_path / "model.keras") as draft:
        assert draft.parent == tmp_path
        assert draft.name != "model.keras"
        assert draft.suffix == ".keras"
        draft.touch()


def test_text_is_written_in_utf8(tmp_path):
    write_text(tmp_path / "a.txt", "λ = ½‖G‖²\n")
    assert (tmp_path / "a.txt").read_bytes() == "λ = ½‖G‖²\n".encode()


def test_json_is_read_back_as_written(tmp_path):
    value = {"λ": [1, 0.1, None, True], "b": {"c": "d"}}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value


def test_a_value_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_of_a_draft_its_target_is_named_and_of_a_users_own_path_all():
    own = f"/a --b/.draft-1-x/xdraft-{os.getpid()}-y/.draft-notes/c. d"
    assert undrafted(own) == own
    assert undrafted(f"run/{DRAFT}{os.getpid()}-model.keras") == "run/model.keras"
    assert undrafted(f"{DRAFT}{os.getpid()}-out/saved_model") == "out/saved_model"
    assert undrafted(f"out/{DRAFT}{os.getpid()}-/saved_model") == "out/saved_model"


@pytest.mark.parametrize("place", ["new", "made/new", "empty", "link", "."])
def test_a_folder_is_filled_whole_and_stays_the_one_it_was(place, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    monkeypatch.chdir(tmp_path / "empty" if place == "." else tmp_path)
    before = os.stat(place) if os.path.exists(place) else None
    with pytest.raises(RuntimeError), whole_folder(place) as draft:  # noqa: PT012
        (draft / "a.txt").write_text("half")
        raise RuntimeError
    assert not os.path.exists(place) or os.listdir(place) == []
    with whole_folder(place) as draft:
        (draft / "inner").mkdir()
        (draft / "inner/b.txt").write_text("b")
        (draft / "a.txt").write_text("a")
        assert undrafted(draft / "a.txt") == f"{place}/a.txt".removeprefix("./")
    found = {str(path.relative_to(place)) for path in pathlib.Path(place).rglob("*")}
    assert found == {"a.txt", "inner", "inner/b.txt"}
    assert not list(tmp_path.rglob(f"{DRAFT}*"))
    # A mount point, or somebody's current folder, cannot be replaced.
    assert before is None or os.stat(place).st_ino == before.st_ino
