"""Whatever is wrong with what was given: one sentence, exit code 1 or 2, and no file changed."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest
from command_line import (
    ROOT,
    Attempt,
    attempts,
    check_refused,
    is_one_sentence,
    running,
    skt_tf,
    snapshot,
)
from spoilt_networks import write_spoilt

from skt_tf.configuration import Config

TINY = (
    "--dataset=digits",
    "--teacher_depth=8",
    "--width=2",
    "--batch_size=32",
    "--methods=kd,skt",
    "--teacher_steps=4",
    "--transfer_steps=4",
    "--task_steps=4",
    "--evaluations=1",
    "--output_dir=run",
)


FIELDS = {field.name: field for field in dataclasses.fields(Config)}


WHOLE = (int, int | None)


NUMBERS = (*WHOLE, float, float | None)


HUGE = "9" * 400


# What is no text in any encoding.
ODD = os.fsdecode(b"\xff.keras")


def wrong_values(field):
    """Texts that a flag cannot take: of the wrong type, out of range, empty, huge."""
    if field.type in NUMBERS:
        texts = ["many", "", "-1", HUGE, f"-{HUGE}", "1e999", "nan", "0x"]
        return [*texts, "1.5"] if field.type in WHOLE else texts
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

for number, arguments in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if not child:
        said = os.open(str(number), os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1), os.dup2(said, 2)
        sys.argv = ["skt_tf", *arguments]
        skt_tf.main.console()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_every_flag_refuses_values_it_cannot_take_before_tensorflow_is_loaded(tmp_path):
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("tensorflow", "keras", "numpy"):
        (stubs / f"{name}.py").write_text(f"raise SystemExit('{name} was loaded')\n")
    cases = [(name, text) for name, field in FIELDS.items() for text in wrong_values(field)]
    # Where a job of its own is needed, the flag is refused for its value, not for the job.
    jobs = {"student": ["--job=export"], "compare": ["--job=benchmark"]}
    commands = [[*TINY, *jobs.get(name, ()), f"--{name}={text}"] for name, text in cases]
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE], input=json.dumps(commands), cwd=tmp_path, text=True,
        env={**os.environ, "PYTHONPATH": f"{stubs}:{ROOT}"}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for number, (name, text) in enumerate(cases):
        message = (tmp_path / str(number)).read_text()
        case = f"--{name}={text[:50]!r}: {message}"
        assert done.stdout.split()[number] == "2", case
        assert is_one_sentence(message), case
        assert f"--{name}" in message, case
        assert len(message) < 600, case
    # Nothing but what was said, and the stubs.
    assert len(list(tmp_path.iterdir())) == len(cases) + 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Teachers that cannot teach, and other things that are not what they should be."""
    place = tmp_path_factory.mktemp("given")
    write_spoilt(place)
    (place / "unknown.flags").write_text("--seed=1\n--sede=2\n")
    (place / "wrong.flags").write_text("--seed=one\n")
    (place / "binary.flags").write_bytes(bytes(range(128, 256)))
    (place / "file").write_text("a file")
    return place


def teacher(name, *parts):
    return [f"--teacher={name}.keras"], [f"{name}.keras", *parts]


CASES = {
    "teacher of other channels of images": teacher("colour", "(8, 8, 3)", "(8, 8, 1)"),
    "teacher of larger images": teacher("larger", "(16, 16, 1)", "(8, 8, 1)"),
    "teacher of other classes": teacher("seven", "7 classes", "kd"),
    "teacher with other channels": teacher("wide", "skt", "3×3 and 2×2", "same channels"),
    "teacher without points": teacher("pointless", "skt", "no layer named 'p0'"),
    "teacher with a Lambda": teacher("lambda", "Lambda layer", "code"),
    "path that is too long": ([f"--teacher={'x' * 300}.keras"], ["xxx.keras"]),
    "student to export": (
        ["--job=export", "--student=lambda.keras"],
        ["lambda.keras", "Lambda layer"],
    ),
    "too many to hold out": (["--validation=5000"], ["--validation=5000", "1437", "10 to 1427"]),
    "too few to hold out": (["--validation=9"], ["--validation=9", "10 to 1427"]),
    "width for a larger machine": (
        ["--width=4096", "--batch_size=1000000"],
        ["--width=4096", "--batch_size=1000000", "GB"],
    ),
    "flagfile of no name": (["--flagfile="], ["--flagfile", "path"]),
    "switch that is neither on nor off": (["--fresh=maybe"], ["--fresh=maybe", "true or false"]),
    "temperature that leaves no number": (["--temperature=1e-300"], ["--temperature", "0.001"]),
    "more views than the disk holds": (
        ["--target_views=1000000000"],
        ["--target_views=1000000000", "MB left"],
    ),
    "unknown flag in a flagfile": (["--flagfile=unknown.flags"], ["--sede", "--seed"]),
    "wrong value in a flagfile": (["--flagfile=wrong.flags"], ["--seed=one"]),
    "binary flagfile": (["--flagfile=binary.flags"], ["binary.flags", "UTF-8"]),
    "data in a file": (["--data_dir=file"], ["--data_dir=file", "folder"]),
    "output below a file": (["--output_dir=file/run"], ["file/run"]),
    "output where nobody can write": (["--output_dir=/proc/skt_tf"], ["/proc/skt_tf", "folder"]),
    "output with too long a name": ([f"--output_dir={'x' * 300}"], ["xxx", "too long"]),
    "benchmark of nothing": (
        ["--job=benchmark", "--compare=gone.json"],
        ["--compare=gone.json", "benchmark.json"],
    ),
    "verification of nothing": (
        ["--job=verify", "--output_dir=gone"],
        ["gone", "finished run"],
    ),
}


