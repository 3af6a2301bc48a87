"""Tables, curves, report.md and report.html from the files of runs."""

import copy
import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
from command_line import ROOT
from scipy import stats
from sentences import is_one_sentence

from skt_tf.configuration import Config
from skt_tf.reports import figures, report, tables
from skt_tf.reports.published import published, unpublished
from skt_tf.utils.document import show

FLOWS = ("p0_p1", "p1_p2", "p2_p3", "p0_p2", "p1_p3")


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
        "parameters": 1,
        "stages": [{"name": name, "steps": 64_000, "final_loss": 0.125} for name in stages],
        "failed": None,
    }


def paper_results(nets=1, **config):
    """Results in the paper's setting: CIFAR-10, 26 layers teach 8."""
    settings = {
        "student_depth": 8, "width": 16, "nets": nets, "budget": 1.0, "task_steps": 64_000,
        "seed": 0, "dense_flows": "span", "batch_size": 128,
        "methods": ["baseline", "baseline_long", "hint", "skt"],
    }  # fmt: skip
    teacher = {
        "depth": 26, "accuracy": 0.9191, "iterations": 64_000, "seconds": 60.0, "parameters": 1,
        "source": None, "failed": None,
    }  # fmt: skip
    return {
        "experiment": "minimization",
        "dataset": "cifar10",
        "config": {**settings, **config},
        "environment": {"python": "3.11"},
        "teacher": teacher,
        "flow_weights": dict.fromkeys(FLOWS, 0.5),
        "methods": {
            "baseline": entry(0.875, 0.88, nets),
            "baseline_long": entry(0.8825, 0.89, nets),
            "hint": entry(0.8, 0.81, nets, ("hint", "task")),
            "skt": entry(0.8875, 0.9, nets, ("step1", "step2", "task")),
        },
    }


def rows(results):
    table = tables.summary(results)
    return {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}


