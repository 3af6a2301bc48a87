"""Every command of the documents runs: as it stands, but small."""

import dataclasses
import re
import shlex
import shutil

import numpy as np
import pytest
from command_line import ROOT, SLOW, finished_run, ran, skt_tf
from parsing import parse

DOCUMENTS = ("README.md", "BUILD.md")
# Fewer iterations and narrower networks, without a word of the command changed.
SMALL = {
    "experiment": (
        "--teacher_depth=8", "--width=2", "--batch_size=16", "--teacher_steps=4",
        "--transfer_steps=6", "--hint_steps=4", "--task_steps=4", "--budget=1", "--evaluations=1",
        "--nets=1", "--transfer_learning_rate=1e-6",
    ),
    "tune": (
        "--teacher_depth=8", "--width=2", "--batch_size=16", "--teacher_steps=60",
        "--transfer_steps=6", "--task_steps=4", "--evaluations=1", "--trials=2",
    ),
    "benchmark": ("--dataset=digits", "--teacher_depth=8", "--width=2", "--batch_size=8"),
}  # fmt: skip


def commands():
    """{command: its document}: lines of code, those that end in a backslash joined."""
    found = {}
    for name in DOCUMENTS:
        text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text(encoding="utf-8"))
        for line in text.splitlines():
            match = re.search(r"(?:TF_CONFIG='.*' )?\.venv/bin/python -m skt_tf\.main[^`#|]*", line)
            if match and "…" not in line:
                found.setdefault(match[0].strip(), name)
    return found


COMMANDS = commands()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with everything that the commands speak of."""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("documented")
    (folder / "flags").symlink_to(ROOT / "flags")
    run = finished_run().folder
    for name in ("runs/quickstart", "runs/seed0"):
        shutil.copytree(run, folder / name)
    seed10 = (run / "results.json").read_text().replace('"seed": 0', '"seed": 10')
    shutil.copytree(run, folder / "runs/seed10")
    (folder / "runs/seed10/results.json").write_text(seed10)
    random = np.random.default_rng(0)
    for part, number in (("train", 12), ("test", 3)):
        for shade, name in enumerate(("dark", "bright")):
            (folder / "images" / part / name).mkdir(parents=True)
            for k in range(number):
                image = random.normal(60 + 120 * shade, 20, (32, 32, 3)).clip(0, 255)
                path = folder / "images" / part / name / f"{k}.png"
                keras.utils.save_img(path, image, scale=False)
    for name, prefix in (("teacher", ("stem", "a1", "a2", "b1", "b2")),
                         ("student", ("c0", "c1", "c2", "c3", "c4"))):  # fmt: skip
        x = images = keras.Input((32, 32, 3))
        x = layers.Rescaling(1 / 255)(x)
        for k, point in enumerate(prefix):
            x = layers.Conv2D(3 if name == "teacher" else 2, 3, 1 + k % 2, "same", name=point)(x)
        x = layers.GlobalAveragePooling2D()(x)
        keras.Model(images, layers.Dense(2)(x)).save(folder / f"{name}.keras")
    return folder


def job(command):
    found = re.search(r"--job=(\w+)", command)
    return found[1] if found else "experiment"


CASES = [
    # test_benchmark.py always tries the benchmark.
    pytest.param(command, marks=SLOW) if job(command) == "benchmark" else command
    for command in COMMANDS
]


@pytest.fixture(scope="module")
def tried():
    """The configurations of experiments that ran."""
    return []


def made_small(arguments):
    """What a command does, wherever it writes and on however many devices."""
    return dataclasses.replace(parse(*arguments), output_dir="anywhere", distribution="none")


@pytest.mark.parametrize("command", CASES, ids=[f"{job(c)}{k}" for k, c in enumerate(COMMANDS)])
def test_a_documented_command_runs(command, place, tried, monkeypatch):
    arguments = shlex.split(command.split("skt_tf.main", 1)[1])
    if "--help" in arguments:
        assert "--transfer_steps" in skt_tf(*arguments, cwd=place).stdout
        return
    small = list(SMALL.get(job(command), ()))
    if job(command) == "experiment" and not re.search(r"--methods|best\.flags", command):
        small += ["--methods=baseline"]  # The others are tried in test_experiment.py.
    if "--dataset=cifar10" in command:
        # As the images that the networks of the command take.
        small += ["--dataset=folder", "--data_dir=images", "--image_size=32"]
    elif "cifar" in command:
        # The flagfile's own flags are read; the images come with scikit-learn.
        small += ["--dataset=digits"]
    if "multi_worker" in command:
        small += ["--distribution=none"]
    if "--compare=other.json" in command:
        benchmark = place / "runs/benchmark/benchmark.json"
        if not benchmark.exists():
            skt_tf("--job=benchmark", *SMALL["benchmark"], cwd=place)
        shutil.copy(benchmark, place / "other.json")
    if not any(word.startswith("--output_dir") for word in arguments):
        name = re.sub("[^a-z0-9]+", "_", command)[-80:]
        small += [f"--output_dir=runs/{name}"]
        if "benchmark" in command:
            small.pop()
    monkeypatch.chdir(place)  # Flagfiles name each other as seen from there.
    config = made_small([*arguments, *small])
    if job(command) == "experiment" and config in tried:
        return  # Another command was the same but for what is made small.
    ran(*arguments, *small, cwd=place)
    tried.append(config)
