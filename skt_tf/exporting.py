"""A trained student → files that run without this package."""

import pathlib

import tensorflow as tf

from skt_tf.errors import UserError, one_line
from skt_tf.files import whole_folder
from skt_tf.saving import load_network


def export_saved_model(student, folder):
    """Writes a TensorFlow SavedModel that maps raw images to class probabilities.

    Args:
        student: a `keras.Model` from raw images (grey levels 0…255; it standardises
            them itself) to logits.
        folder: where to write. It must not exist, or be empty.

    The file answers to `tf.saved_model.load(folder)` in a process without this package:
    called with images [batch, height, width, channels], uint8 or float32, any batch
    size, it returns probabilities [batch, classes], float32. The signatures are
    `serving_default` for float32 images and `serving_uint8` for uint8 ones, each from
    `images` to `probabilities`.

    Raises:
        ValueError: a folder that holds something.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--output_dir={folder} exists and is not an empty folder: give a new one")
    module = _Classifier(student)
    float_images, byte_images = (
        tf.TensorSpec([None, *student.input_shape[1:]], dtype, name="images")
        for dtype in (tf.float32, tf.uint8)
    )
    signatures = {
        "serving_default": module.serve.get_concrete_function(float_images),
        "serving_uint8": module.serve.get_concrete_function(byte_images),
    }
    try:
        with whole_folder(folder) as draft:
            tf.saved_model.save(module, str(draft), signatures)
    except tf.errors.OpError as error:
        raise OSError(0, one_line(error), str(folder)) from None


class _Classifier(tf.Module):
    def __init__(self, student):
        super().__init__()
        self.student = student

    @tf.function
    def __call__(self, images):
        logits = self.student(tf.cast(images, tf.float32), training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    @tf.function
    def serve(self, images):
        return {"probabilities": self(images)}


def run(config):
    """`--job=export`: writes the student of `config` into its output folder."""
    student = load_network(config.student)
    if len(student.input_shape) != 4 or None in student.input_shape[1:]:
        raise UserError(
            f"--student={config.student} takes inputs of shape {student.input_shape}: expected "
            "images [batch, height, width, channels]"
        )
    export_saved_model(student, config.output_dir)
    print(f"SavedModel: {config.output_dir}")
