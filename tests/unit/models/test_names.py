"""Names that Keras takes and TensorFlow's graphs do not."""

import re

import keras
import numpy as np
import pytest

from skt_tf.exporting.export import export
from skt_tf.exporting.runtimes import load
from skt_tf.models.names import plain, plain_names
from skt_tf.models.saving import load_network

NAMES = ["my student", "student:8", "_student", "étudiant", "学生", "-x", "a+b(c)[d]"]


@pytest.fixture
def named():
    keras.utils.set_random_seed(0)
    name = "_mon élève: 学生"
    images = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3, name=f"{name} 1")(images)
    inner = [keras.Input((4, 4, 4)), keras.layers.Flatten(), keras.layers.Dense(3, name=name)]
    return keras.Model(images, keras.Sequential(inner, name=f"{name} 2")(x), name=name)


def test_plain_names_fit_a_graph_and_differ():
    assert len({*map(plain, NAMES)}) == len(NAMES)
    for name in [*NAMES, "resnet8", "s1b1.conv-2"]:
        assert re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", plain(name))
        assert plain(plain(name)) == plain(name)
    assert plain("s1b1.conv-2_x") == "s1b1.conv-2_x"


def test_names_are_given_back(named):
    before = [part.name for part in named._flatten_layers()]
    with plain_names(named, None):
        assert all(plain(part.name) == part.name for part in named._flatten_layers())
    assert before == [part.name for part in named._flatten_layers()]


def test_they_are_exported_and_loaded(named, tmp_path):
    name = named.name
    files = export(named, tmp_path / "new", ("saved_model", "litert"))
    named.save(tmp_path / "s.keras")
    assert named.name == name
    images = np.ones((2, 6, 6, 1), np.float32)
    expected = keras.ops.softmax(named(images))
    for kind, path in files.items():
        np.testing.assert_allclose(load(kind, path)[0](images), expected, atol=1e-5)
    assert load_network(tmp_path / "s.keras").name == plain(name)
