"""What the command line says to --help and to mistakes, and that a mistake changes nothing.

What decides a refusal tests it; here is how the command line shows it.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest
from command_line import ROOT, Attempt, attempt, check_refused, skt_tf, snapshot, tiny
from sentences import is_one_sentence
from spoilt_networks import write_spoilt

from skt_tf.configuration import Config
from skt_tf.utils.locks import FolderLock

# Small enough that a mistake which is not noticed ends soon, too.
TINY = tiny(methods="kd,skt", width=2)
FIELDS = {field.name: field for field in dataclasses.fields(Config)}
WHOLE = (int, int | None)
NUMBERS = (*WHOLE, float, float | None)
HUGE = "9" * 400
# What is no text in any encoding.
ODD = os.fsdecode(b"\xff.keras")


def wrong_values(field):
    """Texts that a flag cannot take: of the wrong type, out of range, empty, huge."""
    if field.type in NUMBERS:
        texts = ["many", "", "-1", HUGE, "1e999"]
        return [*texts, "1.5"] if field.type in WHOLE else [*texts, "nan"]
    if field.type in (bool, bool | None):
        return ["maybe", "2", "-1", HUGE]
    if field.metadata["choices"]:
        return ["", "Experiment", "x" * 10_000, "\n"]
    if field.name == "flow_weights":
        return ["", "heavy", "1,2", "1,2,3,4,nan", "0,0,0,0,0", "1,2,3,4,-5", f"1,2,3,4,{HUGE}"]
    if field.name == "checkpoint_every":
        return ["", "0", "-5", "1.5s", "s", "often", HUGE]
    return ["", "   ", ODD]  # Paths: any other text may be one.


# Each command in a process of its own, a copy of one that has loaded what all of them load.
ONE_BY_ONE = """
import json, os, sys
import skt_tf.main

commands, folder = json.load(sys.stdin)
for number, arguments in enumerate(commands):
    child = os.fork()
    if not child:
        said = os.open(f"{folder}/{number}", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1), os.dup2(said, 2)
        sys.argv = ["skt_tf", *arguments]
        skt_tf.main.console()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
LIBRARIES = ("tensorflow", "keras", "numpy", "sklearn", "matplotlib", "tensorflow_datasets")


