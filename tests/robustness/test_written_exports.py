"""Each exported file says in its own runtime what the Keras student says."""

import os
import re
import sys

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from command_line import snapshot
from reference import softmax
from sentences import refused

import skt_tf
from skt_tf.configuration import Config
from skt_tf.exporting import comparison, export, runtimes
from skt_tf.models.resnet import resnet
from skt_tf.utils.quiet import silence

FLOAT = ("saved_model", "litert", "onnx")


def run(kind, path, images):
    """Probabilities by the runtime itself."""
    images = images.astype(np.float32)
    if kind == "saved_model":
        return tf.saved_model.load(str(path))(images).numpy()
    if kind == "onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(["probabilities"], {"images": images})[0]
    return Interpreter(str(path)).get_signature_runner()(images=images)["probabilities"]


def exact(network, images):
    """In float64 NumPy, from the network's logits."""
    return softmax(network.predict(images.astype(np.float32), verbose=0))


@pytest.fixture(scope="module")
def trained(digits):
    """A student that knows its digits."""
    student = resnet(8, 10, (8, 8, 1), 8, normalization=(digits.mean, digits.variance), seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    keras.utils.set_random_seed(0)
    student.fit(digits.train_images, digits.train_labels, 64, epochs=5, verbose=0)
    labels = student.predict(digits.test_images, verbose=0).argmax(1)
    assert (labels == digits.test_labels).mean() > 0.9
    return student


@pytest.fixture(scope="module")
def exported(trained, digits, tmp_path_factory):
    """(the folder, what `export` returned)."""
    folder = tmp_path_factory.mktemp("formats") / "out"
    images = digits.train_images[::8]
    return folder, skt_tf.export(trained, folder, FLOAT, calibration_images=images)


def test_the_files_have_their_names_and_are_all_there_is(exported):
    folder, files = exported
    assert files == {
        "saved_model": folder / "saved_model",
        "litert": folder / "student.tflite",
        "litert_int8": folder / "student_int8.tflite",
        "onnx": folder / "student.onnx",
    }
    assert sorted(folder.iterdir()) == sorted([folder / "README.md", *files.values()])
    assert list(folder.parent.iterdir()) == [folder]


def check_code(folder, images, expected, number, dtypes):
    """Runs what the card shows in `folder`: three lines for each of so many files."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"images of (\w+):\n\n```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == number
    assert {dtype for dtype, _ in blocks} == dtypes
    for dtype, block in blocks:
        names = {"images": images.astype(dtype)}
        assert len(block.splitlines()) == 3
        exec(block, names)
        tolerance = 0.2 if "int8" in block else 1e-4
        np.testing.assert_allclose(names["probabilities"], expected, atol=tolerance)


def test_the_code_in_the_card_runs(exported, trained, digits, monkeypatch):
    folder, files = exported
    monkeypatch.chdir(folder)
    images = digits.test_images[:3]
    check_code(folder, images, exact(trained, images), len(files), {"float32"})


@pytest.mark.parametrize(("default", "other"), [("uint8", "float32"), ("float32", "uint8")])
def test_the_default_signature_takes_what_was_asked_for(
    default, other, student, digits, tmp_path, monkeypatch
):
    skt_tf.export(student, tmp_path / "out", input_dtype=default)
    signatures = tf.saved_model.load(str(tmp_path / "out")).signatures
    assert set(signatures) == {"serving_default", f"serving_{other}"}
    images = digits.test_images[:3]
    expected = exact(student, images)
    for name, dtype in (("serving_default", default), (f"serving_{other}", other)):
        (given,) = signatures[name].structured_input_signature[1].values()
        assert given.dtype == dtype
        found = signatures[name](images=tf.constant(images.astype(dtype)))["probabilities"]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert f"signature `{name}` takes {dtype}" in (tmp_path / "out/README.md").read_text()
    monkeypatch.chdir(tmp_path / "out")
    check_code(tmp_path / "out", images, expected, 1, {default})


@pytest.mark.parametrize("number", [1, 7, 360])
@pytest.mark.parametrize("kind", FLOAT)
def test_in_float32_it_gives_the_student_s_probabilities(kind, number, exported, trained, digits):
    images = digits.test_images[:number]
    found = run(kind, exported[1][kind], images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact(trained, images), atol=1e-5)


def test_int8_agrees_on_almost_all_images_and_is_small(exported, trained, digits):
    _, files = exported
    images = digits.test_images
    found, expected = (
        run("litert_int8", files["litert_int8"], images),
        exact(trained, images),
    )
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.97
    assert np.abs(found - expected).mean() < 0.02
    one = run("litert_int8", files["litert_int8"], images[:1])
    np.testing.assert_allclose(one, found[:1], atol=1 / 256)
    assert files["litert_int8"].stat().st_size < 0.6 * files["litert"].stat().st_size


def test_int8_means_weights_and_activations(exported):
    interpreter = Interpreter(str(exported[1]["litert_int8"]))
    kinds = {detail["name"]: detail["dtype"] for detail in interpreter.get_tensor_details()}
    floats = [name for name, kind in kinds.items() if kind == np.float32]
    assert len(floats) == 2  # Images and probabilities.
    assert sum(kind == np.int8 for kind in kinds.values()) > 20


def test_a_loaded_file_runs_with_any_batch(exported, trained, digits):
    for kind, path in exported[1].items():
        call, name = runtimes.load(kind, path)
        assert name.split()[0] in ("tensorflow", "ai-edge-litert", "onnxruntime")
        for number in (3, 1):
            images = digits.test_images[:number].astype(np.float32)
            tolerance = 0.2 if kind == "litert_int8" else 1e-5
            np.testing.assert_allclose(call(images), exact(trained, images), atol=tolerance)


def test_without_ai_edge_litert_tensorflow_s_interpreter_runs_the_file(
    exported, trained, digits, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    call, name = runtimes.load("litert", exported[1]["litert"])
    assert name.startswith("tf.lite")
    images = digits.test_images[:2].astype(np.float32)
    np.testing.assert_allclose(call(images), exact(trained, images), atol=1e-5)


def test_the_comparison_tells_another_student_from_this_one(
    exported, trained, digits, network, tmp_path
):
    other = network(7, width=4, classes=10)
    other.save(tmp_path / "other.keras")
    rows = comparison.compare(other, tmp_path / "other.keras", exported[1], digits)
    mine, others = (exact(one, digits.test_images) for one in (trained, other))
    classes = mine.argmax(1)
    assert list(rows) == ["keras", *exported[1]]
    for kind in FLOAT:
        row, path = rows[kind], exported[1][kind]
        assert row["accuracy"] == np.mean(classes == digits.test_labels)
        assert row["agreement"] == np.mean(classes == others.argmax(1)) < 0.9
        assert row["largest_difference"] == pytest.approx(np.abs(mine - others).max(), abs=1e-4)
        content = snapshot(path).values() if path.is_dir() else [path.read_bytes()]
        assert row["bytes"] == sum(len(file) for file in content if file)
        assert 0 < row["milliseconds"] < 1000
    assert rows["keras"]["agreement"] == 1
    assert rows["keras"]["accuracy"] == np.mean(others.argmax(1) == digits.test_labels)


def test_of_many_classes_another_network_is_told_too(tmp_path, monkeypatch):
    """All probabilities are near 0.001."""
    answers = [softmax(np.random.default_rng(seed).normal(size=(2, 1000))) for seed in (0, 1)]
    monkeypatch.setattr(runtimes, "load", lambda *_: (lambda x: answers[0][: len(x)], "the file"))
    runtimes.check_answers("saved_model", tmp_path, (8, 8, 1), lambda x: answers[0][: len(x)])
    with refused("the file answers otherwise than the student"):
        runtimes.check_answers("saved_model", tmp_path, (8, 8, 1), lambda x: answers[1][: len(x)])


def test_a_student_that_answers_nan_is_told(student, digits):
    student.layers[-1].bias.assign([np.nan] * 4)
    with refused("--student=mine.keras answers NaN for 360 of the 360 test images"):
        comparison.compare(student, "mine.keras", {}, digits)


@keras.saving.register_keras_serializable("tests")
class Gain(keras.layers.Layer):
    """Of which its configuration says not all."""

    gain = 1.0

    def call(self, inputs):
        return inputs * self.gain


@pytest.mark.parametrize("name", ["conv 1", "conv_1"])
def test_a_layer_that_does_not_say_all_is_not_written_as_another(name, tmp_path):
    """A name that no graph takes makes TensorFlow need a copy."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name=name)(keras.layers.Rescaling(1 / 255)(images))
    gain = Gain()
    gain.gain = 9.0
    x = keras.layers.Dense(4)(keras.layers.Flatten()(gain(x)))
    student = keras.Model(images, x)
    if name == "conv 1":
        with refused("cannot be written as saved_model .*answers otherwise than the student"):
            skt_tf.export(student, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
    else:
        path = skt_tf.export(student, tmp_path / "out")["saved_model"]
        pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1))
        np.testing.assert_allclose(
            run("saved_model", path, pictures), exact(student, pictures), atol=1e-5
        )