@pytest.fixture(scope="module")
def answers(folder, tmp_path_factory):
    """{case: Attempt}."""
    cases = {name: [*TINY, *arguments] for name, (arguments, _) in CASES.items()}
    return attempts(cases, folder, tmp_path_factory.mktemp("cases"))


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_is_refused_in_one_sentence(name, answers):
    check_refused(answers[name], CASES[name][1])


def test_without_a_lambda_layer_nothing_is_said_of_code(answers):
    for name in CASES:
        assert ("Lambda" in answers[name].done.stderr) == ("lambda.keras" in CASES[name][1])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_others_is_not_written_to(tmp_path):
    (tmp_path / "run").mkdir(mode=0o555)
    before = snapshot(tmp_path)
    done = skt_tf(*TINY, cwd=tmp_path)
    check_refused(Attempt(done, before, snapshot(tmp_path)), ["--output_dir=run", "written"])


@pytest.fixture
def small_disk(request, tmp_path):
    """The folder `disk`, a file system in memory of a size that the test gives."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", place]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("small_disk", ["128k"], indirect=True)
def test_an_export_onto_a_full_disk_leaves_nothing(small_disk, folder, tmp_path):
    student = ["--job=export", f"--student={folder}/good.keras"]
    done = skt_tf(*student, "--output_dir=disk/new", cwd=tmp_path)
    check_refused(Attempt(done, {}, snapshot(small_disk)), ["disk/new", "o space left"])


@pytest.mark.parametrize("small_disk", ["4k"], indirect=True)
def test_where_not_even_a_lock_fits_nothing_is_left(small_disk, tmp_path):
    (small_disk / "ballast").write_bytes(bytes(4096))
    before = snapshot(small_disk)
    done = skt_tf(*TINY, "--output_dir=disk/run", cwd=tmp_path)
    check_refused(Attempt(done, before, snapshot(small_disk)), ["disk/run", "o space left"])


@pytest.mark.parametrize("small_disk", ["64k"], indirect=True)
def test_a_full_folder_for_temporary_files_is_named(small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(small_disk))
    done = skt_tf(*TINY, "--output_dir=run", cwd=tmp_path, anew=True)
    assert done.returncode == 2, done.stderr
    assert is_one_sentence(done.stderr), done.stderr
    assert str(small_disk) in done.stderr


def test_a_reader_that_goes_away_ends_the_run_in_one_sentence(tmp_path):
    process = running([*TINY, "--task_steps=2000"], tmp_path, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 2
    message = (tmp_path / "stderr").read_text()
    assert is_one_sentence(message), message
    assert "output" in message


@pytest.mark.parametrize("small_disk", ["40k"], indirect=True)
def test_a_disk_that_logs_have_filled_is_not_taken_for_memory(small_disk, tmp_path):
    # Nothing but the logs is written while the teacher is trained.
    many = ["--tensorboard", "--teacher_steps=300", "--evaluations=300"]
    done = skt_tf(*TINY, *many, "--output_dir=disk/run", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert is_one_sentence(done.stderr), done.stderr
    assert "disk/run" in done.stderr
    assert "o space left" in done.stderr


@pytest.mark.parametrize("small_disk", ["256k"], indirect=True)
def test_a_full_disk_is_named_and_with_room_the_run_goes_on(small_disk, tmp_path):
    run = [*TINY, "--checkpoint_every=1"]
    done = skt_tf(*run, "--output_dir=disk/run", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert is_one_sentence(done.stderr), done.stderr
    assert "disk/run" in done.stderr
    assert "o space left" in done.stderr
    # The teacher's training had begun, and nothing half-written is left.
    assert (small_disk / "run/results.json").exists()
    assert not [path for path in snapshot(small_disk) if ".draft" in path or ".lock" in path]
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = skt_tf(*run, "--output_dir=disk/run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = skt_tf(*run, "--output_dir=elsewhere", cwd=tmp_path)
    for path in ("teacher/model.keras", "kd/net0/student.keras", "skt/net0/metrics.csv"):
        other = (tmp_path / "elsewhere" / path).read_bytes()
        assert (small_disk / "run" / path).read_bytes() == other
