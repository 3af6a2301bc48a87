"""Files that are no networks, or such as cannot teach."""

import json
import pickle
import zipfile

import keras
import numpy as np

from skt_tf.models.resnet import resnet


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


def write_spoilt(place):
    """Writes into `place` good.keras, and beside it what is not what it should be."""
    good = place / "good.keras"
    resnet(8, 10, (8, 8, 1), 2, seed=0).save(good)
    content = good.read_bytes()
    (place / "cut.keras").write_bytes(content[: len(content) // 2])
    (place / "empty.keras").write_bytes(b"")
    (place / "random.keras").write_bytes(np.random.default_rng(0).bytes(5000))
    (place / "pickle.keras").write_bytes(pickle.dumps({"class": "model"}))
    (place / "folder.keras").mkdir()
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
