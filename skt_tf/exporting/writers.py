"""A student's forward pass, raw images to class probabilities, in each file format."""

import contextlib
import pathlib
import re
import tempfile

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from skt_tf.exporting.formats import INPUT_DTYPES
from skt_tf.exporting.runtimes import check_answers, warn_of_rounding
from skt_tf.models.evaluation import softmax_of
from skt_tf.models.initialization import draw_weights
from skt_tf.models.names import plain
from skt_tf.utils.errors import UserError, one_line
from skt_tf.utils.quiet import silence

_OTHERS = ("bfloat16", "float16", "float64")


def check_calibration(student, images):
    """Refuses calibration images that are not the student's."""
    if np.ndim(images) != 4 or np.shape(images)[1:] != student.input_shape[1:] or not len(images):
        raise UserError(
            f"calibration_images have shape {np.shape(images)}: expected one image or more of "
            f"shape {student.input_shape[1:]}, as the student takes them"
        )
    if not np.isfinite(np.asarray(images, np.float32)).all():
        raise UserError("calibration_images hold NaN or infinity: expected numbers")


def write(student, kind, path, calibration_images=None, input_dtype="float32"):
    """Writes `student`, a `keras.Model` from raw images to logits, to `path`.

    Args:
        student: the network.
        kind: one of `FORMATS`.
        path: where to write; nothing is there.
        calibration_images: for `litert_int8`, images [number, height, width, channels].
        input_dtype: for `saved_model`, one of `INPUT_DTYPES`.

    Raises:
        ValueError: what the format's converter cannot express, or its runtime does not run where
            that is installed, in one sentence.
    """
    path = pathlib.Path(path)
    writers = {
        "saved_model": lambda: _saved_model(student, path, input_dtype),
        "litert": lambda: _litert(student, path),
        "litert_int8": lambda: _litert(student, path, calibration_images),
        "onnx": lambda: _onnx(student, path),
        "openvino": lambda: _openvino(student, path),
    }
    with silence():
        try:
            written = writers[kind]()
            check_answers(kind, path, student.input_shape[1:], written)
        except (OSError, MemoryError):
            raise
        # The converters raise whatever their parts do.
        except Exception as error:
            raise UserError(
                f"the student '{student.name}' cannot be written as {kind} ({_reason(error)}): "
                f"leave {kind} out, or build the student of other layers"
            ) from error
    if kind == "litert_int8":
        warn_of_rounding(path, calibration_images, softmax_of(student))