@pytest.fixture
def answers_at_once(tmp_path):
    """Asserts that commands are refused before TensorFlow is loaded and write no file.

    Takes a list of arguments for each; returns what was said to each.
    """
    cwd, said, stubs = tmp_path / "cwd", tmp_path / "said", tmp_path / "stubs"
    for folder in (cwd / "mine", said, stubs):
        folder.mkdir(parents=True)
    for name in LIBRARIES:
        (stubs / f"{name}.py").write_text(f"raise SystemExit('{name} was loaded')\n")
    (cwd / "unknown.flags").write_text("--seed=1\n--sede=2\n")
    (cwd / "wrong.flags").write_text("--seed=one\n")
    (cwd / "outer.flags").write_text("--seed=1\n--flagfile=inner.flags\n")
    (cwd / "stray.flags").write_text("--seed=1\nwords\n")
    (cwd / "latin.flags").write_bytes(b"# \xfcbung\n--seed=1\n")

    def answers(commands):
        before = snapshot(cwd)
        done = subprocess.run(
            [sys.executable, "-c", ONE_BY_ONE], input=json.dumps([commands, str(said)]), cwd=cwd,
            env={**os.environ, "PYTHONPATH": f"{stubs}:{ROOT}"}, text=True, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        messages = [(said / str(number)).read_text() for number in range(len(commands))]
        for arguments, code, message in zip(commands, done.stdout.split(), messages, strict=True):
            assert code == "2", (arguments, message)
            assert is_one_sentence(message), (arguments, message)
            assert len(message) < 600, (arguments, message)
        assert snapshot(cwd) == before
        return messages

    return answers


def test_every_flag_refuses_values_it_cannot_take(answers_at_once):
    cases = [(name, text) for name, field in FIELDS.items() for text in wrong_values(field)]
    # Where a job of its own is needed, the flag is refused for its value, not for the job.
    jobs = {"student": ["--job=export"], "compare": ["--job=benchmark"]}
    commands = [[*TINY, *jobs.get(name, ()), f"--{name}={text}"] for name, text in cases]
    for (name, text), message in zip(cases, answers_at_once(commands)):
        assert f"--{name}" in message, (text[:50], message)


# Of flags and flagfiles, what no configuration sees.
AT_ONCE = [
    (["--seed"], ["seed"]),
    (["--taecher_depth=26"], ["taecher_depth", "teacher_depth"]),
    (["experiment"], ["experiment"]),
    (["--nohelp=3"], ["--nohelp=3"]),
    (["--fresh=maybe"], ["--fresh=maybe", "true or false"]),
    (["--dataset=a\nb"], ["--dataset=a b"]),
    (["--flagfile"], ["flagfile"]),
    (["--flagfile="], ["--flagfile", "path"]),
    (["--flagfile=gone.flags"], ["gone.flags"]),
    (["--flagfile=outer.flags"], ["inner.flags", "another flagfile names it"]),
    (["--flagfile=mine"], ["mine"]),
    (["--flagfile=stray.flags"], ["words"]),
    (["--flagfile=latin.flags"], ["latin.flags", "UTF-8"]),
    (["--flagfile=unknown.flags"], ["--sede", "--seed"]),
    (["--flagfile=wrong.flags"], ["--seed=one"]),
]


def test_what_is_no_flag_is_refused_with_what_it_may_have_been(answers_at_once):
    messages = answers_at_once([[*TINY, *arguments] for arguments, _ in AT_ONCE])
    for (arguments, parts), message in zip(AT_ONCE, messages):
        assert [part for part in parts if part not in message] == [], (arguments, message)


# What shows once TensorFlow is loaded: a network's refusal, and what the system refuses.
IN_FILES = [
    (["--teacher=wide.keras"], ["--teacher=wide.keras", "skt", "3×3 and 2×2", "same channels"]),
    (["--target_views=1000000000"], ["--target_views=1000000000", "MB left"]),
    ([f"--teacher={'x' * 300}.keras"], ["xxx.keras"]),
    ([f"--output_dir={'x' * 300}"], ["xxx", "too long"]),
    (["--output_dir=good.keras/run"], ["good.keras/run"]),
    (["--output_dir=/proc/skt_tf"], ["/proc/skt_tf", "folder"]),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    write_spoilt(folder)
    return folder


@pytest.mark.parametrize(("arguments", "parts"), IN_FILES)
def test_a_mistake_that_shows_in_files_is_refused_and_changes_nothing(
    arguments, parts, given, tmp_path
):
    check_refused(attempt([*TINY, *arguments], given, tmp_path / "cwd"), parts)


@pytest.mark.parametrize("job", ["experiment", "tune", "benchmark"])
def test_a_folder_in_use_is_left_alone(job, tmp_path):
    with FolderLock(tmp_path / "run"):
        (tmp_path / "run/.draft-of-its-owner").touch()
        before = snapshot(tmp_path)
        done = skt_tf(*TINY, f"--job={job}", "--methods=skt", cwd=tmp_path)
        refused = Attempt(done, before, snapshot(tmp_path))
        check_refused(refused, ["--output_dir=run", f"process {os.getpid()}"])


def explanation(page, flag):
    """The text of a flag on the help page, its lines joined; its default is not in it."""
    found = re.search(rf"^  --(?:\[no\])?{flag}: (.+?)$\n(?=  --|    \(|\n|\Z)", page, re.M | re.S)
    return " ".join(found[1].split()) if found else ""


def test_help_of_one_job_loads_no_library(tmp_path):
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} was loaded')\n")
    done = skt_tf("--help", "--job=export", cwd=tmp_path, before=[tmp_path])
    assert (done.returncode, done.stderr) == (0, "")
    assert "--license: " in done.stdout
    assert "--teacher_depth: " not in done.stdout


def test_help_explains_every_flag(tmp_path):
    page = skt_tf("--help", cwd=tmp_path, anew=True)
    assert page.stderr == ""
    assert page.returncode == 0
    for flag in FIELDS:
        text = explanation(page.stdout, flag)
        assert len(text.split()) >= 3, flag
        assert is_one_sentence(text), flag
        if flag.endswith("_steps"):
            assert text.startswith("Iterations of "), flag


def test_methods_load_without_tensorflow():
    code = "import sys, skt_tf.methods; print(*{'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
