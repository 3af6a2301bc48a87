"""Whatever is wrong with what was given: one sentence, exit code 1 or 2, and no file changed."""

import contextlib
import dataclasses
import io
import json
import pickle
import zipfile

import keras
import numpy as np
import pytest
from absl import flags
from command_line import (
    is_one_sentence,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skt_tf import main
from skt_tf.configuration import Config
from skt_tf.flags import define_flags, from_flags
from skt_tf.models.resnet import resnet
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


def edited(source, target, edit):
    """Writes `source`, a .keras file, to `target`, with its parts by name changed."""
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    edit(parts)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def foreign_class(parts):
    """What would run a command if it were loaded without a look at it."""
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1] |= {
        "module": "subprocess",
        "class_name": "Popen",
        "registered_name": None,
        "config": {"args": ["touch", "taken_over"]},
    }
    parts["config.json"] = json.dumps(config)


def classifier(layer):
    images = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(layer(images))
    return keras.Model(images, keras.layers.Dense(10)(flat))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Teachers that cannot teach, and other things that are not what they should be."""
    place = tmp_path_factory.mktemp("given")
    good = place / "good.keras"
    resnet(8, 10, (8, 8, 1), 2, seed=0).save(good)
    content = good.read_bytes()
    (place / "cut.keras").write_bytes(content[: len(content) // 2])
    (place / "empty.keras").write_bytes(b"")
    (place / "random.keras").write_bytes(np.random.default_rng(0).bytes(5000))
    (place / "pickle.keras").write_bytes(pickle.dumps({"class": "model"}))
    (place / "folder.keras").mkdir()
    resnet(8, 10, (8, 8, 1), 2).save(place / "old.h5")
    (place / "old.h5").rename(place / "hdf5.keras")
    for name, network in {
        "colour": resnet(8, 10, (8, 8, 3), 2),
        "larger": resnet(8, 10, (16, 16, 1), 2),
        "seven": resnet(8, 7, (8, 8, 1), 2),
        "wide": resnet(8, 10, (8, 8, 1), 3),
        "pointless": classifier(keras.layers.Rescaling(1 / 255)),
        "lambda": classifier(keras.layers.Lambda(lambda images: images / 255)),
    }.items():
        network.save(place / f"{name}.keras")
    broken = resnet(8, 10, (8, 8, 1), 2)
    broken.layers[-1].kernel.assign(broken.layers[-1].kernel * np.nan)
    broken.save(place / "nan.keras")
    edited(good, place / "foreign.keras", foreign_class)
    edited(good, place / "listed.keras", lambda parts: parts.update({"config.json": "[]"}))
    edited(good, place / "weightless.keras", lambda parts: parts.pop("model.weights.h5"))
    edited(
        good,
        place / "half.keras",
        lambda parts: parts.update({"model.weights.h5": parts["model.weights.h5"][:40_000]}),
    )
    edited(good, place / "zip.keras", lambda parts: [parts.pop(n) for n in list(parts)[1:]])
    (place / "unknown.flags").write_text("--seed=1\n--sede=2\n")
    (place / "wrong.flags").write_text("--seed=one\n")
    (place / "binary.flags").write_bytes(bytes(range(128, 256)))
    (place / "file").write_text("a file")
    return place


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
