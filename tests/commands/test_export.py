"""A student becomes files that classify without this package; each is compared with it."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from command_line import finished_run, ran, skt_tf, snapshot
from reference import softmax
from sentences import is_one_sentence

# Knows the folder and the images alone. Run apart from this project's files.
READER = """
import sys
import numpy as np
import tensorflow as tf

images = np.load("images.npy")
model = tf.saved_model.load("exported")
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
    return cwd, skt_tf("--job=export", f"--student={student}", "--output_dir=exported", cwd=cwd)


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


def test_the_command_says_where_the_files_are(exported):
    cwd, done = exported
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.rstrip().endswith("exported")
    assert (cwd / "exported" / "saved_model.pb").is_file()
    assert not [name for name in snapshot(cwd) if "draft" in name]


def test_the_card_says_what_the_run_s_record_does(exported, student):
    folder, results = student.parents[2], student.parents[2] / "results.json"
    entry = json.loads(results.read_text())["methods"]["skt"]
    text = (exported[0] / "exported/README.md").read_text()
    assert folder.name == "run"
    assert "distilled from a teacher by the method `skt` of skt_tf" in text
    assert f"value: {entry['accuracies'][0]}\n" in text
    for stage in entry["stages"]:
        assert f"stage `{stage['name']}`: {stage['steps']} iterations" in text
    assert (exported[0] / "exported/labels.txt").read_text() == "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("call", CALLS)
def test_the_files_give_the_student_s_classes_without_the_package(
    call, count, found, student, images
):
    logits = keras.models.load_model(student).predict(images[:count], verbose=0)
    probabilities = found[f"{call}_{count}"]
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (count, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert probabilities.argmax(1).tolist() == logits.argmax(1).tolist()
    np.testing.assert_allclose(probabilities, softmax(logits), rtol=1e-3, atol=1e-6)


def test_images_are_told_apart(found):
    assert np.ptp(found["default_7"], axis=0).max() > 1e-3


def test_the_command_compares_every_file_with_the_student(student, tmp_path):
    arguments = ("--job=export", f"--student={student}", "--export=saved_model,litert,onnx")
    arguments += ("--dataset=digits", "--input_dtype=uint8", "--license=mit", "--output_dir=out")
    done = ran(*arguments, cwd=tmp_path)
    assert done.stderr == ""
    card = (tmp_path / "out/README.md").read_text()
    assert "`saved_model`: signature `serving_default` takes uint8" in card
    assert "license: mit" in card
    assert len((tmp_path / "out/labels.txt").read_text().splitlines()) == 10
    rows = json.loads((tmp_path / "out/export.json").read_text())["formats"]
    assert {"saved_model", "litert", "litert_int8", "onnx"} <= set(rows)
    for kind in ("saved_model", "litert", "onnx"):
        assert rows[kind]["agreement"] == 1.0
    assert (
        f"| the Keras network | 360 test images, digits | {rows['keras']['accuracy']:.2%}"[:-1]
        in card
    )
    for row in rows.values():
        assert row["milliseconds"] > 0
        assert row["bytes"] > 0
    assert "litert_int8" in (tmp_path / "out/export.md").read_text()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--export=torch",), "--export=torch is written by Keras on PyTorch alone"),
        (("--export=onnx", "--input_dtype=uint8"), "--input_dtype=uint8 is for saved_model"),
        (("--labels=none.txt",), "--labels=none.txt cannot be read"),
        (("--license=my own",), "--license=my own is no name of a license"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_written(flags, says, student, tmp_path):
    done = skt_tf("--job=export", f"--student={student}", *flags, "--output_dir=out", cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert is_one_sentence(done.stderr)
    assert list(snapshot(tmp_path)) == []
