"""The formats that a student is exported in: their files, and how those are loaded."""

import re

from skt_tf.utils.errors import UserError, check_one_of, option, unknown

FILES = {
    "saved_model": "saved_model",
    "litert": "student.tflite",
    "litert_int8": "student_int8.tflite",
    "onnx": "student.onnx",
    "openvino": "student.xml",
}
# The first alone where none is asked for.
FORMATS = tuple(FILES)
# What images a SavedModel's default signature takes; the first where nothing is asked for.
INPUT_DTYPES = ("float32", "uint8")

# What a format is called on model hubs: the library that loads it, and its tag.
LIBRARIES = {
    "saved_model": ("tensorflow", "saved-model"),
    "litert": ("litert", "tflite"),
    "litert_int8": ("litert", "tflite"),
    "onnx": ("onnx", "onnx"),
    "openvino": ("openvino", "openvino"),
}
# The three lines that load a file, and run it.
LOADING = {
    "saved_model": """import tensorflow as tf
serve = tf.saved_model.load("{file}").signatures["serving_default"]
probabilities = serve(images=tf.constant(images))["probabilities"].numpy()""",
    "litert": """from ai_edge_litert.interpreter import Interpreter
run = Interpreter("{file}").get_signature_runner("serving_default")
probabilities = run(images=images)["probabilities"]""",
    "onnx": """import onnxruntime
session = onnxruntime.InferenceSession("{file}")
probabilities = session.run(["probabilities"], {{"images": images}})[0]""",
    "openvino": """import openvino
model = openvino.compile_model("{file}")
probabilities = model({{"images": images}})["probabilities"]""",
}
# What it needs for that.
RUNTIMES = {
    "saved_model": "with TensorFlow",
    "litert": "with LiteRT (`pip install ai-edge-litert`)",
    "litert_int8": "with LiteRT (`pip install ai-edge-litert`)",
    "onnx": "with ONNX Runtime (`pip install onnxruntime`)",
    "openvino": "with OpenVINO (`pip install openvino`; `student.bin` belongs to it)",
}
LOADING["litert_int8"] = LOADING["litert"]


def check_formats(formats, input_dtype):
    """Refuses formats that are none, and images that none of them can take by default."""
    name = option("export", "formats")
    if "torch" in formats:
        raise UserError(
            f"{name}=torch is written by Keras on PyTorch alone, and skt_tf runs Keras on "
            "TensorFlow: take onnx"
        )
    if others := sorted(set(formats) - set(FORMATS)):
        raise UserError(unknown(f"{name}={others[0]}", others[0], FORMATS, some=True))
    check_one_of(option("input_dtype"), input_dtype, INPUT_DTYPES)
    if input_dtype != INPUT_DTYPES[0] and "saved_model" not in formats:
        asked = ",".join(sorted(formats))
        raise UserError(
            f"{option('input_dtype')}={input_dtype} is for saved_model, and {name} is {asked}, "
            "whose files take float32: add saved_model, or leave it out"
        )


def check_license(license):
    """Refuses what no model hub takes for the name of a license."""
    if license is not None and not (
        isinstance(license, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", license)
    ):
        raise UserError(
            f"{option('license')}={license} is no name of a license: expected one as model hubs "
            "abbreviate it, such as apache-2.0"
        )
