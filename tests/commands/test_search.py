"""--job=tune as a person uses it: searches that are killed, shared, and end with a flagfile."""

import json
import shutil
import signal
import socket
import time

import pytest
from command_line import attempts, check_refused, copied, skt_tf, together

SMALL = (
    "--job=tune", "--dataset=digits", "--teacher_depth=8", "--width=2", "--batch_size=32",
    "--teacher_steps=20", "--transfer_steps=36", "--task_steps=9", "--evaluations=1",
    "--methods=fsp", "--output_dir=search",
)  # fmt: skip


def trials(folder):
    return json.loads((folder / "search/trials.json").read_text())


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
