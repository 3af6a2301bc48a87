"""Arrays as JSON values."""

import json

import numpy as np
import pytest

from skt_tf.utils.records import pack, unpack


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(4, dtype=">f4"),
    ],
    ids=["image", "matrix", "transposed", "big-endian"],
)
def test_an_array_survives_json(array):
    found = unpack(json.loads(json.dumps(pack(array))))
    assert found.dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(found, array)
