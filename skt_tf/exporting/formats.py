"""The formats that a student is exported in, and the files they are written to."""

from skt_tf.utils.errors import UserError, option

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


def check_formats(formats, input_dtype):
    """Refuses formats that are none, and images that none of them can take by default."""
    name = option("export", "formats")
    if "torch" in formats:
        raise UserError(
            f"{name}=torch is written by Keras on PyTorch alone, and skt_tf runs Keras on "
            "TensorFlow: take onnx"
        )
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise UserError(f"{name}={unknown[0]} is unknown: expected some of {', '.join(FORMATS)}")
    if input_dtype not in INPUT_DTYPES:
        raise UserError(
            f"{option('input_dtype')}={input_dtype} is unknown: expected one of "
            f"{', '.join(INPUT_DTYPES)}"
        )
    if input_dtype != INPUT_DTYPES[0] and "saved_model" not in formats:
        raise UserError(
            f"{option('input_dtype')}={input_dtype} is for saved_model, and {name} is "
            f"{','.join(formats)}, whose files take float32: add saved_model, or leave it out"
        )
