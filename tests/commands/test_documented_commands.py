"""Every command of the documents runs: as it stands, but small, and without the training itself.

What trains is in test_experiment.py, test_own_networks.py and test_search.py, and what the help
says in test_main.py.
"""

import dataclasses
import re
import shlex
import shutil

import pytest
from chains import chain
from command_line import ROOT, SLOW, finished_run, of_methods
from image_folders import write
from parsing import here, parse
from untrained import untrained

DOCUMENTS = ("README.md", "BUILD.md")
# Fewer iterations and narrower networks, without a word of the command changed.
NETWORKS = ("--teacher_depth=8", "--width=2", "--batch_size=8")
STEPS = (
    "--teacher_steps=4", "--transfer_steps=6", "--hint_steps=4", "--task_steps=4",
    "--evaluations=1",
)  # fmt: skip
SMALL = {
    "experiment": (*NETWORKS, *STEPS, "--budget=1", "--nets=1", "--distribution=none"),
    "tune": (*NETWORKS, *STEPS, "--trials=2"),
    "benchmark": ("--dataset=digits", *NETWORKS),
}


def commands():
    """Lines of code, those that end in a backslash joined."""
    found = {}
    for name in DOCUMENTS:
        text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text(encoding="utf-8"))
        for line in text.splitlines():
            match = re.search(r"\.venv/bin/python -m skt_tf\.main([^`#|]*)", line)
            if match and not re.search("…|--help", line):
                found[match[1].strip()] = None
    return list(found)


def job(command):
    found = re.search(r"--job=(\w+)", command)
    return found[1] if found else "experiment"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with everything that the commands speak of."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "flags").symlink_to(ROOT / "flags")
    for name, seed in (("quickstart", 0), ("seed0", 0), ("seed10", 10)):
        run = shutil.copytree(finished_run().folder, folder / "runs" / name)
        of_methods(run, "baseline", "skt", seed=seed)
    write(folder / "images", ending="png", sizes=[(32, 32)], channels=3)
    shape, points = (32, 32, 3), ("stem", "a1", "a2", "b1", "b2")
    chain((3,) * 5, 2, shape, names=points).save(folder / "teacher.keras")
    chain((2,) * 5, 2, shape).save(folder / "student.keras")
    return folder


CASES = [
    # test_benchmark.py always tries the benchmark.
    pytest.param(command, marks=SLOW) if job(command) == "benchmark" else command
    for command in commands()
]


@pytest.fixture(scope="module")
def tried():
    """The configurations that ran, wherever they wrote."""
    return []


@pytest.mark.parametrize("command", CASES)
def test_a_documented_command_runs(command, place, tried, monkeypatch, policy):
    arguments = [*shlex.split(command), *SMALL.get(job(command), ())]
    if job(command) == "experiment" and not re.search(r"--methods|best\.flags", command):
        arguments += ["--methods=baseline"]
    if "--dataset=cifar10" in command:
        # As the images that the networks of the command take.
        arguments += ["--dataset=folder", "--data_dir=images", "--image_size=32"]
    elif "cifar" in command:
        # The flagfile's own flags are read; the images come with scikit-learn.
        arguments += ["--dataset=digits"]
    monkeypatch.chdir(place)  # Flagfiles name each other as seen from there.
    if "--compare=other.json" in command:
        here("--job=benchmark", *SMALL["benchmark"], "--output_dir=other")
        shutil.copy("other/benchmark.json", "other.json")
    if "--output_dir" not in command:
        arguments += ["--output_dir=runs/" + re.sub("[^a-z0-9]+", "_", command)[-80:]]
    config = dataclasses.replace(parse(*arguments), output_dir="anywhere")
    if job(command) == "experiment" and config in tried:
        return  # Another command was the same but for what is made small.
    tried.append(config)
    untrained(monkeypatch)
    assert here(*arguments) is not False


def test_the_loss_of_one_s_own_that_is_shown_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "own_objective.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    exec(re.sub(r"_steps=\d+", "_steps=5", code), {"__name__": "my_losses"})
    assert re.search(r"^\d+\.\d+ 0\.\d+$", capsys.readouterr().out, re.MULTILINE)
