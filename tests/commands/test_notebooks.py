"""The notebooks run, of fewer iterations, and are committed with what they print."""

import json
import os
import re

import nbformat
import pytest
from command_line import ROOT
from nbclient import NotebookClient

# To optimize a graph takes longer than its few steps do.
FIRST = """
import gc
import tensorflow as tf

gc.set_threshold(10_000, 20, 100)
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
"""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def shown(cell):
    """What a cell puts out, in order: (kind, text without what differs between machines)."""
    found = []
    for output in cell.get("outputs", ()):
        assert output.output_type != "error", output
        if output.get("name") == "stderr":
            continue
        data = output.get("data") or {output.name: output.text}
        for form, content in sorted(data.items()):
            kind = f"{output.output_type} {form}"
            text = "" if form.startswith("image") else content
            if found and found[-1][0] == kind == "stream stdout":  # Flushed whenever it pleases.
                text = found.pop()[1] + text
            found.append((kind, text))
    # Numbers differ, and so does how wide they are.
    masked = [(kind, re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?", "0", text)) for kind, text in found]
    return [(kind, "".join(text.split())) for kind, text in masked]


def small(source):
    """Code of so few iterations that tracing takes longer, but for where there is time."""
    if os.environ.get("SKT_TF_LONG"):
        return source
    return re.sub(r"\b(\w+_steps(?:=|\": )|evaluations=)\d+", r"\g<1>3", source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_was_committed_with(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    committed = nbformat.read(path, as_version=4)
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        cell.source = small(cell.source)
    book.cells.insert(0, nbformat.v4.new_code_cell(FIRST))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=600, kernel_name="python3", resources=resources).execute()
    for cell, before in zip(book.cells[1:], committed.cells, strict=True):
        assert shown(cell) == shown(before)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_says_nothing_of_a_machine(path):
    assert path.stat().st_size < 500_000
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"[ \"'(]/(home|root|work|tmp)/", text)
    cells = json.loads(text)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
