"""--job=tune as a person uses it: searches that are killed, shared, and end with a flagfile."""

import dataclasses
import json
import shutil
import signal
import socket
import time

import numpy as np
import pytest
from commands import attempts, check_refused, copied, skt_tf, together

from skt_tf.configuration import Config
from skt_tf.data.datasets import load_dataset
from skt_tf.models.points import dense_flows
from skt_tf.tuning import search_report as report
from skt_tf.tuning import tune
from skt_tf.tuning.search_space import configured, hyperparameters, searchable

SMALL = (
    "--job=tune", "--dataset=digits", "--teacher_depth=8", "--width=2", "--batch_size=32",
    "--teacher_steps=20", "--transfer_steps=36", "--task_steps=9", "--evaluations=1",
    "--methods=fsp", "--output_dir=search",
)  # fmt: skip


def trials(folder):
    return json.loads((folder / "search/trials.json").read_text())


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("skt", ("learning_rate", "transfer_learning_rate", "flow_weights", "transfer_split")),
        ("fsp", ("learning_rate", "transfer_learning_rate", "flow_weights")),
        ("kd", ("learning_rate", "temperature")),
        ("hint", ("learning_rate", "hint_learning_rate", "temperature")),
        ("baseline", ("learning_rate",)),
    ],
)
def test_what_a_method_uses_is_searched(method, expected):
    assert searchable(Config(job="tune", methods=(method,))) == expected


def test_values_of_a_trial_make_the_configuration_that_runs_with_them():
    config = Config(job="tune", methods=("skt_kd",))
    space = hyperparameters(config)
    names = {p.name: (p.min_value, p.default, p.max_value) for p in space.space}
    assert len(names) == 9
    assert all(low < default < high for low, default, high in names.values())
    assert names["transfer_learning_rate"][1] == 0.1
    values = {name: high for name, (_, _, high) in names.items()}
    λ = dict(zip(dense_flows(), (1.0, 2.0, 3.0, 4.0, 5.0)))
    made = configured(config, values, λ)
    assert made.flow_weights == (10.0, 20.0, 30.0, 40.0, 50.0)
    assert made.transfer_split == (9.0, 1.0)
    assert (made.learning_rate, made.transfer_learning_rate, made.temperature) == (3.0, 3.0, 20.0)
    # Of a method that has three flows, the others keep their weights.
    config = Config(job="tune", methods=("fsp",), tune=("flow_weights",))
    values = {name.name: 2.0 for name in hyperparameters(config).space}
    made = configured(config, values, λ)
    assert made.flow_weights == (2.0, 4.0, 6.0, 4.0, 5.0)
    assert made.transfer_learning_rate == 0.1


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


