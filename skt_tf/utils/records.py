"""Records that let work go on: read and compared; arrays in them."""

import base64
import zlib

import numpy as np

from skt_tf.utils.errors import UserError, option, start_over
from skt_tf.utils.files import read_json


def read_record(path, keys, what):
    """The dict in a file of ours that lets work go on; raises a ValueError if it is damaged.

    Args:
        path: the file.
        keys: what the dict must have, `settings`, a dict, among them.
        what: what the file is the record of, for the error.
    """
    try:
        record = read_json(path)
        sound = isinstance(record["settings"], dict) and record.keys() >= keys
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise UserError(f"{path} is not the record of {what}, or is damaged: {start_over()}")
    return record


def refuse_other(folder, what, found, more=""):
    """Raises a ValueError where a folder's record is of other work than is asked for.

    Args:
        folder: the folder.
        what: the work, such as "experiment".
        found: {name: (value there, value here)} of what differs; nothing is refused for none.
        more: what else can be done than to start over.
    """
    if found:
        said = (f"{name} ({there} there, {here} here)" for name, (there, here) in found.items())
        raise UserError(
            f"{option('output_dir')}={folder} holds another {what}; it differs in "
            f"{', '.join(said)}: {start_over()}{more}"
        )


def refuse_strangers(folder, record):
    """Raises a ValueError where `folder` is none, or holds other things and no file `record`."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{option('output_dir')}={folder} is a file: expected a folder")
    if not folder.exists() or (folder / record).exists():
        return
    # Work that was killed as it began leaves hidden files, and so do desktops and notebooks.
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(
            f"{option('output_dir')}={folder} holds other files and no {record}: give an empty or "
            "a new folder"
        )


def digest(arrays):
    """A number that other arrays would hardly have."""
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array), total)
    return f"{total:08x}"


def pack(array):
    """An array as plain JSON values: `shape`, `dtype`, and its bytes in base64, `values`."""
    array = np.ascontiguousarray(array)
    values = base64.b64encode(array.astype(array.dtype.newbyteorder("<"))).decode()
    return {"shape": list(array.shape), "dtype": array.dtype.name, "values": values}


def unpack(packed):
    """The array that `pack` was given."""
    kind = np.dtype(packed["dtype"]).newbyteorder("<")
    flat = np.frombuffer(base64.b64decode(packed["values"]), kind)
    return flat.reshape(packed["shape"])
