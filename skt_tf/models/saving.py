"""Networks to .keras files, and from those and .h5."""

import collections
import io
import json
import pathlib
import re
import tempfile
import zipfile
import zlib

import h5py
import keras
import numpy as np

from skt_tf.models.checks import check_network, check_weights
from skt_tf.models.names import use_plain_names
from skt_tf.utils.errors import UserError, one_line, option
from skt_tf.utils.files import whole


def load_network(path):
    """Loads a saved Keras model, running no code of the file's; its names become plain ones.

    Keras' safe mode keeps it from unpacking functions; a model that holds one is refused.

    Raises:
        ValueError: what is no such file, is damaged, or holds code, in one sentence.
    """
    if not pathlib.Path(path).is_file():
        what = "is a folder" if pathlib.Path(path).is_dir() else "does not exist"
        raise UserError(f"{path} {what}: expected a network saved by Keras (.keras or .h5)")
    with open(path, "rb"):
        pass  # Of what may not be read this says the name, and h5py does not.
    # Keras would say of such a file that it is not found.
    legacy = h5py.is_hdf5(path)
    if not legacy and not zipfile.is_zipfile(path):
        raise UserError(
            f"{path} is cut short, or another kind of file: expected a network saved by Keras "
            "(.keras or .h5)"
        )
    try:
        config = _config_of_hdf5(path) if legacy else _config_of(path)
        if isinstance(config, dict):
            config.pop("compile_config", None)  # How it was trained; nothing of it is loaded.
        _refuse_code(config)
        if legacy:
            network = _from_hdf5(path)
        else:
            network = keras.models.load_model(path, compile=False, safe_mode=True)
        check_network(network)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    # Keras passes on what zipfile, h5py, json and its own deserialisers raise.
    except Exception as error:
        raise UserError(
            f"{path} cannot be loaded as a Keras model ({_why(error)}): expected a network "
            "saved by Keras (.keras or .h5), of its own layers or of those that "
            f"{option('import_modules', 'an imported module')} registers"
        ) from error
    check_weights(network, path)
    use_plain_names(network)
    return network


def policy_of(network):
    """The dtype policy by which a network computes: of one from a file, its layers alone know it.

    That of most layers with weights; mixed_float16, whose losses are scaled, wherever it occurs.
    """
    layers = [layer for layer in network._flatten_layers(include_self=False) if layer.weights]
    names = collections.Counter(layer.dtype_policy.name for layer in layers)
    if not names:
        return network.dtype_policy
    scaled = "mixed_float16"
    return keras.DTypePolicy(scaled if scaled in names else names.most_common(1)[0][0])


def _why(error):
    """What Keras says of a file; of one of its layers, if that is unknown."""
    unknown = re.search(r"Could not locate class '([^']+)'", str(error))
    return f"unknown layer '{unknown[1]}'" if unknown else one_line(error)


def _config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def _config_of_hdf5(path):
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise UserError("it holds weights alone: expected a whole network, as save writes it")
        return json.loads(file.attrs["model_config"])


def _from_hdf5(path):
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder, "model.h5")  # Keras goes by the ending.
        link.symlink_to(pathlib.Path(path).resolve())
        return keras.models.load_model(link, compile=False)


def weights_digest(path):
    """A number that a saved network (.keras or .h5) with other weights would hardly have.

    It depends on the weights alone: not on dates, and not on how the file is packed.

    Raises:
        ValueError: what is no such file, or is damaged.
    """
    if pathlib.Path(path).is_file() and h5py.is_hdf5(path):
        with tempfile.TemporaryDirectory() as folder:
            load_network(path).save(f"{folder}/model.keras")
            return weights_digest(f"{folder}/model.keras")
    total, weights = 0, {}

    def note(name, part):
        if isinstance(part, h5py.Dataset):
            weights[name] = part[()]

    try:
        with zipfile.ZipFile(path) as archive:
            stored = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(stored, "r") as file:
            file.visititems(note)
    # zipfile and h5py raise one or another kind, by what was cut or changed.
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a saved network ({one_line(error)}): expected a .keras or "
            ".h5 file that is whole"
        ) from error
    for name in sorted(weights):
        total = zlib.crc32(f"{name} {weights[name].shape}".encode(), total)
        total = zlib.crc32(np.ascontiguousarray(weights[name]), total)
    return f"{total:08x}"


def _refuse_code(config):
    """Looks for what Keras saves as Python's bytecode, at any depth of a model's config."""
    if isinstance(config, dict):
        # Functions as arguments of a layer are saved as `__lambda__`.
        if config.get("class_name") in ("Lambda", "__lambda__"):
            raise UserError(
                "it carries a Lambda layer, whose Python code could do anything when it is loaded: "
                "expected a network of Keras' own layers"
            )
        config = config.values()
    if not isinstance(config, str | int | float | None):
        for part in config:
            _refuse_code(part)


def check_saving(network):
    """Refuses a network that Keras could not save."""
    try:
        network.get_config()
    except Exception as error:  # Its layers raise whatever they do.
        raise UserError(
            f"the network '{network.name}' cannot be saved ({one_line(error, wrapped=True)}): "
            "leave output_dir out, or write the layer a get_config"
        ) from error


def save_network(network, path):
    """Writes `network` to `path`, whole or not at all; equal networks give equal bytes."""
    with tempfile.TemporaryDirectory() as folder, whole(path) as draft:
        network.save(f"{folder}/model.keras")
        # Again, without what differs each time: dates, and objects numbered by their addresses.
        with (
            zipfile.ZipFile(f"{folder}/model.keras") as saved,
            zipfile.ZipFile(draft, "w") as archive,
        ):
            for name in saved.namelist():
                content = saved.read(name)
                if name.endswith(".json"):
                    content = json.dumps(_lasting(json.loads(content), {}))
                archive.writestr(zipfile.ZipInfo(name), content)


def _lasting(config, numbers):
    """`config` with a fixed date, and its shared objects numbered in the order they come in."""
    if isinstance(config, list):
        return [_lasting(part, numbers) for part in config]
    if not isinstance(config, dict):
        return config
    config = {name: _lasting(part, numbers) for name, part in config.items()}
    if "date_saved" in config:
        config["date_saved"] = "1980-01-01@00:00:00"
    if "shared_object_id" in config:
        number = config["shared_object_id"]
        config["shared_object_id"] = numbers.setdefault(number, len(numbers) + 1)
    return config