def write_run(folder, results):
    for method in results["methods"]:
        for net in range(results["config"]["nets"]):
            place = folder / method / f"net{net}"
            place.mkdir(parents=True)
            (place / "metrics.csv").write_text(METRICS)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are not drawn, where a test looks at words."""
    monkeypatch.setattr(
        figures,
        "save",
        lambda canvas, path, title: figures.Figure(path.name, title, b'<svg width="9pt"/>'),
    )


def column(results, name):
    return {row: cells[name] for row, cells in rows(results).items()}


def test_the_table_has_a_row_for_the_teacher_and_each_method():
    results = paper_results()
    table = rows(results)
    assert list(table) == ["teacher", "baseline", "baseline_long", "hint", "skt"]
    assert table["teacher"]["accuracy %"] == "91.91"
    assert table["skt"]["accuracy %"] == "88.75"
    assert table["skt"]["iterations"] == "192,000"
    assert table["skt"]["seconds"] == "12,346"
    # Points above the baseline.
    differences = list(column(results, "vs. baseline").values())
    assert differences == ["-", "-", "+0.75", "-7.50", "+1.25"]
    del results["methods"]["baseline"]
    assert set(column(results, "vs. baseline").values()) == {"-"}


def test_the_paper_s_settings_have_the_published_numbers_beside_them():
    results = paper_results()
    published = list(column(results, "published %").values())
    assert published == ["91.91", "87.94", "-", "88.40", "88.96"]
    results["dataset"], results["config"]["mirror"] = "cifar10:3.0.2", True
    assert list(column(results, "published %").values()) == published
    results = paper_results(student_depth=14, width=64, crop="none", mirror=False)
    results["dataset"], results["teacher"]["depth"] = "cifar100", 32
    published = list(column(results, "published %").values())
    assert published == ["64.69", "62.37", "-", "63.38", "65.06"]


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ((), "dataset", "cifar100"),
        ((), "dataset", "digits"),
        ((), "experiment", "fast_optimization"),
        (("teacher",), "depth", 32),
        (("config",), "student_depth", 14),
        (("config",), "width", 8),
        (("config",), "crop", "none"),
        (("config",), "mirror", False),
        (("config",), "image_size", "28"),
        (("config",), "student", "own.keras"),
    ],
)
def test_another_setting_has_no_published_numbers_and_says_why(
    undrawn, where, name, value, tmp_path
):
    results = copy.deepcopy(paper_results())
    place = results
    for key in where:
        place = place[key]
    place[name] = value
    assert "published %" not in tables.summary(results).header
    report.write(write_run(tmp_path, results), Config())
    (reason,) = re.findall("No published accuracies .*", (tmp_path / "report.md").read_text())
    told = {"depth": "32", "student_depth": "14", "student": "own", "experiment": "fast"}
    assert told.get(name, str(value)) in reason


def standard_results(teacher="resnet32x4", student="resnet8x4", **config):
    """Results of the field's standard protocol."""
    names = {"teacher_network": teacher, "student_network": student}
    results = paper_results(**{"transfer_steps": 37_500, "task_steps": 150_000, **names, **config})
    results["dataset"], results["teacher"]["depth"] = "cifar100", 32
    methods = (
        "baseline", "baseline_long", "kd_long", "hint", "fsp", "skt", "task+at", "task+dkd",
        "task+dkd*8", "task+dist", "task*0.1+mlkd", "simkd",
    )  # fmt: skip
    results["methods"] = {name: entry(0.75, 0.75) for name in methods}
    return results


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (
            ("resnet56", "resnet20"),
            "72.34 69.06 70.66 69.21 69.95 70.55 71.97‡ 71.75 72.19‡ -",
        ),
        (
            ("resnet32x4", "resnet8x4"),
            "79.42 72.50 73.33 73.50 72.62 73.44 76.32‡ 76.31 77.08‡ 78.08",
        ),
        (
            ("wrn_40_2", "wrn_16_2"),
            "75.61 73.26 74.92 73.58 72.91 74.08 76.23‡ - 76.63‡ -",
        ),
    ],
)
def test_the_standard_protocol_has_the_field_s_accuracies(pair, expected):
    said = published(standard_results(*pair))
    rows = (
        "teacher", "baseline", "kd", "hint", "fsp", "task+at", "task+dkd", "task+dist",
        "task*0.1+mlkd", "simkd",
    )  # fmt: skip
    shown = [f"{said[r].accuracy:.2f}{'‡' * said[r].best}" if r in said else "-" for r in rows]
    assert " ".join(shown) == expected
    assert said["baseline_long"] == said["baseline"]
    assert not {"skt", "skt_kd", "task+dkd*8", "task+fsp"} & said.keys()


@pytest.mark.parametrize(
    ("method", "accuracy"),
    [
        ("task+at*1000", 73.44), ("at+task", 73.44), ("task*1+at", 73.44), ("task+at*999", None),
        ("task+at>task", None), ("at", None), ("task+soft", 73.33), ("soft*14.4+task*0.1", 73.33),
        ("task+soft*14.4", None), ("task+dkd(beta=8.0)", 76.32), ("task+dkd(beta=3)", None),
        ("task+dkd(beta=8; alpha=1)", 76.32), ("task+dkd(standardized=True; beta=8)*9", None),
        ("dkd(temperature=2; standardized=True; beta=8)*9+task", 77.01),
        ("task+at+anchor*0.1", None), ("task+of_my_own", None),
    ],
)  # fmt: skip
def test_the_field_s_rows_are_known_however_they_are_written(method, accuracy):
    results = standard_results()
    results["methods"] = {method: entry(0.75, 0.75)}
    said = published(results).get(method)
    assert (said and said.accuracy) == accuracy


