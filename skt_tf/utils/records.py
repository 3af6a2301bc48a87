"""Records that let work go on: read and compared; arrays in them."""

import base64

import numpy as np

from skt_tf.utils.errors import UserError, start_over
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


def differences(found):
    """`{name: (value there, value here)}` in words, for the sentence that refuses to go on."""
    return ", ".join(
        f"{name} ({there} there, {here} here)" for name, (there, here) in found.items()
    )


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