# More kinds of networks and precisions: tests/robustness/test_exported_half_students.py.
def test_a_half_precision_student_is_exported_in_float32(trained, digits, policy, tmp_path):
    policy("mixed_bfloat16")
    statistics = digits.mean, digits.variance
    half = resnet(8, 10, (8, 8, 1), 8, normalization=statistics, seed=1)
    half.set_weights(trained.get_weights())
    images = digits.test_images[:20]
    files = skt_tf.export(half, tmp_path / "out", ("litert", "onnx"))
    for kind, path in files.items():
        np.testing.assert_allclose(run(kind, path, images), exact(trained, images), atol=1e-5)


def _with(operation):
    images = keras.Input((6, 6, 1), name="images")
    x = keras.layers.Conv2D(3, 3, name="convolution")(images)
    x = keras.layers.GlobalAveragePooling2D()(operation(x))
    return keras.Model(images, keras.layers.Dense(4)(x), name="other")


@pytest.mark.parametrize("kind", FLOAT)
def test_layers_that_augment_are_exported_and_do_nothing(kind, tmp_path):
    student = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.RandomFlip(),
            keras.layers.RandomTranslation(0.1, 0.1),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )
    path = skt_tf.export(student, tmp_path / "out", (kind,))[kind]
    images = np.random.default_rng(0).uniform(0, 1, (4, 8, 8, 1))
    np.testing.assert_allclose(run(kind, path, images), exact(student, images), atol=1e-5)


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_what_a_format_lacks_is_named_and_nothing_is_written(kind, tmp_path, capfd):
    student = _with(lambda x: keras.ops.erfinv(keras.ops.tanh(x) / 2))
    with refused(f"{kind}.*Erfinv"):
        skt_tf.export(student, tmp_path / "out", ("saved_model", kind))
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