def test_what_the_field_s_accuracies_are_is_said_below_them(tmp_path, monkeypatch):
    results = standard_results(methods=["kd", "fsp"])
    plans = {"kd": ("task",), "fsp": ("transfer", "task")}
    results["methods"] = {name: entry(0.75, 0.75, stages=plan) for name, plan in plans.items()}
    assert column(results, "published %") == {"teacher": "79.42", "kd": "73.33", "fsp": "72.62"}
    report.write(write_run(tmp_path / "one", results), Config())
    text = (tmp_path / "one/report.md").read_text()
    assert text.startswith("# Minimization, cifar100: resnet32x4 teaches resnet8x4, 1 net")
    assert "RepDistiller's table" in text
    assert "187,500 iterations of 64 images in all" in text
    assert "of this run have 187,500 of 128, task and transfer together" in text
    assert "‡" not in text
    # Where a row is of a training's best moment, it is marked.
    of_dkd = {**results, "methods": {"task+dkd": entry(0.75, 0.75)}}
    marked = tables.best(of_dkd)
    assert marked.startswith("‡: the highest test accuracy of all epochs")
    assert is_one_sentence(marked)
    monkeypatch.setattr(tables, "_surplus", lambda results: {})
    assert column(of_dkd, "published %") == {"teacher": "79.42", "task+dkd": "76.32 [DKD] ‡"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"crop": "none"}, "crop pad, not none"),
        ({"mirror": False}, "mirror True, not False"),
        ({"image_size": "64"}, r"image_size \(32, 32\), not \(64, 64\)"),
        ({"teacher": "resnet56"}, "where resnet56 teaches resnet8x4"),
        ({"teacher": None}, "where 32 layers teach resnet8x4"),
        ({"student": None}, "where resnet32x4 teaches 8 layers"),
    ],
)
def test_other_networks_and_images_have_none_of_the_field_s_accuracies(changed, said):
    results = standard_results(**changed)
    assert published(results) == {}
    assert re.search(said, unpublished(results))


def test_the_field_s_accuracies_are_of_one_dataset_and_any_budget():
    same = {"width": 64, "budget": 0.01, "crop": "pad", "mirror": True, "image_size": "32"}
    assert published(standard_results(**same))
    for name, value in (("dataset", "cifar10"), ("experiment", "fast_optimization")):
        assert published({**standard_results(), name: value}) == {}


@pytest.mark.parametrize(
    ("name", "value"), [("crop", "pad"), ("mirror", True), ("width", 16), ("image_size", "64")]
)
def test_the_slides_cifar100_is_wide_and_without_augmentation(name, value):
    config = {"student_depth": 14, "width": 64, "crop": "none", "mirror": False, name: value}
    results = paper_results(**config)
    results["dataset"], results["teacher"]["depth"] = "cifar100", 32
    assert name in unpublished(results)


def test_the_words_of_a_setting_do_not_matter():
    for config in ({"mirror": None}, {"mirror": True}, {"crop": "pad"}, {"image_size": "32x32"}):
        assert published(paper_results(**config))


def test_the_values_of_other_papers_are_marked_as_theirs(undrawn, tmp_path):
    results = paper_results(nets=3, student_depth=26)
    results["experiment"] = "fast_optimization"
    results["methods"] |= {"teacher_copied": entry(0.92, 0.93, 3)}
    results["config"]["methods"].append("teacher_copied")
    assert rows(results)["teacher_copied"]["published %"] == "92.04 [FSP]"
    assert rows(results)["teacher_copied"]["published ensemble %"] == "92.71 [FSP]"
    report.write(write_run(tmp_path, paper_results()), Config())
    assert "[FSP]'s own table has `baseline` 87.91, " in (tmp_path / "report.md").read_text()


def test_more_iterations_than_the_control_are_said_beside_the_row():
    results = paper_results()
    results["methods"]["hint"]["stages"][0]["steps"] = 150_000
    assert "hint †" in rows(results)
    said = "`hint` has 214,000 iterations, 22,000 more than one of `skt`"
    assert said in tables.more(results)
    assert not tables.more(paper_results())


