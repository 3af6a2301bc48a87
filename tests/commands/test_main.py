"""What the command line says to --help and to mistakes, and that a mistake changes nothing."""

import dataclasses
import re
import shutil

import pytest
from command_line import (
    RUN,
    attempt,
    attempts,
    check_refused,
    finished_run,
    is_one_sentence,
    skt_tf,
)

from skt_tf.configuration import Config
from skt_tf.models.resnet import resnet

# Small enough that a mistake which is not noticed ends soon, too.
TINY = (
    "--dataset=digits",
    "--teacher_depth=8",
    "--width=2",
    "--teacher_steps=1",
    "--transfer_steps=3",
    "--hint_steps=1",
    "--task_steps=1",
    "--evaluations=1",
    "--output_dir=run",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with things of its owner; commands run in copies of it."""
    folder = tmp_path_factory.mktemp("owner")
    (folder / "mine").mkdir()
    (folder / "mine" / "letter.txt").write_text("dear")
    (folder / "notes.txt").write_text("not a network")
    (folder / "notes.keras").write_text("not a network")
    (folder / "stray.flags").write_text("--seed=1\nwords\n")
    (folder / "latin.flags").write_bytes(b"# \xfcbung\n--seed=1\n")
    return folder


@pytest.fixture(scope="module")
def no_tensorflow(tmp_path_factory):
    """A folder of modules that end the program when they are loaded."""
    folder = tmp_path_factory.mktemp("no_tensorflow")
    for name in ("tensorflow", "keras", "numpy", "sklearn", "matplotlib", "tensorflow_datasets"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} was loaded')\n")
    return folder


AT_ONCE = {
    "unknown job": (["--job=paint"], ["--job=paint", "experiment, tune, export"]),
    "unknown experiment": (["--experiment=alchemy"], ["alchemy", "minimization"]),
    "dataset of two lines": (["--dataset=a\nb"], ["--dataset=a b"]),
    "unknown method": (["--methods=skt,magic"], ["magic", "baseline, baseline_long, "]),
    "no method": (["--methods="], ["--methods", "baseline"]),
    "method twice": (["--methods=skt,skt"], ["--methods=skt,skt", "twice"]),
    "teacher depth": (["--teacher_depth=27"], ["--teacher_depth", "27", "26 and 32"]),
    "student depth": (["--student_depth=9"], ["--student_depth", "9", "8 and 14"]),
    "student depth below the least": (["--student_depth=2"], ["--student_depth", "2", "8"]),
    "zero teacher steps": (["--teacher_steps=0"], ["--teacher_steps=0"]),
    "negative teacher steps": (["--teacher_steps=-1"], ["--teacher_steps=-1"]),
    "zero transfer steps": (["--transfer_steps=0"], ["--transfer_steps=0"]),
    "negative transfer steps": (["--transfer_steps=-6"], ["--transfer_steps=-6"]),
    "zero hint steps": (["--hint_steps=0"], ["--hint_steps=0"]),
    "negative hint steps": (["--hint_steps=-2"], ["--hint_steps=-2"]),
    "zero task steps": (["--task_steps=0"], ["--task_steps=0"]),
    "negative task steps": (["--task_steps=-3"], ["--task_steps=-3"]),
    "too few transfer steps": (["--transfer_steps=2"], ["--transfer_steps=2", "skt_bottom_up"]),
    "zero budget": (["--budget=0"], ["--budget=0"]),
    "no whole number": (["--task_steps=many"], ["--task_steps=many"]),
    "no number": (["--learning_rate=fast"], ["--learning_rate=fast"]),
    "no value": (["--seed"], ["seed"]),
    "four weights": (["--flow_weights=1,2,3,4"], ["--flow_weights=1,2,3,4", "5"]),
    "six weights": (["--flow_weights=1,2,3,4,5,6"], ["6 numbers", "p0_p1, p1_p2"]),
    "negative weight": (["--flow_weights=1,2,3,4,-5"], ["--flow_weights=1,2,3,4,-5"]),
    "unknown flag": (["--taecher_depth=26"], ["taecher_depth", "teacher_depth"]),
    "word": (["experiment"], ["experiment"]),
    "words in a flagfile": (["--flagfile=stray.flags"], ["words"]),
    "flagfile without a name": (["--flagfile"], ["flagfile"]),
    "no such flagfile": (["--flagfile=gone.flags"], ["gone.flags"]),
    "folder as flagfile": (["--flagfile=mine"], ["mine"]),
    "flagfile of another encoding": (["--flagfile=latin.flags"], ["latin.flags"]),
    "value for a switch": (["--nohelp=3"], ["--nohelp=3"]),
    "export without a student": (["--job=export"], ["--student"]),
}


@pytest.mark.parametrize(("arguments", "parts"), AT_ONCE.values(), ids=AT_ONCE)
def test_a_mistake_in_the_flags_is_answered_before_tensorflow(
    arguments, parts, folder, no_tensorflow, tmp_path
):
    refused = attempt([*TINY, *arguments], folder, tmp_path / "work", before=[no_tensorflow])
    check_refused(refused, parts)


IN_FILES = {
    "data folder of cifar10": (
        ["--dataset=cifar10", "--data_dir=nowhere"],
        ["--data_dir=nowhere", "does not exist"],
    ),
    "data folder of digits": (
        ["--data_dir=nowhere", "--methods=baseline"],
        ["--data_dir=nowhere", "does not exist"],
    ),
    "no such teacher": (["--teacher=gone.keras"], ["gone.keras", "does not exist"]),
    "text as teacher": (["--teacher=notes.keras"], ["notes.keras", "Keras"]),
    "teacher of other images": (
        ["--teacher=colour.keras"],
        ["colour.keras", "(32, 32, 3)", "(8, 8, 1)"],
    ),
    "file as output": (["--output_dir=notes.txt"], ["notes.txt", "file"]),
    "output below a file": (["--output_dir=notes.txt/run"], ["notes.txt"]),
    "output with other files": (["--output_dir=mine"], ["mine", "other files"]),
    "output with another experiment": (
        # The last value of a flag that is given twice counts.
        [*RUN, "--seed=7", "--learning_rate=0.25", "--methods=baseline,kd"],
        ["run", "seed (0 there, 7 here)", "learning_rate (0.1 there, 0.25 here)"],
    ),
}


@pytest.fixture(scope="module")
def answers(folder, tmp_path_factory):
    """{name: Attempt} for the mistakes that show in files."""
    place = tmp_path_factory.mktemp("in_files")
    full = place / "full"
    shutil.copytree(folder, full)
    shutil.copytree(finished_run().folder, full / "run")
    resnet(8, 10, (32, 32, 3), 2).save(full / "colour.keras")
    cases = {name: [*TINY, *arguments] for name, (arguments, _) in IN_FILES.items()}
    # Only one case is about a run that is there.
    for name, arguments in cases.items():
        if name != "output with another experiment":
            arguments.insert(len(TINY), "--output_dir=new")
    return attempts(cases, full, place)


@pytest.mark.parametrize("name", IN_FILES)
def test_a_mistake_that_shows_in_files_is_refused_and_changes_nothing(name, answers):
    check_refused(answers[name], IN_FILES[name][1])


def test_a_teacher_that_cannot_be_read_is_not_said_to_be_missing(answers):
    assert "not found" not in answers["text as teacher"].done.stderr


def test_what_does_not_differ_from_another_experiment_is_not_named(answers):
    message = answers["output with another experiment"].done.stderr
    for name in ("width", "batch_size", "teacher_steps", "precision"):
        assert name not in message


@pytest.fixture(scope="module")
def help_page(tmp_path_factory):
    return skt_tf("--help", cwd=tmp_path_factory.mktemp("help"), anew=True)


def explanation(page, flag):
    """The text of a flag on the help page, its lines joined; its default is not in it."""
    found = re.search(rf"^  --(?:\[no\])?{flag}: (.+?)$\n(?=  --|    \(|\n|\Z)", page, re.M | re.S)
    return " ".join(found[1].split()) if found else ""


def test_help_ends_without_an_error(help_page):
    assert help_page.stderr == ""
    assert help_page.returncode == 0


@pytest.mark.parametrize("flag", [field.name for field in dataclasses.fields(Config)])
def test_help_explains_every_flag(flag, help_page):
    text = explanation(help_page.stdout, flag)
    assert len(text.split()) >= 3
    assert is_one_sentence(text)
    if flag.endswith("_steps"):
        assert text.startswith("Iterations of ")


def test_help_has_the_flags_that_the_documentation_names(help_page):
    names = """job experiment dataset data_dir methods teacher_depth student_depth width nets seed
        batch_size teacher_steps transfer_steps hint_steps task_steps budget flow_weights schedule
        learning_rate transfer_learning_rate weight_decay temperature precision teacher output_dir
        student dense_flows"""
    assert [name for name in names.split() if not explanation(help_page.stdout, name)] == []
