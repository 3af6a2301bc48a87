"""Runs that grow: more nets and methods in a folder that is finished, as if asked for at once."""

import itertools
import json
import shutil

import pytest
from command_line import (
    attempt,
    check_refused,
    ran,
    results_of,
    snapshot,
    tiny,
    undrawn,
    without_times,
)
from parsing import here
from sentences import refused
from untrained import untrained

RUN = tiny(experiment="fast_optimization")
ALL = "teacher_copied,fsp,fsp_shared"


def begun(*arguments, cwd):
    return ran(*RUN, *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a finished run of one net of one method."""
    cwd = tmp_path_factory.mktemp("small")
    begun("--methods=fsp", cwd=cwd)
    return cwd


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("at_once")
    begun(f"--methods={ALL}", "--nets=2", cwd=cwd)
    return cwd / "run"


@pytest.fixture(scope="module")
def grown(small, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("grown") / "copy"
    shutil.copytree(small, cwd)
    files, said = [snapshot(cwd / "run")], []
    for arguments in (
        ("--nets=2", "--methods=fsp_shared"),
        ("--nets=1", "--methods=fsp,teacher_copied"),
        ("--nets=2", "--methods=fsp_shared,teacher_copied,fsp"),
    ):
        said.append(begun(*arguments, cwd=cwd).stdout)
        files.append(snapshot(cwd / "run"))
    return cwd, files, said


def test_a_grown_run_ends_as_one_that_was_asked_for_everything_at_once(grown, at_once):
    cwd, *_ = grown
    one, other = without_times(cwd / "run"), without_times(at_once)
    assert one.pop("results.json") == other.pop("results.json")
    assert one == other
    results = results_of(at_once)
    assert list(results["methods"]) == results["config"]["methods"] == ALL.split(",")
    assert all(len(set(e["weights"])) == 2 for e in results["methods"].values())


def test_what_is_there_is_not_trained_again_and_keeps_its_bytes(grown):
    _, files, said = grown
    for before, after in itertools.pairwise(files):
        kept = [name for name in before if name.endswith(("student.keras", "metrics.csv"))]
        assert len(kept) >= 3
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert not any("teacher, 8 layers, stage" in text for text in said)
    assert "fsp, net 1" not in said[1]
    assert "fsp, net 2 of 2, stage" in said[2]
    assert "teacher_copied, net 1" not in said[2]
    assert ["for all nets" in text for text in said] == [True, False, False]


def test_shared_stages_are_those_of_the_first_net_and_counted_once(at_once):
    results = results_of(at_once)
    for name in ("student.keras", "metrics.csv"):
        first = (at_once / "fsp_shared/net0" / name).read_bytes()
        assert first == (at_once / "fsp/net0" / name).read_bytes()
        assert first != (at_once / "fsp_shared/net1" / name).read_bytes()
    numbers = {name: entry["iterations"] for name, entry in results["methods"].items()}
    assert numbers == {"teacher_copied": 8, "fsp": 20, "fsp_shared": 14}


def test_a_run_grows_from_what_a_repository_keeps_of_it(small, tmp_path):
    """Also of an older version: results, logs and networks alone, without today's flags."""
    folder = tmp_path / "run"
    shutil.copytree(small / "run", folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".keras", ".csv", ".json"):
            path.unlink()
    results = results_of(folder)
    for name in ("crop", "section_flows", "transfer_boundaries"):
        del results["config"][name]
    del results["methods"]["fsp"]["weights"], results["teacher"]["weights"]
    here, results["environment"]["cores"] = results["environment"]["cores"], 999
    (folder / "results.json").write_text(json.dumps(results))
    before = snapshot(folder)
    begun("--methods=baseline", cwd=tmp_path)
    after, known = snapshot(folder), results_of(folder)
    assert all(after[name] == before[name] for name in before if name.endswith("keras"))
    original = results_of(small / "run")
    assert known["methods"]["fsp"] == original["methods"]["fsp"]
    assert known["config"]["crop"] == "pad"
    (environment,) = known["further_environments"]
    assert (environment["cores"], known["environment"]["cores"]) == (here, 999)
    assert "Environment in which the run went on" in (folder / "report.md").read_text("utf-8")


def test_a_teacher_is_known_by_its_weights(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("skt_tf.reports.figures.save", undrawn)
    network, run = small / "run/teacher/model.keras", (*RUN, "--methods=baseline")
    shutil.copy(network, "mine.keras")
    here(*run, "--teacher=mine.keras")
    before = snapshot(tmp_path / "run")
    untrained(monkeypatch, lambda *_: pytest.fail("it is trained again"))
    here(*run, f"--teacher={network}")
    (tmp_path / "mine.keras").unlink()  # As on another machine, by the same words.
    here(*run, "--teacher=mine.keras")
    other = small / "run/fsp/net0/student.keras"
    with refused(f"--teacher={other}", "another"):
        here(*run, f"--teacher={other}")
    assert snapshot(tmp_path / "run") == before


STUDENT, TEACHER = "run/fsp/net0/student.keras", "run/teacher/model.keras"


@pytest.mark.parametrize(
    ("change", "arguments", "says"),
    [
        (lambda f: shutil.copy(f / TEACHER, f / STUDENT), "fsp", f"{STUDENT} has other weights"),
        (lambda f: (f / STUDENT).write_bytes(b"PK"), "baseline", f"{STUDENT} cannot be read"),
        (lambda f: (f / TEACHER).unlink(), "skt", f"{TEACHER} does not exist"),
        (lambda f: (f / STUDENT).unlink(), "fsp --nets=2", "student.keras does not exist"),
    ],
)
def test_what_cannot_grow_stays_as_it_is(change, arguments, says, small, tmp_path):
    folder = tmp_path / "before"
    shutil.copytree(small, folder)
    change(folder)
    run = (*RUN, *f"--methods={arguments}".split())
    check_refused(attempt(run, folder, tmp_path / "after"), [says])


def test_a_finished_run_needs_no_networks_to_be_reported_again(small, tmp_path):
    shutil.copytree(small / "run", tmp_path / "run")
    for path in (tmp_path / "run").rglob("*.keras"):
        path.unlink()
    done = begun("--methods=fsp", cwd=tmp_path)
    assert "stage" not in done.stdout
    assert done.stderr == ""
