"""Whole searches in this process."""

import dataclasses
import json

import numpy as np

from skt_tf.configuration import Config
from skt_tf.data.datasets import load_dataset
from skt_tf.tuning import tune


def trials(folder):
    return json.loads((folder / "search/trials.json").read_text())


def test_the_test_images_are_not_read(monkeypatch, tmp_path, capsys):
    real = load_dataset("digits")
    # Whatever reads them would fail, or find nothing that fits.
    blind = dataclasses.replace(
        real,
        test_images=np.zeros_like(real.test_images),
        test_labels=np.zeros_like(real.test_labels),
    )
    found = []
    for number, dataset in enumerate((real, blind)):
        monkeypatch.setattr(tune, "load_dataset", lambda *_, dataset=dataset: dataset)
        folder = tmp_path / str(number)
        config = Config(
            job="tune", dataset="digits", methods=("baseline",), width=2, batch_size=32, trials=2,
            task_steps=30, evaluations=2, tuner="random", output_dir=str(folder),
        )  # fmt: skip
        found.append(tune.run(config))
    assert found[0] == found[1]
    assert len({trial["accuracy"] for trial in found[0]}) > 1
    assert "the test images: not read" in (tmp_path / "0/report.md").read_text()


def test_hyperband_gives_most_trials_a_share_of_the_iterations(tmp_path):
    config = Config(
        job="tune", dataset="digits", methods=("baseline",), width=2, batch_size=32, trials=10,
        task_steps=9, evaluations=1, tuner="hyperband", output_dir=str(tmp_path / "search"),
    )  # fmt: skip
    tune.run(config)
    found = trials(tmp_path)
    assert len(found) == 10
    assert {round(trial["share"] * 9) for trial in found} >= {1, 3}
    # Those that went furthest come first, whatever their accuracy.
    shares = [trial["share"] for trial in found]
    assert shares == sorted(shares, reverse=True)
