"""Folders that are links: what they lead to is meant, and a link that leads nowhere is said."""

import pytest

from skt_tf.utils.errors import UserError
from skt_tf.utils.files import whole_folder
from skt_tf.utils.locks import FolderLock


@pytest.fixture
def link(tmp_path):
    """`run`, a link to the folder `disk/here`, which has a file."""
    (tmp_path / "disk/here").mkdir(parents=True)
    (tmp_path / "disk/here/old").write_text("old")
    (tmp_path / "run").symlink_to(tmp_path / "disk/here")
    return tmp_path / "run"


def test_starting_over_keeps_what_a_link_leads_to_beside_it_and_the_link_as_it_was(link, tmp_path):
    with FolderLock(link) as lock:
        assert lock.keep_beside() == tmp_path / "disk/here.1"
        (link / "new").write_text("new")
    assert [path.name for path in (tmp_path / "disk/here.1").iterdir()] == ["old"]
    assert [path.name for path in (tmp_path / "disk/here").iterdir()] == ["new"]
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "run"]


@pytest.mark.parametrize("below", ["", "further"])
def test_a_link_that_leads_nowhere_is_called_so(below, tmp_path):
    (tmp_path / "run").symlink_to(tmp_path / "gone")
    says = f"it is a link to {tmp_path}/gone, which does not exist"
    with pytest.raises(UserError, match=says), FolderLock(tmp_path / "run" / below):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_is_written_where_a_link_leads_to(link, tmp_path):
    (link / "old").unlink()
    with whole_folder(link) as draft:
        (draft / "file").write_text("new")
    assert (tmp_path / "disk/here/file").read_text() == "new"
    assert link.is_symlink()