class _Classifier(tf.Module):
    def __init__(self, student):
        super().__init__()
        self.student = student
        # TensorFlow does not find the seeds of layers that augment by itself.
        self.variables_of_all_layers = [variable.value for variable in student.variables]

    @tf.function(autograph=False)
    def __call__(self, images):
        logits = self.student(tf.cast(images, tf.float32), training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    @tf.function(autograph=False)
    def serve(self, images):
        return {"probabilities": self(images)}


def _images(student, dtype=tf.float32):
    return tf.TensorSpec([None, *student.input_shape[1:]], dtype, name="images")


def signatures_of(input_dtype):
    """{signature: dtype of its images} of a SavedModel whose default one takes `input_dtype`."""
    (other,) = set(INPUT_DTYPES) - {input_dtype}
    return {"serving_default": input_dtype, f"serving_{other}": other}


def _saved_model(student, path, input_dtype):
    expected = softmax_of(student)  # Of itself: a copy is made by what layers say of themselves.
    if not all(plain(part) == part for v in student.variables for part in v.path.split("/")):
        # TensorFlow writes variables by the names that they were made with.
        copy = draw_weights(student, seed=0)
        copy.set_weights(student.get_weights())
        student = copy
    module = _Classifier(student)
    signatures = {
        name: module.serve.get_concrete_function(_images(student, dtype))
        for name, dtype in signatures_of(input_dtype).items()
    }
    _save(module, path, signatures)
    return lambda images: expected(tf.constant(images))


def _litert(student, path, calibration_images=None):
    """With `calibration_images` it is quantised to int8."""
    frozen = _frozen(student)
    module = tf.Module()
    module.serve = tf.function(
        lambda images: {"probabilities": frozen(images)[0]},
        input_signature=[_images(student)],
        autograph=False,
    )
    # By way of a SavedModel, whose signature gives input and output their names.
    with tempfile.TemporaryDirectory() as folder:
        # Without gradients, which a LiteRT file has not: those that an operation brings along, as
        # swish does, refer to the variables that are constants here, and cannot be saved.
        _save(module, folder, module.serve, gradients=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if calibration_images is not None:
            images = np.asarray(calibration_images, np.float32)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ({"images": one[None]} for one in images)
            # What has no int8 kernel stays in float32.
            kernels = tf.lite.OpsSet
            converter.target_spec.supported_ops = [
                kernels.TFLITE_BUILTINS_INT8,
                kernels.TFLITE_BUILTINS,
            ]
        path.write_bytes(converter.convert())
    if calibration_images is not None:
        return None
    return lambda images: frozen(tf.constant(images))[0].numpy()


def _onnx(student, path):
    import onnx
    import tf2onnx

    frozen = _frozen(student)
    (images,), (probabilities,) = frozen.inputs, frozen.outputs
    graph = frozen.graph.as_graph_def()
    # What Keras compiles for TensorFlow's sake, such as grouped convolutions, is a part of the
    # graph like any other to ONNX.
    for part in (*graph.node, *graph.library.function):
        for mark in ("_XlaMustCompile", "_noinline"):
            part.attr.pop(mark, None)
    model, _ = tf2onnx.convert.from_graph_def(
        graph,
        name=student.name,
        input_names=[images.name],
        output_names=[probabilities.name],
        custom_op_handlers={"Erfc": (_erfc, [])},
        tensors_to_rename={images.name: "images", probabilities.name: "probabilities"},
    )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # tf2onnx keeps operations that ONNX does not have, and goes on.
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return lambda images: frozen(tf.constant(images))[0].numpy()


def _openvino(student, path):
    import openvino

    frozen = _frozen(student)
    # From a file: of a graph in memory it does not find the functions, as of grouped convolutions.
    with tempfile.TemporaryDirectory() as folder:
        graph = pathlib.Path(folder, "student.pb")
        graph.write_bytes(frozen.graph.as_graph_def().SerializeToString())
        model = openvino.convert_model(graph)
    for value, name in ((model.input(0), "images"), (model.output(0), "probabilities")):
        value.tensor.set_names({name})
        value.node.set_friendly_name(name)
    # Its default is float16.
    openvino.save_model(model, path, compress_to_fp16=False)
    return lambda images: frozen(tf.constant(images))[0].numpy()


def _erfc(graph, node, name, arguments):
    """erfc(x) = 1 − erf(x), for tf2onnx, which knows erf alone: GELU is written with erfc."""
    del name, arguments
    node.type = "Erf"
    one = graph.make_const(f"{node.name}_one", np.float32(1))
    inputs = [one.output[0], node.output[0]]
    graph.insert_new_node_on_output("Sub", node.output[0], f"{node.name}_complement", inputs)


def _frozen(student):
    """A graph from images to probabilities, all in float32, whose weights are constants."""
    with _in_float32(student):
        module = _Classifier(student)
        return convert_variables_to_constants_v2(
            module.serve.get_concrete_function(_images(student))
        )


@contextlib.contextmanager
def _in_float32(student):
    """Within the block its layers compute in float32: the runtimes have few other kernels."""
    before = []
    for layer in student._flatten_layers():
        if layer.compute_dtype in _OTHERS and not layer.quantization_mode:
            policy = keras.DTypePolicy("float32")
            policy._variable_dtype = layer.variable_dtype  # Of another, Keras casts it.
            before.append((layer, "dtype_policy", layer.dtype_policy, policy))
        for part in getattr(layer, "operations", ()):
            if type(part).__name__ == "Cast" and part.dtype in _OTHERS:
                before.append((part, "dtype", part.dtype, "float32"))
    try:
        for part, name, _, value in before:
            setattr(part, name, value)
        yield
    finally:
        for part, name, value, _ in before:
            setattr(part, name, value)


def _save(module, folder, signatures, gradients=True):
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=gradients)
    try:
        tf.saved_model.save(module, str(folder), signatures, options)
    except tf.errors.OpError as error:
        raise OSError(0, one_line(error), str(folder)) from None


def _reason(error):
    """What a converter or runtime says, without its own notation for places."""
    missing = r"'tf\.(\w+)' op is neither|No Op registered for (\w+)"
    missing += r"|(?:No conversion rule found for operations|no translator found for operation\(s\)"
    missing += r"|Conversion is failed for): ([\w, ]+)"
    if names := sorted({"".join(found) for found in re.findall(missing, str(error))}):
        return f"it has no operation {', '.join(names)}"
    places = r".*loc\(.*\): |\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed: ?"
    return one_line(re.sub(places, "", str(error)))
