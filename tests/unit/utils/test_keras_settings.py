"""Keras set to what this package does not run on is refused before it is loaded, and after."""

import json
import sys

import keras
import pytest

from skt_tf.utils.errors import UserError
from skt_tf.utils.keras_settings import check_keras


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Keras' folder, as a process sees it that has not loaded Keras."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("backend", "settings", "said"),
    [
        ("jax", None, "backend jax .*set KERAS_BACKEND=tensorflow"),
        ("numpy", {"backend": "tensorflow"}, "backend numpy"),
        (None, {"backend": "torch"}, "backend torch"),
        ("", {"backend": "torch"}, "backend torch"),
        ("tensorflow", {"image_data_format": "channels_first"}, "channels_first .*channels_last"),
    ],
)
def test_another_backend_or_order_is_one_sentence(home, monkeypatch, backend, settings, said):
    if backend is not None:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    if settings is not None:
        (home / "keras.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=said):
        check_keras()


@pytest.mark.parametrize("text", [None, "{", "[1]", '{"backend": "tensorflow"}'])
def test_its_defaults_pass(home, text):
    if text is not None:
        (home / "keras.json").write_text(text)
    check_keras()


def test_the_environment_outweighs_the_file(home, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    (home / "keras.json").write_text('{"backend": "jax"}')
    check_keras()


def test_what_is_set_later_is_seen(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(UserError, match="channels_first"):
        check_keras()