def test_many_that_are_not_shown_to_differ_are_one_clause():
    results = paper_results(nets=2)
    names = [f"task+at*{k}" for k in range(1, 7)]
    for k, name in enumerate(names):
        results["methods"][name] = copy.deepcopy(results["methods"]["skt"])
        results["methods"][name]["accuracies"] = [0.89 - k / 100, 0.9 + k / 50]
    clause = tables.answer(results).rpartition("(`baseline_long`)")[2]
    several, _, listed = clause.partition("are not shown to differ: ")
    assert int(several.split()[-1]) == len(listed.split(", "))
    assert "`task+at*6` (" in listed
    assert "includes zero" not in clause


def test_softened_outputs_have_a_control_of_their_own():
    results = paper_results(nets=2)
    long = entry(0.88, 0.89, 2)
    long["stages"][0]["steps"] = 192_000
    results["methods"] |= {"kd_long": long, "skt_kd": copy.deepcopy(results["methods"]["skt"])}
    results["methods"]["skt_kd"]["accuracies"] = [0.89, 0.9]
    answer = tables.answer(results)
    softened = answer.partition("(`kd_long`), ")[2]
    assert "`skt_kd` is not shown to differ: +1.50" in softened
    # Its task has softened outputs too.
    assert softened.startswith("`hint` (128,000 iterations against 192,000) ")
    # It has more iterations than `baseline`, as `baseline_long`.
    assert "`kd_long`" not in answer.partition("(`baseline_long`)")[0]
    table = tables.differences(results)
    found = {row[0]: dict(zip(table.header, row)) for row in table.rows}
    assert found["skt_kd"]["vs. kd_long"] == "+1.50"
    assert found["skt"]["vs. kd_long"] == found["kd_long"]["vs. baseline"] == "-"
    assert found["kd_long"]["vs. baseline_long"] == "-0.25"


def test_nets_that_begin_alike_have_no_interval_and_a_line_says_why(undrawn, tmp_path):
    results = paper_results(nets=3)
    results["methods"]["fsp_shared"] = {**entry(0.9, 0.91, 3), "accuracies": [0.89, 0.9, 0.91]}
    results["config"]["methods"].append("fsp_shared")
    table = tables.nets(results)
    row = dict(zip(table.header, table.rows[-1]))
    assert (row["mean %"], row["95 % interval"]) == ("90.00", "-")
    table = tables.differences(results)
    row = dict(zip(table.header, table.rows[-1]))
    assert (row["vs. baseline"], row["95 % interval"]) == ("+2.50", "-")
    assert "`fsp_shared` ends 2.50 points above" in tables.answer(results)
    report.write(write_run(tmp_path, results), Config())
    assert "not independent" in (tmp_path / "report.md").read_text()
    assert tables.one_start(paper_results(nets=3)) is None


def test_methods_with_other_numbers_of_nets_are_compared_where_they_are_pairs():
    results = paper_results(nets=3)
    results["methods"]["skt"]["accuracies"] = [0.88, 0.89]
    results["methods"]["baseline"]["accuracies"] = [0.87, 0.87, 0.5]
    table = tables.differences(results)
    (row,) = (row for row in table.rows if row[0] == "skt")
    half = stats.t.ppf(0.975, 1) * np.std([1, 2], ddof=1) / 2**0.5
    assert row[1:3] == ("+1.50", f"{1.5 - half:+.2f} to {1.5 + half:+.2f}")
    assert "over the nets that both have" in tables.answer(results)
    nets = tables.nets(results)
    cells = {row[0]: dict(zip(nets.header, row)) for row in nets.rows}
    assert (cells["skt"]["net 2"], cells["skt"]["net 3"]) == ("89.00", "-")


def test_several_nets_have_an_ensemble_and_one_has_none():
    assert "ensemble %" not in tables.summary(paper_results(nets=1)).header
    table = rows(paper_results(nets=3))
    assert table["skt"]["ensemble %"] == "90.00"
    assert table["teacher"]["ensemble %"] == "-"


