"""The model card says what is so, and nothing else."""

import dataclasses
import json
import re
import shutil
import types

import numpy as np
import pytest
from sentences import refused

import skt_tf
from skt_tf.configuration import Config
from skt_tf.exporting import export, labels
from skt_tf.exporting.card import Facts, card
from skt_tf.exporting.provenance import provenance
from skt_tf.models.saving import save_network, weights_digest

NAMES = tuple("abcd")
VERSIONS = {"skt_tf": "0.2.0", "keras": "3.15.1", "tensorflow": "2.21.0"}
FILES = {"litert": "student.tflite", "litert_int8": "student_int8.tflite"}
STUDENT = types.SimpleNamespace(
    name="net", count_params=lambda: 1234, input_shape=(None, 8, 8, 1), output_shape=(None, 4)
)
FACTS = Facts(STUDENT, "float32", files=FILES)
HEAD = """---
library_name: litert
pipeline_tag: image-classification
license: apache-2.0
tags:
- image-classification
- keras
- tflite
- knowledge-distillation
datasets:
- digits
metrics:
- accuracy
model-index:
- name: net
  results:
  - task:
      type: image-classification
    dataset:
      name: digits
      type: digits
      split: test
    metrics:
    - type: accuracy
      value: 0.5
  - task:
      type: image-classification
    dataset:
      name: digits
      type: digits
      split: test
    metrics:
    - type: accuracy
      value: 0.25
      name: "accuracy of student_int8.tflite"
---
"""


def run_of(student, folder, net=0, **changed):
    """The path of `student` as a net of `skt` in the folder of an experiment."""
    path = folder / "skt" / f"net{net}" / "student.keras"
    save_network(student, path)
    stages = [{"name": name, "steps": 5} for name in ("step1", "step2", "task")]
    results = {
        "dataset": "digits",
        "data": "12345678",
        "config": {"image_size": None},
        "environment": {**VERSIONS, "cores": 2},
        "teacher": {
            "depth": 14, "accuracy": 0.75, "source": None, "weights": "abcdef01",
            "parameters": 5678, "iterations": 30,
        },
        "methods": {
            "skt": {
                "accuracies": [0.5, 0.625],
                "weights": [weights_digest(path)] * 2,
                "stages": stages,
            }
        },
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps({**results, **changed}))
    return path


@pytest.fixture(scope="module")
def distilled(network, tmp_path_factory):
    """(result, folder, teacher) of a small distillation."""
    folder = tmp_path_factory.mktemp("distilled") / "out"
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(16) % 4
    data = skt_tf.Dataset(
        "mine", images, labels, images, labels, 4, False, class_names=NAMES, test_name="validation"
    )
    teacher, student = network(1), network(2)
    steps = {"transfer_steps": 4, "task_steps": 3, "evaluations": 1, "batch_size": 4}
    result = skt_tf.distill(
        teacher, student, data, method="fsp", output_dir=folder, verbose=0, **steps
    )
    return result, folder, teacher


