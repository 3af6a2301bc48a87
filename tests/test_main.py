"""What the command line says to --help and to mistakes, and that a mistake changes nothing."""

import dataclasses
import re
import shutil

import pytest
from commands import RUN, finished_run, is_one_sentence, skt_tf, snapshot

from skt_tf.config import Config
from skt_tf.models import resnet

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


@pytest.fixture
def cwd(tmp_path):
    """A folder with things of its owner."""
    folder = tmp_path / "work"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "letter.txt").write_text("dear")
    (folder / "notes.txt").write_text("not a network")
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


def check_refusal(arguments, parts, cwd, before=()):
    content = snapshot(cwd)
    done = skt_tf(*TINY, *arguments, cwd=cwd, before=before)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert is_one_sentence(done.stderr), done.stderr
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr
    assert snapshot(cwd) == content
    return done.stderr


AT_ONCE = {
    "unknown job": (["--job=paint"], ["--job=paint", "experiment, export"]),
    "unknown experiment": (["--experiment=alchemy"], ["alchemy", "minimization"]),
    "unknown dataset": (["--dataset=imagenet"], ["imagenet", "digits, cifar10, cifar100"]),
    "dataset of two lines": (["--dataset=a\nb"], ["--dataset=a b"]),
    "unknown method": (["--methods=skt,magic"], ["magic", "baseline, baseline_long, kd, hint"]),
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
    "no such flagfile": (["--flagfile=gone.flags"], ["gone.flags"]),
    "folder as flagfile": (["--flagfile=mine"], ["mine"]),
    "flagfile of another encoding": (["--flagfile=latin.flags"], ["latin.flags"]),
    "value for a switch": (["--nohelp=3"], ["--nohelp=3"]),
    "export without a student": (["--job=export"], ["--student"]),
}


@pytest.mark.parametrize(("arguments", "parts"), AT_ONCE.values(), ids=AT_ONCE)
def test_a_mistake_in_the_flags_is_answered_before_tensorflow(arguments, parts, cwd, no_tensorflow):
    check_refusal(arguments, parts, cwd, [no_tensorflow])


@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
def test_a_data_folder_that_does_not_exist_is_refused(dataset, cwd):
    arguments = [f"--dataset={dataset}", "--data_dir=nowhere", "--methods=baseline"]
    check_refusal(arguments, ["--data_dir=nowhere"], cwd)


def test_a_teacher_that_does_not_exist_is_refused(cwd):
    check_refusal(["--teacher=gone.keras"], ["gone.keras", "does not exist"], cwd)


@pytest.mark.parametrize("name", ["notes.txt", "notes.keras"])
def test_a_teacher_that_is_not_a_keras_file_is_refused(name, cwd):
    (cwd / "notes.txt").rename(cwd / name)
    message = check_refusal([f"--teacher={name}"], [name, "Keras"], cwd)
    assert "not found" not in message  # The file is there.


def test_a_teacher_for_images_of_another_shape_is_refused(cwd):
    resnet(8, 10, (32, 32, 3), 2).save(cwd / "colour.keras")
    check_refusal(["--teacher=colour.keras"], ["colour.keras", "(32, 32, 3)", "(8, 8, 1)"], cwd)


def test_an_output_folder_that_is_a_file_is_refused(cwd):
    check_refusal(["--output_dir=notes.txt"], ["notes.txt", "file"], cwd)


def test_an_output_folder_below_a_file_is_refused(cwd):
    check_refusal(["--output_dir=notes.txt/run"], ["notes.txt"], cwd)


def test_an_output_folder_that_holds_other_files_is_refused(cwd):
    check_refusal(["--output_dir=mine"], ["mine", "other files"], cwd)


def test_an_output_folder_that_holds_another_experiment_is_refused_with_what_differs(cwd):
    shutil.copytree(finished_run().folder, cwd / "run")
    # The last value of a flag given twice counts.
    changed = [*RUN, "--seed=7", "--methods=baseline,kd", "--learning_rate=0.25"]
    message = check_refusal(
        changed,
        ["run", "seed (0 there, 7 here)", "learning_rate (0.1 there, 0.25 here)", "methods ("],
        cwd,
    )
    assert "width" not in message
    assert "batch_size" not in message


@pytest.fixture(scope="module")
def help_page(tmp_path_factory):
    return skt_tf("--help", cwd=tmp_path_factory.mktemp("help"))


def explanation(page, flag):
    """The text of a flag on the help page, its lines joined; its default is not in it."""
    found = re.search(rf"^  --{flag}: (.+?)$\n(?=  --|    \(|\n|\Z)", page, re.M | re.S)
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
