"""Arrays as JSON values, and records by which work goes on."""

import json

import numpy as np
import pytest
from sentences import refused

from skt_tf.utils.records import pack, read_record, unpack


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


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"settings": {}}', '{"settings": 1, "a": 1}']
)
def test_a_damaged_record_is_refused(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_text('{"settings": {}, "a": 1, "b": 2}')
    assert read_record(path, {"settings", "a"}, "a search") == {"settings": {}, "a": 1, "b": 2}
    path.write_text(text)
    with refused(r"record\.json is not the record of a search, or is damaged"):
        read_record(path, {"settings", "a"}, "a search")
