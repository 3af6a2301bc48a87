"""--job=tune as a person uses it: searches that are killed, shared, and end with a flagfile."""

import dataclasses
import json
import shutil
import signal
import socket
import time

import numpy as np
import pytest
from command_line import SLOW, attempt, check_refused, copied, ran, results_of, tiny, together
from untrained import untrained

from skt_tf.configuration import Config
from skt_tf.tuning import tune

SMALL = tiny(
    job="tune", methods="fsp", width=2, teacher_steps=20, transfer_steps=36, task_steps=9,
    evaluations=1, output_dir="search",
)  # fmt: skip


def trials(folder):
    return json.loads((folder / "search/trials.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ran(*SMALL, "--trials=2", cwd=folder)
    return folder


def test_a_search_ends_with_a_report_and_a_flagfile_that_runs(whole):
    found = trials(whole)
    assert sorted(trial["number"] for trial in found) == [0, 1]
    shares = [trial["accuracy"] for trial in found if trial["accuracy"] is not None]
    assert shares == sorted(shares, reverse=True)
    report = (whole / "search/report.md").read_text()
    assert all(f"| {trial['number']} |" in report for trial in found)
    assert (whole / "search/report.html").exists()
    ran("--flagfile=search/best.flags", "--output_dir=best", cwd=whole)
    results = results_of(whole / "best")
    assert list(results["methods"]) == ["fsp"]
    best = found[0]["values"]
    assert results["config"]["learning_rate"] == pytest.approx(best["learning_rate"], rel=1e-5)
    base = json.loads((whole / "search/search.json").read_text())["flow_weights"]
    for flow, weight in results["flow_weights"].items():
        factor = best.get(f"flow_weight_{flow}", 1.0)  # Of two flows fsp has none to search.
        assert weight == pytest.approx(base[flow] * factor, rel=1e-5)


def test_a_search_that_is_killed_goes_on_to_the_same_trials(whole, tmp_path):
    process = copied([*SMALL, "--trials=2"], tmp_path)
    try:
        oracle, until = tmp_path / "search/search/oracle.json", time.monotonic() + 500
        while time.monotonic() < until and process.poll() is None:
            if oracle.exists() and json.loads(oracle.read_text())["end_order"]:
                break
            time.sleep(0.05)
        time.sleep(1)  # In the middle of the second trial.
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    ran(*SMALL, "--trials=2", cwd=tmp_path)
    assert trials(tmp_path) == trials(whole)
    assert (tmp_path / "search/best.flags").read_text() == (whole / "search/best.flags").read_text()


def test_a_search_can_be_made_longer(whole, tmp_path):
    shutil.copytree(whole / "search", tmp_path / "search")
    done = ran(*SMALL, "--trials=3", cwd=tmp_path)
    assert done.stdout.count("of the validation images with") <= 1
    before, after = ({trial["number"]: trial for trial in trials(f)} for f in (whole, tmp_path))
    assert set(after) == {0, 1, 2}
    assert {number: after[number] for number in before} == before


def test_another_search_and_a_damaged_record_are_refused(whole, tmp_path):
    another = attempt([*SMALL, "--seed=1"], whole, tmp_path / "another")
    check_refused(another, ["seed (0 there, 1 here)"])
    (tmp_path / "given/search").mkdir(parents=True)
    (tmp_path / "given/search/search.json").write_text("{}")
    damaged = attempt([*SMALL, "--methods=kd"], tmp_path / "given", tmp_path / "work")
    check_refused(damaged, ["search/search.json", "is damaged"])


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=SLOW)])
def test_a_chief_and_its_workers_share_a_search(workers, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    number = 2 * workers
    arguments = [*SMALL, "--tuner=random", f"--trials={number}", "--methods=kd"]
    names = ("chief", *(f"tuner{k}" for k in range(workers)))
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    processes = [(arguments, "", {"KERASTUNER_TUNER_ID": name, **place}) for name in names]
    done = dict(zip(names, together(*processes, cwd=tmp_path)))
    assert {code for _, _, code in done.values()} == {0}, done
    outputs = {name: out for name, (out, _, _) in done.items()}
    found = trials(tmp_path)
    assert sorted(trial["number"] for trial in found) == list(range(number))
    assert all(trial["accuracy"] is not None for trial in found)
    ran = [outputs[name].count(" of the validation images with") for name in names[1:]]
    assert sum(ran) == number
    assert min(ran) >= 1
    assert " of the validation images with" not in outputs["chief"]


def searched(folder, **options):
    """The trials of a search of the baseline's values in this process."""
    config = Config(
        job="tune", dataset="digits", methods=("baseline",), width=2, batch_size=32,
        output_dir=str(folder), **options,
    )  # fmt: skip
    return tune.run(config)


def test_the_test_images_are_not_read(digits, monkeypatch, tmp_path):
    # Whatever reads them would fail, or find nothing that fits.
    images, labels = (np.zeros_like(part) for part in (digits.test_images, digits.test_labels))
    blind, found = dataclasses.replace(digits, test_images=images, test_labels=labels), []
    for number, dataset in enumerate((digits, blind)):
        monkeypatch.setattr(tune, "load_dataset", lambda *_, dataset=dataset: dataset)
        options = {"trials": 2, "task_steps": 30, "evaluations": 2, "tuner": "random"}
        found.append(searched(tmp_path / str(number), **options))
    assert found[0] == found[1]
    assert len({trial["accuracy"] for trial in found[0]}) > 1
    assert "the test images: not read" in (tmp_path / "0/report.md").read_text()


def test_hyperband_gives_most_trials_a_share_of_the_iterations(tmp_path, monkeypatch):
    steps = []
    untrained(monkeypatch, lambda distiller, batches, number: steps.append(number))
    options = {"trials": 10, "task_steps": 9, "evaluations": 1, "tuner": "hyperband"}
    found = searched(tmp_path / "search", **options)
    assert found == trials(tmp_path)
    assert len(found) == 10
    assert {round(trial["share"] * 9) for trial in found} >= {1, 3}
    assert sorted(round(trial["share"] * 9) for trial in found) == sorted(steps)
    # Those that went furthest come first, whatever their accuracy.
    shares = [trial["share"] for trial in found]
    assert shares == sorted(shares, reverse=True)
