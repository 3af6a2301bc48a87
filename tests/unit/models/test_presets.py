"""Presets are the networks of the committed runs, and what is said of them is true."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from parsing import parse
from sentences import refused

import skt_tf
from skt_tf.models import presets
from skt_tf.models.saving import weights_digest

ROOT = pathlib.Path(__file__).resolve().parents[3]
RUN = ROOT / "docs/results/cifar10_sixteenth"
RESULTS = json.loads((RUN / "results.json").read_text(encoding="utf-8"))
NAMES = list(skt_tf.presets())


def test_the_table_of_the_run_is_what_there_is():
    students = [f"cifar10_resnet8_{method}" for method in RESULTS["methods"]]
    assert skt_tf.presets().keys() == {"cifar10_resnet26", *students}
    assert {"cifar10_resnet8_baseline_long", "cifar10_resnet8_skt"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_the_weights_and_the_accuracy_of_its_run(name):
    preset = skt_tf.load_preset(name)
    if preset.method is None:
        entry, path = RESULTS["teacher"], RUN / "teacher/model.keras"
        accuracy, weights = entry["accuracy"], entry["weights"]
    else:
        entry, path = RESULTS["methods"][preset.method], RUN / preset.method / "net0/student.keras"
        accuracy, weights = entry["accuracies"][0], entry["weights"][0]
    assert preset.accuracy == skt_tf.presets()[name] == accuracy
    assert weights_digest(path) == weights
    assert preset.network.count_params() == entry["parameters"]
    logits = preset.network(np.zeros((2, 32, 32, 3), np.uint8))
    assert logits.shape == (2, len(set(preset.label_names)))
    assert logits.dtype == "float32"
    assert preset.name == name


@pytest.mark.parametrize("name", NAMES)
def test_the_command_of_a_preset_is_that_of_its_run(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    preset = skt_tf.load_preset(name)
    program, words = preset.command.split(" --", 1)
    assert program == "python -m skt_tf.main"
    config = parse(*f"--{words}".split())
    assert config.differing(RESULTS["config"], aside=("methods", "nets")) == {}
    assert config.methods == (preset.method or "baseline",)
    assert (ROOT / preset.run / "README.md").is_file()


@pytest.mark.parametrize(
    ("name", "parts"),
    [("cifar10_resnet62", ["(did you mean cifar10_resnet26?)", "cifar10_resnet8_skt"]),
     ("imagenet", ["expected one of cifar10_resnet26, "]),
     (None, ["'None' is unknown"]),
     (["cifar10_resnet26"], ["is unknown"])],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_those_that_there_are(name, parts):
    with refused("^the preset ", *parts):
        skt_tf.load_preset(name)


def test_a_file_of_other_weights_is_no_preset(tmp_path, monkeypatch):
    folder = tmp_path / RUN.name
    (folder / "teacher").mkdir(parents=True)
    shutil.copy(RUN / "results.json", folder)
    shutil.copy(RUN / "kd_long/net0/student.keras", folder / "teacher/model.keras")
    monkeypatch.setattr(presets, "_PLACES", (tmp_path / "nowhere", tmp_path))
    assert list(skt_tf.presets()) == ["cifar10_resnet26"]
    with refused("other weights than those of the preset 'cifar10_resnet26'"):
        skt_tf.load_preset("cifar10_resnet26")
    monkeypatch.setattr(presets, "_PLACES", (tmp_path / "nowhere",))
    with refused("neither beside the package nor in docs/results"):
        skt_tf.presets()
