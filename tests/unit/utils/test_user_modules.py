"""Modules of a user's own are imported by name, and what is wrong with one is said."""

import re
import sys

import pytest
from sentences import refused

from skt_tf.utils.user_modules import check_names, import_modules


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "package").mkdir()
    for name, text in {
        "package/inner.py": "value = 3",
        "fine_layers.py": "value = 2",
        "needing_layers.py": "import not_to_be_found",
        "broken_layers.py": "1 / 0",
        "misspelt_layers.py": "def",
        "ending_layers.py": "raise SystemExit(3)",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_modules_are_imported_as_python_finds_them(place):
    import_modules(("fine_layers", "package.inner"))
    assert sys.modules["fine_layers"].value == 2
    assert sys.modules["package.inner"].value == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent_layers", "there is no module 'absent_layers' in Python's path"),
        ("package.absent", "there is no module 'package.absent'"),
        ("needing_layers", "needing_layers needs 'not_to_be_found', which is missing"),
        ("broken_layers", "broken_layers cannot be imported: division by zero"),
        ("ending_layers", "ending_layers cannot be imported: 3"),
        ("misspelt_layers", "misspelt_layers cannot be imported: .*line 1"),
    ],
)
def test_what_cannot_be_imported_is_refused(name, says, place):
    with refused(f"^--import_modules=fine_layers,.*{says}"):
        import_modules(("fine_layers", name))


@pytest.mark.parametrize("name", ["fine_layers.py", "layers/mine", "../mine", "", "1st", "a..b"])
def test_what_is_no_name_of_a_module_is_refused(name):
    check_names(("fine_layers", "package.inner"))
    with refused(f"'{re.escape(name)}' is no name of a module"):
        check_names(("fine_layers", name))
    with refused("is no name of a module"):
        check_names(())
