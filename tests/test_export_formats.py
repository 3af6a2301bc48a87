"""Exported files, each in its own runtime, against the Keras student."""

import json

import keras
import numpy as np
import pytest
from commands import finished_run, is_one_sentence, skt_tf, snapshot

import skt_tf as package
from skt_tf.errors import UserError


@pytest.fixture(scope="module")
def student(digits):
    """A student that has learnt its digits: what is near the edge of two classes is rare."""
    network = package.resnet(
        8, 10, (8, 8, 1), 8, normalization=(digits.mean, digits.variance), seed=0
    )
    found = package.distill(
        None, network, digits, method="baseline", task_steps=120, batch_size=64, evaluations=1,
        verbose=0,
    )  # fmt: skip
    assert found.accuracy > 0.9
    return network


@pytest.fixture(scope="module")
def exported(student, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "out"
    formats = ("saved_model", "litert", "onnx")
    return package.export(student, folder, formats, calibration_images=digits.train_images[::10])


def litert(path, images):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (taken["dtype"], given["dtype"]) == (np.float32, np.float32)
    interpreter.resize_tensor_input(taken["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def onnx(path, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    assert [value.name for value in session.get_inputs()] == ["images"]
    return session.run(["probabilities"], {"images": images})[0]


def saved_model(path, images):
    import tensorflow as tf

    return tf.saved_model.load(str(path))(images).numpy()


RUNTIMES = {"saved_model": saved_model, "litert": litert, "litert_int8": litert, "onnx": onnx}


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_file_gives_the_students_probabilities_for_raw_images(kind, exported, student, digits):
    images = digits.test_images.astype(np.float32)
    logits = student.predict(images, verbose=0).astype(np.float64)
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    found = RUNTIMES[kind](exported[kind], images)
    if kind == "litert_int8":
        assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95
        assert np.abs(found - expected).mean() < 0.02
        assert exported[kind].stat().st_size < 0.6 * exported["litert"].stat().st_size
    else:
        assert found == pytest.approx(expected, abs=1e-5)
    assert RUNTIMES[kind](exported[kind], images[:1]) == pytest.approx(found[:1], abs=1e-5)


def test_the_command_compares_every_file_with_the_student(tmp_path):
    path = finished_run().folder / "kd/net0/student.keras"
    arguments = ("--job=export", f"--student={path}", "--export=saved_model,litert,onnx")
    wrong = skt_tf(*arguments, "--dataset=cifar10", "--output_dir=out", cwd=tmp_path)
    assert wrong.returncode == 2
    assert is_one_sentence(wrong.stderr)
    done = skt_tf(*arguments, "--dataset=digits", "--output_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = json.loads((tmp_path / "out/export.json").read_text())["formats"]
    assert {"saved_model", "litert", "litert_int8", "onnx"} <= set(rows)
    for kind in ("saved_model", "litert", "onnx"):
        assert rows[kind]["agreement"] == 1.0
    for row in rows.values():
        assert row["milliseconds"] > 0
        assert row["bytes"] > 0
    assert "litert_int8" in (tmp_path / "out/export.md").read_text()


@pytest.mark.parametrize(("kind", "module"), [("onnx", "tf2onnx"), ("onnx", "onnxruntime")])
def test_a_missing_package_is_named_with_how_to_install_it(kind, module, tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / f"hidden/{module}.py").write_text("raise ImportError('hidden')")
    (tmp_path / "work").mkdir()
    path = finished_run().folder / "kd/net0/student.keras"
    done = skt_tf(
        "--job=export", f"--student={path}", f"--export={kind}", "--dataset=digits",
        "--output_dir=out", cwd=tmp_path / "work", before=(tmp_path / "hidden",),
    )  # fmt: skip
    assert done.returncode == 2
    assert f"needs {module}" in done.stderr
    assert "pip install" in done.stderr
    assert is_one_sentence(done.stderr)
    assert snapshot(tmp_path / "work") == {}


def test_what_a_format_cannot_express_is_refused_and_nothing_is_written(student, tmp_path):
    with pytest.raises(UserError, match="'tflite' is unknown: expected some of saved_model"):
        package.export(student, tmp_path / "a", ("tflite",))
    with pytest.raises(UserError, match="litert_int8 needs calibration_images"):
        package.export(student, tmp_path / "a", ("litert_int8",))
    with pytest.raises(UserError, match=r"calibration_images have shape \(2, 9, 9, 1\)"):
        package.export(student, tmp_path / "a", ("litert",), np.zeros((2, 9, 9, 1)))
    images = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    with pytest.raises(UserError, match="of one size"):
        package.export(keras.Model(images, pooled), tmp_path / "a", ("onnx",))
    assert not (tmp_path / "a").exists()
