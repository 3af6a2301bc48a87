"""The notebooks run as they stand, and are committed with what they print."""

import json
import re

import nbformat
import pytest
from command_line import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def texts(book):
    """What the cells of a notebook print, without numbers: they differ between machines."""
    found = []
    for cell in book.cells:
        streams = [o.text for o in cell.get("outputs", ()) if o.output_type == "stream"]
        found.append(re.sub(r"\d", "0", "".join(streams)))
    return found


def pictures(book):
    return [
        sum("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))
        for cell in book.cells
    ]


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_quickstart",
        "02_your_own_models",
        "03_reading_the_results",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_was_committed_with(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    committed = nbformat.read(path, as_version=4)
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=600, kernel_name="python3", resources=resources).execute()
    for cell in book.cells:
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    assert [len(text) > 0 for text in texts(book)] == [len(text) > 0 for text in texts(committed)]
    assert pictures(book) == pictures(committed)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_says_nothing_of_a_machine(path):
    assert path.stat().st_size < 500_000
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"[ \"'(]/(home|root|work|tmp)/", text)
    cells = json.loads(text)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    errors = [o for cell in code for o in cell["outputs"] if o["output_type"] == "error"]
    assert not errors