@pytest.mark.parametrize(("nets", "noted"), [(1, True), (2, False)])
def test_the_report_of_one_net_says_that_differences_may_be_chance(undrawn, nets, noted, tmp_path):
    report.write(write_run(tmp_path, paper_results(nets=nets)), Config())
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert ("One net a method, so no interval can be given" in text) == noted


def test_the_report_holds_table_curves_stages_weights_and_configuration(tmp_path):
    report.write(write_run(tmp_path, paper_results(budget=0.0625)), Config())
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| skt | 88.75 | +1.25 | 192,000 | 12,346 | 88.96 | -0.21 |" in text
    assert "| skt, step2 | 64,000 | 0.125 |" in text
    assert "| p0_p1 | 0.5 |" in text
    assert "- `student_depth`: 8" in text
    assert "- python: 3.11" in text
    assert "0.0625" in text
    for name in ("accuracy.png", "flows.png"):
        assert f"]({name})" in text
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_run_without_transfer_has_no_curves_of_flows(tmp_path):
    results = paper_results()
    results["flow_weights"] = None
    report.write(write_run(tmp_path, results), Config())
    assert not (tmp_path / "flows.png").exists()
    assert "flows.png" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_printed_table_is_whole_where_the_output_is_no_terminal(undrawn, tmp_path, capsys):
    results = paper_results(nets=3)
    results["methods"]["skt_bottom_up"] = entry(0.8875, 0.9, 3)
    report.write(write_run(tmp_path, results), Config())
    printed = capsys.readouterr().out
    table = tables.summary(results)
    for cell in [*table.header, *(cell for row in table.rows for cell in row)]:
        assert cell.strip() in printed


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_number_is_cut_on_a_narrow_terminal(columns, monkeypatch, capsys):
    results = paper_results(3, student_depth=26)
    results["experiment"] = "fast_optimization"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    table = tables.summary(results)
    show("Fast optimization", table)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert all(list(row) in lines for row in table.rows)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_run_ends_well_where_the_output_cannot_hold_every_sign(
    undrawn, encoding, tmp_path, monkeypatch
):
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    report.write(write_run(tmp_path, paper_results()), Config())
    output.flush()
    assert b"88.75" in output.buffer.getvalue()


def spread(nets=3, **accuracies):
    """Results of methods with the given accuracies, one for each net."""
    results = paper_results(nets, methods=list(accuracies))
    results["methods"] = {}
    for name, shares in accuracies.items():
        steps = {"baseline": ("task",)}.get(name, ("transfer", "task"))
        results["methods"][name] = {**entry(sum(shares) / nets, 0.9, nets, steps)}
        results["methods"][name]["accuracies"] = list(shares)
    return results


THREE = {
    "baseline": (0.80, 0.81, 0.82),
    "baseline_long": (0.825, 0.835, 0.83),
    "fsp": (0.83, 0.84, 0.851),
    "skt": (0.79, 0.83, 0.80),
}


def test_the_answer_tells_a_gain_from_chance_by_its_interval():
    answer = tables.answer(spread(**THREE))
    first, second = answer.split("; ")
    for base, sentence in (("baseline", first), ("baseline_long", second)):
        assert f"(`{base}`)" in sentence
        for name in ("fsp", "skt"):
            found = stats.ttest_rel(
                100 * np.array(THREE[name]), 100 * np.array(THREE[base])
            ).confidence_interval(0.95)
            shown = f"({found.low:+.2f} to {found.high:+.2f}"
            assert shown in sentence
            assert (f"{shown}, which includes zero)" in sentence) == (found.low <= 0 <= found.high)
    assert "`fsp` beats it by 3.03" in first
    assert "`skt` is not shown to differ: -0.33" in first
    assert "`skt` is not shown to differ" in second
    assert is_one_sentence(answer)


def test_the_answer_names_a_loss():
    behind = {**THREE, "fsp": (0.75, 0.76, 0.771)}
    assert "`fsp` falls short of it by 4.97" in tables.answer(spread(**behind))