IMAGES = np.zeros((3, 8, 8, 1), np.uint8)
IMPOSSIBLE = {
    "unknown format": ({"formats": ("tflite",)}, "tflite"),
    "no format": ({"formats": ()}, "empty"),
    "nothing to calibrate by": ({"formats": ("litert_int8",)}, "calibration_images"),
    "other images": (
        {"formats": ("litert",), "calibration_images": IMAGES[:, :6]},
        r"\(3, 6, 8, 1\).*\(8, 8, 1\)",
    ),
    "no images": ({"formats": ("litert",), "calibration_images": IMAGES[:0]}, "one image or more"),
    "no numbers": (
        {"formats": ("litert",), "calibration_images": np.full((3, 8, 8, 1), np.nan)},
        "calibration_images hold NaN",
    ),
    "no folder": ({"folder": None}, "folder=None is no path"),
    "no path": ({"folder": 3}, "folder=3 is no path"),
    "no list of formats": ({"formats": 5}, "formats=5: expected some of saved_model"),
    "no words for formats": ({"formats": ["onnx", 1]}, "formats=.*expected some of"),
    "no student": ({"student": "student.keras"}, "a network is a str"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_arguments_are_refused(name, student, tmp_path):
    arguments, said = IMPOSSIBLE[name]
    with refused(said):
        skt_tf.export(**{"student": student, "folder": tmp_path / "out", **arguments})
    assert list(tmp_path.iterdir()) == []


def job(student, folder, **options):
    """`--job=export` of `student` into `out` of `folder`."""
    path, out = folder / "student.keras", folder / "out"
    student.save(path)
    options = {"dataset": "digits", "student": str(path), "output_dir": str(out), **options}
    export.run(Config(job="export", **options))


@pytest.mark.parametrize("module", ["tf2onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_how_to_install_it(module, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with refused(f"^the format onnx needs {module}, .*python -m pip install onnx"):
        job(trained, tmp_path, export=("onnx",))
    assert not (tmp_path / "out").exists()


def test_a_student_is_compared_by_images_that_it_classifies(student, network, tmp_path):
    for other, says in (
        (student, r"student.keras has outputs of shape \(4,\), but digits has 10 classes"),
        (network(1, shape=(9, 9, 1)), r"student.keras takes images of shape \(9, 9, 1\)"),
    ):
        with refused(f"^--student=.*{says}"):
            job(other, tmp_path, export=("litert",))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("formats", [("saved_model",), ("litert",)])
def test_a_folder_of_other_things_is_left_alone(formats, trained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/letter.txt").write_text("dear")
    with refused("out exists and is not an empty folder"):
        job(trained, tmp_path, export=formats)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["letter.txt"]


def test_litert_without_images_to_calibrate_by_is_one_file(student, tmp_path):
    files = skt_tf.export(student, tmp_path / "out", ("litert",))
    assert list(files) == ["litert"]
    there = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert there == ["README.md", "student.tflite"]


@pytest.mark.parametrize(("error", "shown"), [(None, ""), (skt_tf.UserError, ""), (KeyError, "x")])
def test_silence_ends_where_an_error_is_unexpected(error, shown, capfd):
    try:
        with silence():
            os.write(2, b"x")
            if error:
                raise error("y")
    except (skt_tf.UserError, KeyError) as caught:
        assert type(caught) is error  # noqa: PT017
    os.write(2, b"z")
    assert capfd.readouterr().err == f"{shown}z"
