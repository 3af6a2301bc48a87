"""The documents do what they say: code runs, links lead somewhere, flagfiles are valid."""

import dataclasses
import pathlib
import re

import pytest
from parsing import parse

import skt_tf
from docs import api, architecture
from skt_tf import configuration

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "BUILD.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    teacher = skt_tf.resnet(8, 10, (8, 8, 1), seed=0)
    (tmp_path / "runs/quickstart/teacher").mkdir(parents=True)
    teacher.save(tmp_path / "runs/quickstart/teacher/model.keras")
    monkeypatch.chdir(tmp_path)
    names = {}
    # A teacher that was never trained: λ as the papers write it, and little of it.
    code = code.replace("task_steps=100", "task_steps=100, transfer_learning_rate=1e-6")
    exec(code, names)
    labels = names["student"].predict(names["data"].test_images, verbose=0).argmax(1)
    hits = (labels == names["data"].test_labels).mean()
    assert hits == names["result"].accuracy > 0.6
    assert (tmp_path / "runs/served/saved_model.pb").is_file()


def test_the_reference_is_that_of_the_docstrings():
    assert (ROOT / "docs/api.md").read_text(encoding="utf-8") == api.markdown()


def test_the_reference_names_everything_that_is_offered():
    named = {name for names in api.CHAPTERS.values() for name in names}
    assert named == set(skt_tf.__all__)


def test_one_version_is_named_everywhere():
    changes = re.search(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert changes[1] == citation[1] == skt_tf.__version__


def test_the_drawing_of_the_rooms_is_that_of_the_imports():
    assert (ROOT / "docs/architecture.md").read_text(encoding="utf-8") == architecture.page()


def test_the_places_for_contributions_are_there_and_few():
    rows = re.findall(
        r"^\| (.*?) \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert len(rows) >= 9
    for thing, places in rows:
        files = re.findall(r"`((?:skt_tf|tests)/[\w/.]+)`", places)
        assert len(files) <= 3, thing
        assert all((ROOT / file).exists() for file in files), thing


def test_the_readme_is_under_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) < 110


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    targets = re.findall(r"\]\(([^)#]+)", document.read_text())
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("path", sorted((ROOT / "flags").glob("*.flags")), ids=lambda p: p.stem)
def test_flagfiles_are_valid(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert parse(f"--flagfile={path}").output_dir == f"runs/{path.stem}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_name_flags_that_exist(document):
    known = {field.name for field in dataclasses.fields(configuration.Config)} | {
        "flagfile",
        "help",
    }
    commands = [line for line in document.read_text().splitlines() if "-m skt_tf.main" in line]
    named = {name for line in commands for name in re.findall(r"--(\w+)", line)}
    assert named <= known