def test_a_method_without_further_iterations_is_held_against_the_baseline_alone():
    results = spread(**THREE, kd=(0.85, 0.86, 0.87))
    results["methods"]["kd"]["stages"] = results["methods"]["baseline"]["stages"]
    first, second = tables.answer(results).split("; ")
    assert "`kd`" in first
    assert "`kd`" not in second


def test_a_method_of_other_iterations_than_the_control_says_so_where_they_are_compared():
    results = spread(**THREE, hint=(0.85, 0.86, 0.87), kd=(0.85, 0.86, 0.87))
    steps = {"hint": 92_000, "kd": 64_000}
    for name, number in steps.items():
        stage = {"name": "task", "steps": number, "final_loss": 1.0}
        results["methods"][name]["stages"] = [stage]
    first, second = tables.answer(results).split("; ")
    assert "iterations against" not in first
    assert "`hint` (92,000 iterations against 128,000) beats it" in second
    assert second.count("iterations against") == 1
    assert tables.unequal(results) == (
        "A net of `baseline_long` has 128,000 iterations in all, one of `hint` 92,000, `kd` 64,000."
    )


def test_a_sequence_of_other_iterations_than_its_control_says_so_whatever_the_control():
    results = spread(baseline=THREE["baseline"], kd_long=THREE["fsp"], skt=THREE["skt"])
    results["methods"]["task+at"] = copy.deepcopy(results["methods"]["skt"])
    results["methods"]["flows:0.1>task:0.4"] = copy.deepcopy(results["methods"]["baseline"])
    first, second = tables.answer(results).split("; ")
    # Papers' methods have the baseline's iterations for their task, a sequence for all its stages.
    assert "`task+at` (128,000 iterations against 64,000)" in first
    assert first.count("iterations against") == 1
    assert "`flows:0.1>task:0.4` (64,000 iterations against 128,000)" in second
    assert tables.unequal(results) == (
        "A net of `kd_long` has 128,000 iterations in all, one of `flows:0.1>task:0.4` 64,000."
    )


def test_one_net_that_ends_where_the_baseline_ends_is_neither_above_nor_below():
    assert "`fsp` ends level" in tables.answer(spread(1, baseline=(0.8,), fsp=(0.8,)))


def test_published_ensembles_have_columns_where_the_slides_have_some():
    results = paper_results(3)
    assert "published %" in tables.summary(results).header
    assert "published ensemble %" not in tables.summary(results).header
    results["experiment"], results["config"]["student_depth"] = "fast_optimization", 26
    row = rows(results)["skt"]
    assert (row["published %"], row["published ensemble %"]) == ("92.28", "93.68")
    assert (row["difference"], row["difference "]) == ("-3.53", "-3.68")


def test_one_net_has_no_interval_and_no_zero_in_its_place():
    results = spread(1, baseline=(0.8,), fsp=(0.81,))
    assert "no interval" in tables.answer(results)
    assert "`fsp` ends 1.00 points above" in tables.answer(results)
    assert tables.nets(results) is None
    assert tables.differences(results) is None


@pytest.mark.parametrize("gone", ["baseline", "baseline_long"])
def test_without_one_of_the_students_alone_the_other_is_compared(gone):
    some = {name: shares for name, shares in THREE.items() if name != gone}
    answer = tables.answer(spread(**some))
    assert f"(`{gone}`)" not in answer
    assert "`fsp` " in answer


def test_alone_among_themselves_methods_are_not_compared():
    assert "nothing is compared" in tables.answer(spread(fsp=THREE["fsp"], skt=THREE["skt"]))


def test_a_method_that_failed_is_left_out_of_the_statistics():
    results = spread(**THREE)
    results["methods"]["fsp"] |= {"failed": {"message": "fsp is nan"}, "mean": None}
    assert "`fsp`" not in tables.answer(results)
    assert "fsp" not in [row[0] for row in tables.nets(results).rows]


