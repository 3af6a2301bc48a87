"""Arrays as JSON values, for results.json."""

import base64

import numpy as np


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
