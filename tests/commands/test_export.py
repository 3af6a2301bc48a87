"""A student becomes files that classify without this package; each is compared with it."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from command_line import finished_run, skt_tf, snapshot
from reference import softmax
from sentences import is_one_sentence

# Knows the folder and the images alone. Run apart from this project's files.
READER = """
import sys
import numpy as np
import tensorflow as tf

images = np.load("images.npy")
model = tf.saved_model.load("out/saved_model")
bytes_in, floats_in = tf.constant(images), tf.constant(images.astype(np.float32))
found = {}
for count in (1, 7):
    for name, call in {
        "default": lambda n: model.signatures["serving_default"](images=floats_in[:n]),
        "uint8": lambda n: model.signatures["serving_uint8"](images=bytes_in[:n]),
        "call_float": lambda n: model(floats_in[:n]),
        "call_uint8": lambda n: model(bytes_in[:n]),
    }.items():
        output = call(count)
        if isinstance(output, dict):
            (output,) = output.values()
        found[f"{name}_{count}"] = output.numpy()
assert "skt_tf" not in sys.modules
np.savez("found.npz", **found)
"""
CALLS = ("default", "uint8", "call_float", "call_uint8")


@pytest.fixture(scope="module")
def student():
    return finished_run().folder / "skt" / "net0" / "student.keras"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    """(the folder the export was started in, the finished command)."""
    cwd = tmp_path_factory.mktemp("export")
    arguments = ("--job=export", f"--student={student}", "--export=saved_model,litert,onnx")
    arguments += ("--dataset=digits", "--license=mit", "--output_dir=out")
    return cwd, skt_tf(*arguments, cwd=cwd)


@pytest.fixture(scope="module")
def found(exported, images):
    """{call and batch size: probabilities} from a process that knows the files alone."""
    cwd, _ = exported
    np.save(cwd / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-I", "-c", READER], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(cwd / "found.npz")


def test_the_command_compares_every_file_with_the_student(exported):
    cwd, done = exported
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.rstrip().endswith(": out")
    assert not [name for name in snapshot(cwd) if "draft" in name]
    rows = json.loads((cwd / "out/export.json").read_text())["formats"]
    assert {"saved_model", "litert", "litert_int8", "onnx"} <= set(rows)
    for kind in ("saved_model", "litert", "onnx"):
        assert rows[kind]["agreement"] == 1.0
    for row in rows.values():
        assert row["milliseconds"] > 0
        assert row["bytes"] > 0
    assert "litert_int8" in (cwd / "out/export.md").read_text()
    card = (cwd / "out/README.md").read_text()
    assert "license: mit" in card
    measured = f"| the Keras network | 360 test images, digits | {rows['keras']['accuracy']:.2%}"
    assert measured[:-1] in card


def test_the_card_says_what_the_run_s_record_does(exported, student):
    folder, place = student.parents[2], exported[0] / "out"
    entry = json.loads((folder / "results.json").read_text())["methods"]["skt"]
    text = (place / "README.md").read_text()
    assert "distilled from a teacher by the method `skt` of skt_tf" in text
    assert f"value: {entry['accuracies'][0]}\n" in text
    for stage in entry["stages"]:
        assert f"stage `{stage['name']}`: {stage['steps']} iterations" in text
    assert (place / "labels.txt").read_text() == "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"


def test_what_cannot_be_is_one_sentence_and_nothing_written(student, tmp_path):
    flags, says = ("--labels=none.txt",), "--labels=none.txt cannot be read"
    done = skt_tf("--job=export", f"--student={student}", *flags, "--output_dir=out", cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert is_one_sentence(done.stderr)
    assert list(snapshot(tmp_path)) == []


def test_the_files_give_the_student_s_classes_without_the_package(found, student, images):
    logits = keras.models.load_model(student)(images).numpy()
    for call in CALLS:
        for count in (1, 7):
            probabilities = found[f"{call}_{count}"]
            assert probabilities.dtype == np.float32
            assert probabilities.shape == (count, 10)
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
            assert probabilities.argmax(1).tolist() == logits[:count].argmax(1).tolist()
            np.testing.assert_allclose(probabilities, softmax(logits[:count]), rtol=1e-3, atol=1e-6)
    # Images are told apart.
    assert np.ptp(found["default_7"], axis=0).max() > 1e-3