def said(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_head_is_what_model_hubs_read(student, tmp_path):
    source = provenance(run_of(student, tmp_path))
    measured = "digits", "test", 360, {"keras": 0.5, "litert": 0.5, "litert_int8": 0.25}
    text = card(
        dataclasses.replace(FACTS, provenance=source, measured=measured, license="apache-2.0")
    )
    assert text.startswith(HEAD)


def test_the_body_says_how_it_was_trained(student, tmp_path):
    text = card(dataclasses.replace(FACTS, provenance=provenance(run_of(student, tmp_path, net=1))))
    for line in (
        "- distilled from a teacher by the method `skt` of skt_tf",
        "- stage `step2`: 5 iterations, from the teacher's FSP matrices",
        "- stage `task`: 5 iterations, from the labels",
        "- teacher: 14 layers, 5,678 parameters, 75.00 % of the test images, digest of its weights "
        "abcdef01",
        "- images: digits",
        "| the Keras network, after its training | test images, digits | 62.50 |",
        "- range: grey levels 0…255, which are not to be scaled or standardised beforehand",
        "- `student_int8.tflite`: signature `serving_default` takes float32, int8 inside",
        "- output `probabilities`: [batch, 4], float32, which sum to 1",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("method", "taught", "opening"),
    [
        ("kd", True, "distilled from a teacher"),
        ("teacher_copied", True, "begun with the weights of a teacher"),
        ("baseline_long", False, "trained without a teacher"),
    ],
)
def test_it_tells_teaching_from_what_is_none(method, taught, opening, student, tmp_path):
    source = provenance(run_of(student, tmp_path))
    facts = source.teacher if taught else {}
    source = dataclasses.replace(source, method=method, stages=(("task", 9),), teacher=facts)
    text = card(dataclasses.replace(FACTS, provenance=source))
    assert f"- {opening}, by" in text or f"- {opening} by" in text
    assert ("- knowledge-distillation\n" in text) == (method == "kd")
    assert ("- teacher:" in text) == taught


def test_of_a_distillation_it_says_what_its_record_does(distilled, tmp_path):
    result, folder, _ = distilled
    skt_tf.export(result.student, tmp_path / "out", trained_in=folder)
    text, record = said(tmp_path / "out"), json.loads((folder / "distill.json").read_text())
    assert "by the method `fsp` of skt_tf" in text
    assert "stage `transfer`: 4 iterations" in text
    assert "stage `task`: 3 iterations" in text
    assert f"teacher: digest of its weights {record['teacher']}" in text
    assert f"validation images, mine | {100 * result.accuracy:.2f} |" in text
    assert f"value: {result.accuracy}" in text
    assert "datasets:\n- mine\n" in text
    assert "    dataset:\n      name: mine\n      type: mine\n      split: validation\n" in text
    assert (tmp_path / "out/labels.txt").read_text() == "a\nb\nc\nd\n"


def test_of_an_older_distillation_it_says_less(distilled, tmp_path):
    result, folder, _ = distilled
    older = shutil.copytree(folder, tmp_path / "older")
    record = json.loads((older / "distill.json").read_text())
    for name in ("dataset", "class_names", "watched", "validation_content"):
        del record[name]
    (older / "distill.json").write_text(json.dumps(record))
    skt_tf.export(result.student, tmp_path / "out", trained_in=older)
    text = said(tmp_path / "out")
    assert "| the Keras network, after its training | test images | " in text
    assert "datasets:" not in text
    assert "type: unknown" in text
    assert not (tmp_path / "out/labels.txt").exists()


def test_a_teacher_that_was_given_and_not_asked_is_not_said(network, tmp_path):
    random = np.random.default_rng(0)
    train = random.integers(0, 256, (8, 8, 8, 1)).astype(np.float32), np.arange(8) % 4
    skt_tf.distill(
        network(1), network(3), train, method="baseline", output_dir=tmp_path, verbose=0,
        task_steps=2, evaluations=1, batch_size=4,
    )  # fmt: skip
    source = provenance(tmp_path / "student.keras")
    assert source.method == "baseline"
    assert not source.distilled
    assert source.teacher == source.accuracies == {}
    text = card(dataclasses.replace(FACTS, provenance=source))
    assert "trained without a teacher, by the method `baseline`" in text
    assert "accuracy" not in text
    # Arrays come in any range.
    assert "0…255" not in text


def test_what_is_not_known_is_left_out():
    text = card(FACTS).lower()
    for word in (
        "accuracy", "metrics", "dataset", "license", "teacher", "distill", "trained by", "none",
        "unknown", "labels.txt", "0…255",
    ):  # fmt: skip
        assert word not in text
    assert "{" not in text.replace('{"images": images}', "")


def test_a_student_with_other_weights_than_the_record_s_is_not_its(student, network, tmp_path):
    path = run_of(student, tmp_path / "run")
    assert provenance(path).method == "skt"
    save_network(network(7), path)
    assert provenance(path) is None
    with refused("holds no record of a finished training"):
        skt_tf.export(network(7), tmp_path / "out", trained_in=path)
    assert not (tmp_path / "out").exists()


def test_the_card_of_another_network_is_refused(distilled, network, tmp_path):
    with refused(f"^trained_in={re.escape(str(distilled[1]))} holds a network of other weights"):
        skt_tf.export(network(7), tmp_path / "out", trained_in=distilled[1])
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_says_nothing_of_the_file_is_passed_over(student, tmp_path):
    path = run_of(student, tmp_path)
    for changed in ({"methods": {}}, {"environment": {}}, {"teacher": None}):
        run_of(student, tmp_path, **changed)
        assert provenance(path) is None
    (tmp_path / "results.json").write_text("{")
    assert provenance(path) is None
    save_network(student, tmp_path / "alone.keras")
    assert provenance(tmp_path / "alone.keras") is None


def test_names_of_classes_are_those_of_the_images_it_was_trained_on(student, digits, tmp_path):
    mine, others = (provenance(run_of(student, tmp_path, data=d)) for d in (digits.digest, "0"))
    names = tuple("0123456789")
    assert labels.known(10, mine) == labels.known(10, None, dataset=digits) == names
    assert labels.known(10, mine, dataset=digits) == names
    # A network may tell more classes apart than its images were of.
    assert labels.known(11, mine) is None
    # Those that bear the name now are others.
    assert (
        labels.known(10, others)
        is labels.known(10, others, dataset=digits)
        is labels.known(10, None)
        is None
    )
    for name, place in (("folder", tmp_path), ("cifar10", tmp_path)):
        there = dataclasses.replace(mine, dataset=name)
        assert labels.known(10, there, str(place)) is None


def test_images_that_stand_for_a_test_are_called_by_their_name(student, tmp_path):
    path = run_of(student, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text()) | {"test_name": "validation"}
    results["methods"]["skt"]["validation_accuracies"] = [0.25]
    (tmp_path / "results.json").write_text(json.dumps(results))
    source = provenance(path)
    assert source.accuracies == {"validation": 0.5, "held-out": 0.25}
    measured = "digits", "validation", 360, {"keras": 0.5}
    text = card(dataclasses.replace(FACTS, provenance=source, measured=measured))
    assert "75.00 % of the validation images" in text
    assert "| 360 validation images, digits | 50.00 |" in text
    assert "| held-out images, digits | 25.00 |" in text
    assert "test" not in text


IMPOSSIBLE = {
    "too few names": ({"labels": NAMES[:3]}, "^labels: 3 names for the 4 outputs"),
    "no list": ({"labels": "abcd"}, "^labels='abcd': expected a list"),
    "numbers by names": ({"labels": dict.fromkeys(NAMES, 1)}, "^labels={'a': 1, .*a list"),
    "no line": ({"labels": ["a", "b\nc", "d", "e"]}, "^labels: the name of class 1"),
    "no text": ({"labels": range(4)}, "^labels: the name of class 0"),
    "no license": ({"license": "my own: see below"}, "^license=my own: see below is no name"),
    "unknown dtype": ({"input_dtype": "int8"}, "^input_dtype=int8 is unknown.*float32, uint8"),
    "dtype of no format": (
        {"input_dtype": "uint8", "formats": ("litert",)},
        "^input_dtype=uint8 is for saved_model, and formats is litert",
    ),
    "no record": ({"trained_in": "/nowhere"}, "^trained_in=/nowhere holds no record"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_arguments_are_refused_before_anything_is_written(name, student, tmp_path):
    arguments, sentence = IMPOSSIBLE[name]
    with refused(sentence):
        skt_tf.export(student, tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_job_takes_names_from_a_file_and_writes_them(student, tmp_path, capfd):
    save_network(student, tmp_path / "student.keras")
    (tmp_path / "names.txt").write_text("\ufeffé\r\nb \r\nc\r\nd\r\n\r\n", encoding="utf-8")
    given = {"student": str(tmp_path / "student.keras"), "output_dir": str(tmp_path / "out")}
    config = Config(job="export", labels=str(tmp_path / "names.txt"), license="mit", **given)
    export.run(config)
    assert (tmp_path / "out/labels.txt").read_text(encoding="utf-8") == "é\nb\nc\nd\n"
    assert "license: mit" in said(tmp_path / "out")
    (tmp_path / "names.txt").write_bytes(b"\xff")
    with refused("labels=.*names.txt cannot be read"):
        export.run(dataclasses.replace(config, output_dir=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()
    capfd.readouterr()