def test_the_flagfile_names_the_folder_of_the_images(tmp_path):
    best = Config(job="tune", dataset="folder", data_dir="images", image_size="32")
    trial = {
        "number": 0,
        "accuracy": 0.5,
        "share": 1.0,
        "values": {"temperature": 3.0},
        "failed": None,
    }
    record = {"settings": {"methods": ["skt"], "dataset": "folder", "tuner": "random"},
              "validation": 2, "environment": {}}  # fmt: skip
    report.write(tmp_path, record, [trial], best)
    lines = (tmp_path / report.FLAGFILE).read_text().splitlines()
    assert {"--dataset=folder", "--data_dir=images", "--image_size=32"} <= set(lines)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    done = skt_tf(*SMALL, "--trials=3", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_search_ends_with_a_report_and_a_flagfile_that_runs(whole):
    found = trials(whole)
    assert sorted(trial["number"] for trial in found) == [0, 1, 2]
    shares = [trial["accuracy"] for trial in found if trial["accuracy"] is not None]
    assert shares == sorted(shares, reverse=True)
    report = (whole / "search/report.md").read_text()
    assert all(f"| {trial['number']} |" in report for trial in found)
    assert (whole / "search/report.html").exists()
    done = skt_tf("--flagfile=search/best.flags", "--output_dir=best", cwd=whole)
    assert done.returncode == 0, done.stderr
    results = json.loads((whole / "best/results.json").read_text())
    assert list(results["methods"]) == ["fsp"]
    best = found[0]["values"]
    assert results["config"]["learning_rate"] == pytest.approx(best["learning_rate"], rel=1e-5)
    base = json.loads((whole / "search/search.json").read_text())["flow_weights"]
    for flow, weight in results["flow_weights"].items():
        factor = best.get(f"flow_weight_{flow}", 1.0)  # Of two flows fsp has none to search.
        assert weight == pytest.approx(base[flow] * factor, rel=1e-5)


def test_a_search_that_is_killed_goes_on_to_the_same_trials(whole, tmp_path):
    process = copied([*SMALL, "--trials=3"], tmp_path)
    try:
        oracle, until = tmp_path / "search/search/oracle.json", time.monotonic() + 240
        while time.monotonic() < until and process.poll() is None:
            if oracle.exists() and json.loads(oracle.read_text())["end_order"]:
                break
            time.sleep(0.05)
        time.sleep(1)  # In the middle of the second trial.
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = skt_tf(*SMALL, "--trials=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert trials(tmp_path) == trials(whole)
    assert (tmp_path / "search/best.flags").read_text() == (whole / "search/best.flags").read_text()


def test_a_search_can_be_made_longer(whole, tmp_path):
    shutil.copytree(whole / "search", tmp_path / "search")
    done = skt_tf(*SMALL, "--trials=4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("of the validation images with") <= 1
    before, after = ({trial["number"]: trial for trial in trials(f)} for f in (whole, tmp_path))
    assert set(after) == {0, 1, 2, 3}
    assert {number: after[number] for number in before} == before


def test_another_search_is_refused(whole):
    refused = skt_tf(*SMALL, "--trials=3", "--seed=1", cwd=whole)
    assert refused.returncode == 2
    assert "seed (0 there, 1 here)" in refused.stderr


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


def test_a_chief_and_two_workers_share_a_search(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [*SMALL, "--tuner=random", "--trials=4", "--methods=kd"]
    names = ("chief", "tuner0", "tuner1")
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    processes = [(arguments, "", {"KERASTUNER_TUNER_ID": name, **place}) for name in names]
    done = dict(zip(names, together(*processes, cwd=tmp_path)))
    assert [code for _, _, code in done.values()] == [0, 0, 0], done
    outputs = {name: out for name, (out, _, _) in done.items()}
    found = trials(tmp_path)
    assert sorted(trial["number"] for trial in found) == [0, 1, 2, 3]
    assert all(trial["accuracy"] is not None for trial in found)
    ran = [outputs[name].count(" of the validation images with") for name in ("tuner0", "tuner1")]
    assert sum(ran) == 4
    assert min(ran) >= 1
    assert " of the validation images with" not in outputs["chief"]


REFUSED = {
    "several methods": (("--methods=skt,fsp",), ["--methods=skt,fsp", "one method"]),
    "what the method lacks": (
        ("--methods=fsp", "--tune=temperature"),
        ["--tune=temperature is nothing that fsp uses"],
    ),
    "an unknown value": (("--tune=depth",), ["--tune=depth is unknown"]),
    "nothing": (("--tune=",), ["--tune is empty"]),
    "no trials": (("--trials=0",), ["--trials=0 is out of range"]),
    "an unknown tuner": (("--tuner=grid",), ["--tuner=grid is unknown"]),
    "kept targets": (("--target_views=1",), ["--target_views"]),
    "tune of another job": (("--job=experiment", "--tune=temperature"), ["--tune is for"]),
    "too few images": (("--validation=3",), ["--validation=3 cannot be drawn"]),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    cases = {name: (*SMALL, *given) for name, (given, _) in REFUSED.items()}
    return attempts(cases, tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("refused"))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_searched_is_refused_in_a_sentence(case, refusals):
    check_refused(refusals[case], REFUSED[case][1])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": {}}'])
def test_a_damaged_record_is_refused_in_a_sentence(text, tmp_path):
    given = tmp_path / "given"
    (given / "search").mkdir(parents=True)
    (given / "search/search.json").write_text(text)
    (refused,) = attempts({"one": (*SMALL, "--methods=kd")}, given, tmp_path).values()
    check_refused(refused, ["search/search.json", "is damaged"])
