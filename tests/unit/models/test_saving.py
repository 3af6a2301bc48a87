"""Networks from files, and files that are none."""

import json

import h5py
import keras
import numpy as np
import pytest
from sentences import refused
from spoilt_networks import classifier, edited, write_spoilt

from skt_tf.models.saving import load_network, weights_digest


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


def in_hdf5(network, path, change=lambda config: None):
    """Writes a network as Keras 2 did, with a changed configuration."""
    network.compile("sgd", "mse")
    network.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def test_a_file_of_keras_2_is_loaded_and_known_by_its_weights(folder, tmp_path):
    network = keras.models.load_model(folder / "good.keras")
    in_hdf5(network, tmp_path / "old.h5")
    (tmp_path / "renamed").write_bytes((tmp_path / "old.h5").read_bytes())
    for name in ("old.h5", "renamed"):
        loaded = load_network(tmp_path / name)
        assert not loaded.compiled
        for one, other in zip(loaded.get_weights(), network.get_weights(), strict=True):
            assert np.array_equal(one, other)
        assert weights_digest(tmp_path / name) == weights_digest(folder / "good.keras")


def test_a_file_of_keras_2_that_holds_code_or_no_network_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = keras.models.load_model(folder / "good.keras")

    def foreign(config):
        config["config"]["layers"][1] |= {
            "module": "subprocess", "class_name": "Popen", "registered_name": None,
            "config": {"args": ["touch", "taken_over"]},
        }  # fmt: skip

    in_hdf5(network, tmp_path / "foreign.h5", foreign)
    in_hdf5(classifier(keras.layers.Lambda(lambda images: images / 255)), tmp_path / "code.h5")
    network.save_weights(tmp_path / "alone.weights.h5")
    content = (tmp_path / "foreign.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    for name, part in (
        ("foreign.h5", "cannot be loaded"),
        ("code.h5", "Lambda layer"),
        ("alone.weights.h5", "weights alone"),
        ("cut.h5", "cannot be loaded"),
    ):
        with refused(None, name, part):
            load_network(tmp_path / name)
    assert not (tmp_path / "taken_over").exists()


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
