"""The formats that a student is exported in, and the files they are written to."""

FILES = {
    "saved_model": "saved_model",
    "litert": "student.tflite",
    "litert_int8": "student_int8.tflite",
    "onnx": "student.onnx",
}
# The first alone where none is asked for.
FORMATS = tuple(FILES)
