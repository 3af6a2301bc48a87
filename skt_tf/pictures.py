"""Arrays in results.json: an image, and FSP matrices of it, for the report to show."""

import base64

import numpy as np

from skt_tf.flows import flow_model
from skt_tf.points import flow_name


def matrices(network, flows, image):
    """The FSP matrices of one image, as `results.json` carries them.

    Args:
        network: a functional `keras.Model` with a layer for each point, used in inference mode.
        flows: tuple of (point, point).
        image: [height, width, channels], as `network` takes it.

    Returns:
        {name of the flow: packed float32 array [m, n]}.
    """
    found = flow_model(network, flows)(image[None], training=False)
    return {flow_name(flow): pack(matrix[0]) for flow, matrix in zip(flows, found)}


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
