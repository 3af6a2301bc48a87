"""Exported files in the runtimes that are made for them."""

import importlib.metadata

import numpy as np
import tensorflow as tf

from skt_tf.utils.environment import cores
from skt_tf.utils.errors import UserError, one_line, warn
from skt_tf.utils.quiet import silence

# Calibration images that a quantised file is compared on, and the share that it should agree on.
_LOOKED_AT, _AGREES = 100, 0.9


def check_installed(kinds, running=True):
    """Refuses formats whose optional packages are missing.

    Args:
        kinds: keys of `formats.FILES`.
        running: whether the files will be run, too, or written alone.
    """
    if "onnx" in kinds:
        for name in ("onnx", "tf2onnx", *["onnxruntime"] * running):
            _check_import(name, "onnx", "onnx onnxruntime tf2onnx")
    if "openvino" in kinds:
        _check_import("openvino", "openvino", "openvino")
    if running and any(kind.startswith("litert") for kind in kinds) and not _interpreter():
        _check_import("ai_edge_litert.interpreter", "litert", "ai-edge-litert")


def _check_import(name, kind, packages):
    _, trouble = _imported(name)
    if trouble:
        raise UserError(
            f"the format {kind} needs {name}, which cannot be imported ({trouble}): "
            f"python -m pip install {packages}"
        )


def _imported(name):
    """A module and None, or None and why it cannot be imported."""
    with silence():
        try:
            return importlib.import_module(name), None
        # An installation of other versions may raise anything.
        except Exception as error:
            return None, one_line(error)


def check_answers(kind, path, shape, expected):
    """Runs a file in its own runtime, where that is installed.

    Args:
        kind: a key of `formats.FILES`.
        path: the file, or a SavedModel's folder.
        shape: of an image.
        expected: a function of images to what the file should answer, as NumPy, or None where
            rounding makes it another.

    Raises:
        ValueError: the file cannot be loaded, cannot be run, or answers something else.
    """
    if not _runs(kind):
        return
    call, name = load(kind, path)
    # Whole grey levels, which a signature for uint8 images takes, too.
    images = np.random.default_rng(0).integers(0, 256, [2, *shape]).astype(np.float32)
    for number in (1, 2):
        found = call(images[:number])
        wanted = found if expected is None else expected(images[:number])
        # Of many classes all probabilities are small.
        near = 0.05 * np.max(wanted, where=np.isfinite(wanted), initial=0)
        if not np.allclose(found, wanted, atol=near, equal_nan=True):
            raise UserError(f"{name} answers otherwise than the student")


def warn_of_rounding(path, images, expected):
    """Says on stderr where a quantised file answers otherwise than the student too often.

    Args:
        path: of a LiteRT file; nothing is said where its runtime is not installed.
        images: [number, height, width, channels], those that it was calibrated on.
        expected: a function of images to the student's probabilities.
    """
    if not _runs("litert_int8"):
        return
    images, (call, _) = np.float32(images[:_LOOKED_AT]), _litert(path)
    agreement = np.mean(call(images).argmax(1) == expected(images).argmax(1))
    if agreement < _AGREES:
        warn(
            f"{path.name} agrees with the student on {agreement:.0%} of {len(images)} calibration "
            "images: int8 rounds it too much, or the images are not like those that it was trained "
            "on"
        )


def _runs(kind):
    """Whether the runtime of a format is installed."""
    if kind.startswith("litert"):
        return bool(_interpreter())
    return kind != "onnx" or bool(_imported("onnxruntime")[0])


def load(kind, path):
    """Loads an exported file into its own runtime.

    Args:
        kind: a key of `formats.FILES`.
        path: the file, or a SavedModel's folder.

    Returns:
        (call, name): `call` maps images [batch, height, width, channels], float32, grey
        levels 0…255, to probabilities [batch, classes], float32; `name` is the runtime's,
        with its version.
    """
    if kind == "saved_model":
        return _saved_model(path), f"tensorflow {tf.__version__}"
    if kind == "onnx":
        return _onnx(path), f"onnxruntime {importlib.metadata.version('onnxruntime')}"
    if kind == "openvino":
        return _openvino(path), f"openvino {importlib.metadata.version('openvino')}"
    return _litert(path)


def _saved_model(path):
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    dtype = serve.structured_input_signature[1]["images"].dtype
    return lambda images: serve(images=tf.cast(images, dtype))["probabilities"].numpy()


def _litert(path):
    interpreter = _interpreter()
    with silence():  # It greets, and tells of its delegate.
        loaded = interpreter(str(path), num_threads=cores())
        run = loaded.get_signature_runner("serving_default")
        # The delegate is told of at the first call.
        image = loaded.get_input_details()[0]["shape_signature"][1:]
        run(images=np.zeros([1, *image], np.float32))
    name = f"tf.lite {tf.__version__}"
    if interpreter.__module__.startswith("ai_edge_litert"):
        name = f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
    return (lambda images: run(images=images)["probabilities"]), name


def _interpreter():
    """LiteRT's interpreter; TensorFlow's own, the same code of older days, where it is missing."""
    litert, _ = _imported("ai_edge_litert.interpreter")
    return getattr(litert or tf.lite, "Interpreter", None)


def _onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    with silence():
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def _openvino(path):
    import openvino

    # On processors that have bfloat16 it would compute in that.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(cores())}
    with silence():
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda images: compiled({"images": images})["probabilities"]
