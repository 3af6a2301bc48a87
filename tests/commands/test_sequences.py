"""Sequences on the command line: trained, named in folders, reported, grown and searched."""

import pytest
from command_line import ran, results_of, skt_tf, tiny
from parsing import here
from sentences import is_one_sentence
from untrained import untrained

SEQUENCES = ("flows>task+soft", "task+at*1000", "hint:0.2>dkd*8+task:0.8", "simkd>task")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("sequences")
    methods = f"--methods=baseline_long,kd_long, {' , '.join(SEQUENCES[:3])}"
    done = ran(*tiny(), methods, cwd=cwd)
    return cwd, done


def test_each_is_a_row_at_the_iterations_of_its_controls(trained):
    cwd, done = trained
    results = results_of(cwd / "run")
    assert list(results["methods"]) == ["baseline_long", "kd_long", *SEQUENCES[:3]]
    for entry in results["methods"].values():
        assert sum(stage["steps"] for stage in entry["stages"]) == 10
    report = (cwd / "run" / "report.md").read_text()
    for name in SEQUENCES[:3]:
        assert name in done.stdout
        assert name.replace("*", r"\*") in report or name in report
    assert "(`kd_long`), " in report
    folders = {path.name for path in (cwd / "run").iterdir() if path.is_dir()}
    assert {"teacher", "baseline_long", "kd_long"} < folders
    assert len(folders) == 6
    page = (cwd / "run" / "report.html").read_text()
    assert "flows&gt;task+soft" in page


def test_a_run_grows_by_a_sequence_and_verifies(trained):
    cwd, _ = trained
    done = ran(*tiny(), f"--methods={SEQUENCES[3]}", cwd=cwd)
    assert "simkd" in done.stdout
    assert list(results_of(cwd / "run")["methods"])[-1] == SEQUENCES[3]
    checked = ran("--job=verify", "--output_dir=run", cwd=cwd)
    assert SEQUENCES[3] in checked.stdout
    folder = next((cwd / "run").glob("flows_then*")) / "net0" / "student.keras"
    ran("--job=export", f"--student={folder}", "--output_dir=served", cwd=cwd)
    card = (cwd / "served" / "README.md").read_text()
    assert "`flows>task+soft`" in card


def test_the_flagfile_of_a_search_has_the_sequence_it_found(tmp_path, monkeypatch):
    untrained(monkeypatch)
    monkeypatch.chdir(tmp_path)
    here(
        *tiny(job="tune", trials=1, output_dir="search"),
        "--methods=flows>task+at",
        "--tune=loss_weights,stage_shares",
        "--validation=100",
    )
    best = (tmp_path / "search" / "best.flags").read_text()
    (line,) = [line for line in best.splitlines() if line.startswith("--methods=")]
    assert line.startswith("--methods=flows:0.")
    assert "task*" in line
    assert "+at*" in line
    results = here("--flagfile=search/best.flags", "--output_dir=again")
    assert list(results["methods"]) == [line.removeprefix("--methods=")]


def test_a_split_is_of_the_methods_that_have_several_transfer_stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained(monkeypatch)
    results = here(*tiny(), "--methods=baseline,skt,task+at", "--transfer_split=1,2")
    assert [stage["steps"] for stage in results["methods"]["skt"]["stages"]] == [2, 4, 4]


def test_a_mistyped_sequence_is_one_sentence(tmp_path):
    done = skt_tf(*tiny(), "--methods=flows>dkq+task", cwd=tmp_path)
    assert done.returncode == 2
    assert is_one_sentence(done.stderr)
    assert "character 7" in done.stderr
    assert "did you mean dkd" in done.stderr
    assert not (tmp_path / "run").exists()
