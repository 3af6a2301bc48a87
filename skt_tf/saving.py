"""Networks to and from .keras files."""

import pathlib
import zipfile

import keras

from skt_tf.errors import UserError, one_line
from skt_tf.files import whole
from skt_tf.flows import check_network


def load_network(path):
    """Loads a saved Keras model in safe mode; a ValueError of one sentence if it cannot."""
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path} does not exist: expected a network saved by Keras (.keras)")
    # Keras would say of such a file that it is not found.
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a network saved by Keras (.keras)")
    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
    # Keras passes on what zipfile, h5py, json and its own deserialisers raise.
    except Exception as error:
        raise UserError(
            f"{path} cannot be loaded as a Keras model ({one_line(error)}): expected a network "
            "saved by Keras (.keras)"
        ) from error
    try:
        check_network(network)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return network


def save_network(network, path):
    """Writes `network` to `path`, whole or not at all."""
    with whole(path) as draft:
        network.save(draft)
