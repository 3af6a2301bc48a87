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
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "BUILD.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def commands_of_the_readme():
    """All that it tells to type: the lines of its blocks without a language, and inline code."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    blocks = [code for language, code in fenced.findall(README) if not language]
    lines = re.sub(r"\\\n\s*", "", "".join(blocks)).splitlines()
    inline = re.findall(r"`([^`\n]*)`", fenced.sub("", README))
    lines += [text for text in inline if re.match(r"(\S*/)?(python|pip|make|cd|git|skt-tf) ", text)]
    return [line.split("#")[0].strip() for line in lines]


def test_commands_of_the_readme_need_nothing_but_a_clone(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = parse("--flagfile=flags/quickstart.flags").output_dir
    commands = commands_of_the_readme()
    assert commands[0] == "make quickstart"  # Others read what it has written.
    assert len(commands) >= 10
    program = ".venv/bin/python -m skt_tf.main "
    for command in commands:
        if command.startswith("make "):
            assert re.search(rf"^{command[5:]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif command != "pip install .":
            # So each is found and run by tests/commands/test_documented_commands.py.
            assert command.startswith(program)
            assert "…" not in command
            arguments = command.removeprefix(program).split()
            paths = re.findall(r"--(?:flagfile|teacher|student|data_dir|labels)=(\S+)", command)
            assert all((ROOT / p).exists() or p.startswith(f"{made}/") for p in paths), command
            assert arguments == ["--help"] or parse(*arguments).dataset != "folder"


def test_the_first_screen_says_for_whom_it_is_and_shows_what_was_found():
    first = "\n".join(README.splitlines()[:24])
    for part in ("**For** ", "**Not for** ", "](docs/results/budgets.png)"):
        assert part in first
    table = (ROOT / "docs/results/budgets.md").read_text(encoding="utf-8")
    numbers = r"([+-]\d+\.\d\d)(?: points)?, (?:95 % interval )?(\S+ to [^);]+)"
    said = re.findall(numbers, first.replace("\n", " "))
    assert len(said) == 6
    for points, interval in said:
        assert f"| {points} | {interval} |" in table


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
    assert len(README.splitlines()) < 110


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
    known = {field.name for field in dataclasses.fields(configuration.Config)}
    known |= {"flagfile", "help"}
    commands = [line for line in document.read_text().splitlines() if "-m skt_tf.main" in line]
    named = {name for line in commands for name in re.findall(r"--(\w+)", line)}
    assert named <= known