def test_the_nets_table_has_each_net_its_spread_and_its_interval():
    table = tables.nets(spread(**THREE))
    row = dict(zip(table.header, next(row for row in table.rows if row[0] == "fsp")))
    shares = 100 * np.array(THREE["fsp"])
    low, high = stats.t.interval(0.95, 2, shares.mean(), stats.sem(shares))
    assert [row[f"net {k}"] for k in (1, 2, 3)] == ["83.00", "84.00", "85.10"]
    assert row["mean %"] == f"{shares.mean():.2f}"
    assert row["s.d."] == f"{shares.std(ddof=1):.2f}"
    assert row["95 % interval"] == f"{low:.2f} to {high:.2f}"


@pytest.mark.parametrize(
    "name",
    [
        "cifar10_short",
        "cifar10_fast_short",
        "cifar10_sixteenth",
        "cifar10_sixtyfourth",
        "cifar100_standard_short",
    ],
)
def test_the_committed_reports_are_those_of_their_files(undrawn, name, tmp_path):
    committed = ROOT / "docs/results" / name
    folder = shutil.copytree(committed, tmp_path / name)
    report.write(folder, Config())
    # Pictures are drawn by a library whose versions differ in their bytes.
    for file in ("report.md", "report.html"):
        one, other = (
            re.sub(r"<img [^>]*>", "", (place / file).read_text("utf-8"))
            for place in (committed, folder)
        )
        assert one == other


def test_the_iteration_at_which_the_baseline_is_reached(undrawn, tmp_path):
    folder = write_run(tmp_path, paper_results())
    slow = METRICS.replace("0.25\n", "0.1\n").replace("0.5\n", "0.4\n")
    (folder / "hint/net0/metrics.csv").write_text(slow)
    late = METRICS.replace("0.25\n", "0.6\n")
    (folder / "skt/net0/metrics.csv").write_text(late)
    report.write(folder, Config())
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "| baseline | 4 | 4 |" in text
    assert "| hint | not reached | 4 |" in text
    assert "| skt | 3 | 4 |" in text
    assert "50.00 %" in text
    assert "without logits" not in text


def test_what_was_not_measured_on_its_way_has_not_missed_the_baseline(undrawn, tmp_path):
    folder = write_run(tmp_path, paper_results())
    unmeasured = METRICS.replace(",0.25\n", ",\n").replace(",0.5\n", ",\n")
    (folder / "skt/net0/metrics.csv").write_text(unmeasured)
    report.write(folder, Config())
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "| skt | - | 4 |" in text
    assert "-: without logits it is not measured on its way." in text


def test_many_methods_have_lines_that_differ():
    curves = {f"method{k}": [(1, 0.5), (2, 0.6)] for k in range(30)}
    (axis,) = figures.accuracy_curves(curves, "test", None).axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axis.lines}) == 30


def test_many_flows_have_colours():
    flows = {f"p{k}_p{k + 1}": [(1, 2.0), (2, 1.0)] for k in range(13)}
    canvas = figures.flow_curves({"skt": flows, "baseline": {}})
    assert len(canvas.legends[0].get_texts()) == len(canvas.axes[0].lines) == 13


def test_one_net_among_several_is_no_ensemble():
    results = paper_results(nets=2)
    results["methods"]["skt"] |= {"accuracies": [0.5], "mean": 0.5, "ensemble": 0.5}
    for table, column in ((tables.summary(results), 2), (tables.nets(results), -1)):
        cells = {row[0]: row[column] for row in table.rows}
        assert cells["skt"] == "-"
        assert cells["hint"] != "-"


@pytest.mark.parametrize(
    ("held", "curves"), [(0, "Validation accuracy against"), (50, "Held-out accuracy against")]
)
def test_images_that_stand_for_a_test_are_called_by_their_name(undrawn, held, curves, tmp_path):
    results = paper_results(validation=held) | {"test_name": "validation"}
    report.write(write_run(tmp_path, results), Config())
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert curves in text
    assert "Accuracy on the validation images at the last iteration; the validation images" in text
    assert "the validation images, which take the place of test images, read once" in text
    assert "the test images" not in text
