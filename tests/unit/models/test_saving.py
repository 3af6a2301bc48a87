"""Networks from files, and files that are none."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from absl import flags
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentences import is_one_sentence
from spoilt_networks import edited, write_spoilt

from skt_tf import main
from skt_tf.configuration import Config
from skt_tf.flags import define_flags, from_flags
from skt_tf.models.saving import load_network
from skt_tf.utils.errors import UserError

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


HUGE = "9" * 400


TEXTS = (
    st.text(max_size=20)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.lists(st.floats().map(str), max_size=6).map(",".join)
    | st.sampled_from(["", "true", "skt,kd", "digits", "500", "60s", "-", "--", "=", HUGE])
)


@settings(max_examples=300)
@example([("seed", "١٢")])  # Digits, but not ours.
@example([("output_dir", "a\0b")])
@given(st.lists(st.tuples(st.sampled_from(sorted(FIELDS)), TEXTS), max_size=4))
def test_random_texts_make_a_valid_configuration_or_one_sentence(given_flags):
    arguments = ["skt_tf", *(f"--{name}={text}" for name, text in given_flags)]
    values, said = flags.FlagValues(), io.StringIO()
    define_flags(values)
    config, refusal = None, ""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(flags, "FLAGS", values)
        try:
            main._parse(arguments)
            config = from_flags(values)
        except UserError as error:
            refusal = " ".join(str(error).split())
        except SystemExit as end:
            refusal = said.getvalue() if end.code == 2 else "Traceback"
    if config is None:
        assert is_one_sentence(refusal)
        return
    json.dumps(config.as_dict(), allow_nan=False)
    assert Config(**{name: getattr(config, name) for name in FIELDS}) == config


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
def test_what_is_no_network_is_refused_in_one_sentence(name, part, folder):
    with pytest.raises(UserError) as refusal:
        load_network(folder / f"{name}.keras")
    sentence = str(refusal.value)
    assert is_one_sentence(sentence)
    assert f"{name}.keras" in sentence
    assert part in sentence
    assert ("Lambda" in sentence) == (name == "lambda")
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
