"""Networks from files, and files that are none."""

import json

import numpy as np
import pytest
from sentences import refused
from spoilt_networks import edited, write_spoilt

from skt_tf.models.saving import load_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("given")
    write_spoilt(place)
    return place


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gone", "does not exist"),
        ("folder", "is a folder"),
        ("empty", "cut short"),
        ("cut", "cut short"),
        ("random", "another kind of file"),
        ("pickle", "another kind of file"),
        ("hdf5", "another kind of file"),
        ("zip", "config.json"),
        ("listed", "cannot be loaded"),
        ("weightless", "model.weights"),
        ("half", "truncated"),
        ("nan", "NaN or infinite"),
        ("foreign", "cannot be loaded"),
        ("lambda", "Lambda layer"),
    ],
)
def test_what_is_no_network_is_refused(name, part, folder):
    with refused(None, f"{name}.keras", part) as refusal:
        load_network(folder / f"{name}.keras")
    assert ("Lambda" in str(refusal.value)) == (name == "lambda")
    assert not (folder / "taken_over").exists()


def test_of_how_a_teacher_was_trained_nothing_is_loaded(folder, tmp_path):
    def compiled(parts):
        config = json.loads(parts["config.json"])
        config["compile_config"] = {"loss": {"class_name": "__lambda__", "config": {}}}
        parts["config.json"] = json.dumps(config)

    edited(folder / "good.keras", tmp_path / "compiled.keras", compiled)
    loaded = [load_network(place / name) for place, name in
              ((folder, "good.keras"), (tmp_path, "compiled.keras"))]  # fmt: skip
    assert not loaded[1].compiled
    for one, other in zip(*(network.get_weights() for network in loaded)):
        assert np.array_equal(one, other)
