"""Tables, curves and report.md from the files of a run."""

import copy
import io
import json
import shutil
import sys

import pytest
from commands import finished_run

from skt_tf import reports

METRICS = """iteration,stage,step,learning_rate,loss,p0_p1,test_accuracy
1,transfer,1,0.1,0.9,0.9,
2,transfer,2,0.1,0.8,0.8,
3,task,1,0.1,2.5,,0.25
4,task,2,0.01,2.25,,0.5
"""


def entry(mean, ensemble, nets=1, stages=("task",)):
    return {
        "accuracies": [mean] * nets,
        "mean": mean,
        "ensemble": ensemble,
        "iterations": 192_000 * nets,
        "seconds": 12_345.6,
        "stages": [{"name": name, "steps": 64_000, "final_loss": 0.125} for name in stages],
    }


def paper_results(nets=1, **config):
    """Results in the paper's setting: CIFAR-10, 26 layers teach 8."""
    return {
        "experiment": "minimization",
        "dataset": "cifar10",
        "config": {
            "student_depth": 8,
            "width": 16,
            "nets": nets,
            "budget": 1.0,
            "task_steps": 64_000,
            **config,
        },
        "environment": {"python": "3.11"},
        "teacher": {"depth": 26, "accuracy": 0.9191, "iterations": 64_000, "seconds": 60.0},
        "flow_weights": {"p0_p1": 0.5},
        "methods": {
            "baseline": entry(0.875, 0.88, nets),
            "baseline_long": entry(0.8825, 0.89, nets),
            "hint": entry(0.8, 0.81, nets, ("hint", "task")),
            "skt": entry(0.8875, 0.9, nets, ("step1", "step2", "task")),
        },
    }


def rows(results):
    header, cells = reports.table(results)
    return {row[0]: dict(zip(header, row, strict=True)) for row in cells}


def write_run(folder, results):
    for method in results["methods"]:
        for net in range(results["config"]["nets"]):
            place = folder / method / f"net{net}"
            place.mkdir(parents=True)
            (place / "metrics.csv").write_text(METRICS)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def test_the_table_has_a_row_for_the_teacher_and_each_method():
    table = rows(paper_results())
    assert list(table) == ["teacher", "baseline", "baseline_long", "hint", "skt"]
    assert table["teacher"]["accuracy %"] == "91.91"
    assert table["skt"]["accuracy %"] == "88.75"
    assert table["skt"]["iterations"] == "192,000"
    assert table["skt"]["seconds"] == "12,346"


def test_differences_are_points_above_the_baseline():
    table = rows(paper_results())
    differences = {name: row["vs. baseline"] for name, row in table.items()}
    assert differences == {
        "teacher": "-",
        "baseline": "-",
        "baseline_long": "+0.75",
        "hint": "-7.50",
        "skt": "+1.25",
    }


def test_without_a_baseline_there_are_no_differences():
    results = paper_results()
    del results["methods"]["baseline"]
    assert {row["vs. baseline"] for row in rows(results).values()} == {"-"}


def test_the_paper_s_setting_has_the_published_numbers_beside_it():
    published = {name: row["published %"] for name, row in rows(paper_results()).items()}
    assert published == {
        "teacher": "91.91",
        "baseline": "87.94",
        "baseline_long": "-",
        "hint": "88.40",
        "skt": "88.96",
    }


def test_the_other_setting_of_the_paper_has_its_own_published_numbers():
    results = paper_results(student_depth=14)
    results["dataset"] = "cifar100"
    results["teacher"]["depth"] = 32
    published = {name: row["published %"] for name, row in rows(results).items()}
    assert published["teacher"] == "64.69"
    assert published["baseline"] == "62.37"
    assert published["hint"] == "63.38"
    assert published["skt"] == "65.06"


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ((), "dataset", "cifar100"),
        ((), "dataset", "digits"),
        (("teacher",), "depth", 32),
        (("config",), "student_depth", 14),
        (("config",), "width", 8),
    ],
)
def test_another_setting_has_no_published_numbers(where, name, value):
    results = copy.deepcopy(paper_results())
    place = results
    for key in where:
        place = place[key]
    place[name] = value
    assert "published %" not in reports.table(results)[0]


def test_several_nets_have_an_ensemble_and_one_has_none():
    assert "ensemble %" not in reports.table(paper_results(nets=1))[0]
    table = rows(paper_results(nets=3))
    assert table["skt"]["ensemble %"] == "90.00"
    assert table["teacher"]["ensemble %"] == "-"


@pytest.mark.parametrize(("nets", "noted"), [(1, True), (2, False)])
def test_the_report_of_one_net_says_that_differences_may_be_chance(nets, noted, tmp_path):
    reports.write(write_run(tmp_path, paper_results(nets=nets)))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert ("chance" in report) == noted


def test_the_report_holds_table_curves_stages_weights_and_configuration(tmp_path):
    reports.write(write_run(tmp_path, paper_results(budget=0.0625)))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| skt | 88.75 | +1.25 | 192,000 | 12,346 | 88.96 |" in report
    assert "| skt | step2 | 64,000 | 0.125 |" in report
    assert "| p0_p1 | 0.5 |" in report
    assert "- `student_depth`: 8" in report
    assert "- python: 3.11" in report
    assert "0.0625" in report
    for name in ("accuracy.png", "flows.png"):
        assert f"]({name})" in report
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_run_without_transfer_has_no_curves_of_flows(tmp_path):
    results = paper_results()
    results["flow_weights"] = None
    reports.write(write_run(tmp_path, results))
    assert not (tmp_path / "flows.png").exists()
    assert "flows.png" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_report_is_made_again_byte_by_byte_from_the_folder(tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished_run().folder, folder)
    made = ("report.md", "accuracy.png", "flows.png")
    before = (folder / "report.md").read_bytes()
    kept = (folder / "results.json").read_bytes()
    for name in made:
        (folder / name).unlink()
    reports.write(folder)
    assert (folder / "report.md").read_bytes() == before
    assert (folder / "results.json").read_bytes() == kept
    assert all((folder / name).is_file() for name in made)
    assert str(folder / "report.md") in capsys.readouterr().out


def test_the_printed_table_is_whole_where_the_output_is_no_terminal(tmp_path, capsys):
    results = paper_results(nets=3)
    results["methods"]["skt_bottom_up"] = entry(0.8875, 0.9, 3)
    reports.write(write_run(tmp_path, results))
    printed = capsys.readouterr().out
    header, cells = reports.table(results)
    for cell in [*header, *(cell for row in cells for cell in row)]:
        assert cell in printed


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_run_ends_well_where_the_output_cannot_hold_every_sign(encoding, tmp_path, monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    reports.write(write_run(tmp_path, paper_results()))
    output.flush()
    assert b"88.75" in output.buffer.getvalue()
