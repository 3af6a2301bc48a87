"""What Keras is set to, by the environment and its own file: read before it is loaded."""

import json
import os
import pathlib
import sys

from skt_tf.utils.errors import UserError


def check_keras():
    """Refuses a Keras that runs on anything but TensorFlow, or keeps channels first."""
    if keras := sys.modules.get("keras"):
        backend, order = keras.config.backend(), keras.config.image_data_format()
    else:
        home = os.environ.get("KERAS_HOME", "~/.keras")
        try:
            settings = dict(json.loads(pathlib.Path(home, "keras.json").expanduser().read_text()))
        except (OSError, ValueError, TypeError):  # As Keras, which then has its own defaults.
            settings = {}
        backend = os.environ.get("KERAS_BACKEND") or settings.get("backend", "tensorflow")
        order = settings.get("image_data_format", "channels_last")
    if backend != "tensorflow":
        raise UserError(
            f"Keras is set to the backend {backend} (by the environment's KERAS_BACKEND, or by "
            "keras.json), and skt_tf runs on TensorFlow: set KERAS_BACKEND=tensorflow"
        )
    if order != "channels_last":
        raise UserError(
            f"Keras is set to image_data_format {order} (by keras.json, or by keras.config), and "
            "skt_tf takes images [height, width, channels]: set it to channels_last"
        )
