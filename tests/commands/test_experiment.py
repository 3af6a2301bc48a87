"""The command line end to end, on a tiny budget, against what can be computed without it."""

import copy
import csv
import dataclasses
import json
import pathlib
import shutil
from fractions import Fraction

import keras
import numpy as np
import pytest
from command_line import METHODS, NETS, RUN, finished_run, ran, results_of, snapshot
from reference import same, softmax, values
from sentences import is_one_sentence
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from untrained import untrained

from skt_tf.configuration import Config
from skt_tf.data import datasets
from skt_tf.data.datasets import load_dataset
from skt_tf.experiments import experiment
from skt_tf.models import evaluation
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.reports import verify
from skt_tf.training.stage_loop import run_stages

FLOWS = ("p0_p1", "p1_p2", "p2_p3", "p0_p2", "p1_p3")
TEACHER_STEPS = 12
# The stages of each method and their iterations, with the numbers of `RUN`.
STAGES = {
    "baseline": {"task": 4},
    "kd": {"task": 4},
    "hint": {"hint": 2, "task": 4},
    "fsp": {"transfer": 6, "task": 4},
    "skt": {"step1": 3, "step2": 3, "task": 4},
    "skt_bottom_up": {"section1": 2, "section2": 2, "section3": 2, "task": 4},
}
FALLS = {
    "task": (Fraction(32, 64), Fraction(48, 64)),
    "transfer": (Fraction(11, 21), Fraction(16, 21)),
    "hint": (Fraction(25, 35),),
}


@pytest.fixture(scope="module")
def run():
    return finished_run()


@pytest.fixture(scope="module")
def results(run):
    return results_of(run.folder)


@pytest.fixture(scope="module")
def images():
    """(training images, test images, test labels) of the digits, split as documented."""
    bunch = load_digits()
    pictures = np.rint(bunch.images / 16 * 255).astype(np.uint8)[..., None]
    train, test, _, labels = train_test_split(
        pictures, bunch.target, test_size=360, random_state=0, stratify=bunch.target
    )
    return train, test, labels


def students(folder, method):
    paths = sorted((folder / method).glob("net*/student.keras"))
    assert [path.parent.name for path in paths] == [f"net{k}" for k in range(NETS)]
    return [keras.models.load_model(path) for path in paths]


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def times(folder):
    """{network's path: when it was written}."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*.keras")}


def table_rows(output):
    """{first cell: cells} of the rows of the table that the output ends with."""
    lines = [line.split() for line in output[output.rindex("teach 8") :].splitlines()]
    return {cells[0]: cells for cells in lines if cells and cells[0] in ("teacher", *METHODS)}


def test_the_command_prints_a_table_of_all_methods_and_the_report_s_path(run, results):
    assert run.done.returncode == 0, run.done.stderr
    assert run.done.stderr == ""
    printed = table_rows(run.done.stdout)
    assert list(printed) == ["teacher", *METHODS]
    assert f"{results['teacher']['accuracy']:.2%}"[:-1] in printed["teacher"]
    for method in METHODS:
        for accuracy in (results["methods"][method][k] for k in ("mean", "ensemble")):
            assert f"{accuracy:.2%}"[:-1] in printed[method]
    assert run.done.stdout.rstrip().splitlines()[-1] == "report: run/report.html, run/report.md"


def test_results_say_what_was_run_and_where(results):
    assert (results["experiment"], results["dataset"]) == ("minimization", "digits")
    assert results["config"]["methods"] == list(results["methods"]) == list(METHODS)
    assert results["config"]["nets"] == NETS
    assert len(results["config"]) >= 20
    assert {"python", "tensorflow", "keras", "cores", "gpus"} <= set(results["environment"])
    assert all(e["seconds"] > 0 for e in (results["teacher"], *results["methods"].values()))


@pytest.mark.parametrize("method", METHODS)
def test_accuracies_are_those_of_the_saved_students(method, run, results, images):
    _, test, labels = images
    entry = results["methods"][method]
    outputs = [student(test).numpy() for student in students(run.folder, method)]
    accuracies = [np.mean(logits.argmax(1) == labels) for logits in outputs]
    assert entry["accuracies"] == pytest.approx(accuracies)
    assert entry["mean"] == pytest.approx(np.mean(accuracies))
    together = np.mean([softmax(logits) for logits in outputs], axis=0)
    assert entry["ensemble"] == pytest.approx(np.mean(together.argmax(1) == labels))


def test_every_file_is_there_whole_and_no_draft_is_left(run):
    nets = [f"{method}/net{k}" for method in METHODS for k in range(NETS)]
    files = {name for name, content in snapshot(run.cwd).items() if content}
    report = (run.folder / "report.md").read_text(encoding="utf-8")
    for name in ("accuracy.png", "flows.png"):
        content = (run.folder / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n")
        assert content.endswith(b"IEND\xaeB`\x82")
        assert f"]({name})" in report
    assert files == {
        "run/results.json",
        "run/report.md",
        "run/report.html",
        "run/matrices.png",
        "run/accuracy.png",
        "run/flows.png",
        "run/teacher/model.keras",
        "run/teacher/metrics.csv",
        *(f"run/{net}/student.keras" for net in nets),
        *(f"run/{net}/metrics.csv" for net in nets),
    }


def rate(stage, step):
    """The rate of a stage's iteration `step`, counted from 0, as the method's page says it."""
    name, steps = stage
    kind = name if name in FALLS else "transfer"
    first = {"task": 0.1, "transfer": 0.1, "hint": 0.0001}[kind]
    return first / 10 ** sum(step >= share * steps for share in FALLS[kind])


def check_metrics(folder, method, entry, accuracy):
    """Asserts that the logs of a method's nets hold every stage with its steps and rates."""
    expected, losses = STAGES[method], []
    assert {stage["name"]: stage["steps"] for stage in entry["stages"]} == expected
    assert entry["iterations"] == len(entry[accuracy]) * sum(expected.values())
    for net, share in enumerate(entry[accuracy]):
        logged = rows(folder / method / f"net{net}" / "metrics.csv")
        before = 0
        for stage in expected.items():
            own = [row for row in logged if row["stage"] == stage[0]]
            steps = [int(row["step"]) for row in own]
            assert steps == sorted(set(steps))
            assert steps[-1] == stage[1]
            assert [int(row["iteration"]) for row in own] == [before + step for step in steps]
            assert [float(row["learning_rate"]) for row in own] == pytest.approx(
                [rate(stage, step - 1) for step in steps]
            )
            before += stage[1]
        assert list(dict.fromkeys(row["stage"] for row in logged)) == list(expected)
        column = {"accuracies": "test_accuracy"}.get(accuracy, "validation_accuracy")
        assert float(logged[-1][column]) == pytest.approx(share)
        losses.append({row["stage"]: float(row["loss"]) for row in logged})
    for stage in entry["stages"]:
        last = [net[stage["name"]] for net in losses]
        assert stage["final_loss"] == pytest.approx(np.mean(last))


@pytest.mark.parametrize("method", METHODS)
def test_the_metrics_hold_every_stage_with_its_steps_and_rates(method, run, results):
    check_metrics(run.folder, method, results["methods"][method], "accuracies")


def test_the_teacher_s_accuracy_and_metrics_are_those_of_what_is_saved(run, results, images):
    _, test, labels = images
    logged, entry = rows(run.folder / "teacher/metrics.csv"), results["teacher"]
    assert (entry["iterations"], entry["depth"]) == (TEACHER_STEPS, 14)
    assert [int(row["step"]) for row in logged] == [3, 6, 9, 12]
    rates = [rate(("task", TEACHER_STEPS), step - 1) for step in (3, 6, 9, 12)]
    assert [float(row["learning_rate"]) for row in logged] == pytest.approx(rates)
    logits = keras.models.load_model(run.folder / "teacher/model.keras")(test).numpy()
    accuracy = np.mean(logits.argmax(1) == labels)
    assert entry["accuracy"] == pytest.approx(accuracy)
    assert float(logged[-1]["test_accuracy"]) == pytest.approx(accuracy)


def test_the_losses_of_the_active_flows_are_logged_and_add_up(run):
    active = {"step1": FLOWS[:3], "step2": FLOWS, "task": ()}
    for row in rows(run.folder / "skt" / "net0" / "metrics.csv"):
        own = {flow: float(row[flow]) for flow in FLOWS if row[flow]}
        assert set(own) == set(active[row["stage"]])
        if own:
            assert float(row["loss"]) == pytest.approx(sum(own.values()), rel=1e-5)


def test_flow_weights_are_the_inverse_mean_squares_of_the_saved_teacher(
    run, results, images, reference_fsp
):
    teacher = keras.models.load_model(run.folder / "teacher" / "model.keras")
    points = ("p0", "p1", "p2", "p3")
    view = keras.Model(teacher.input, [teacher.get_layer(point).output for point in points])
    maps = dict(zip(points, view.predict(images[0], verbose=0)))
    assert list(results["flow_weights"]) == list(FLOWS)
    for name, weight in results["flow_weights"].items():
        matrices = reference_fsp(*(maps[point] for point in name.split("_")))
        assert weight == pytest.approx(1 / np.mean(np.sum(matrices**2, axis=(1, 2))), rel=1e-4)


def test_the_same_command_again_trains_nothing_though_on_another_machine(run, results, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    moved = {**results, "environment": {**results["environment"], "cores": 999, "numpy": "1.0"}}
    (folder / "results.json").write_text(json.dumps(moved), encoding="utf-8")
    found = times(folder)
    again = ran(*RUN, cwd=tmp_path)
    assert len(found) == 1 + NETS * len(METHODS)
    assert times(folder) == found
    assert results_of(folder) == moved
    assert table_rows(again.stdout) == table_rows(run.done.stdout)
    assert "stage" not in again.stdout
    assert again.stdout.rstrip().endswith("report: run/report.html, run/report.md")
    assert is_one_sentence(again.stderr)
    for words in ("warning", "numpy", "cores"):
        assert words in again.stderr


def small(folder, **options):
    """An experiment for this process, and the results that it ends with."""
    options = {
        "teacher_depth": 8, "width": 4, "batch_size": 16, "teacher_steps": 3, "transfer_steps": 6,
        "task_steps": 4, "evaluations": 2, "output_dir": str(folder / "run"), **options,
    }  # fmt: skip
    config = Config(dataset="digits", **options)
    return config, experiment.run(config)


def test_a_given_teacher_is_copied_as_it_is_and_not_trained(run, results, tmp_path):
    given = run.folder / "teacher/model.keras"
    options = {"teacher": str(given), "flow_weights": (1.0,) * 5, "methods": ("fsp",)}
    _, again = small(tmp_path, **options, teacher_depth=14, student_depth=8)
    assert again["teacher"]["iterations"] == 0
    assert again["teacher"]["accuracy"] == results["teacher"]["accuracy"]
    assert again["teacher"]["depth"] == 14
    one, other = (keras.models.load_model(p) for p in (given, tmp_path / "run/teacher/model.keras"))
    assert len(one.trainable_variables) == len(other.trainable_variables) > 20
    assert [variable.path for variable in one.variables] == [v.path for v in other.variables]
    assert same(values(one), values(other))
    # With all λ equal, transfer starts at the paper's rate.
    assert again["flow_weights"] == dict.fromkeys(FLOWS, 1.0)
    logged = rows(tmp_path / "run/fsp/net0/metrics.csv")
    assert logged[0]["stage"] == "transfer"
    assert float(logged[0]["learning_rate"]) == pytest.approx(0.001)


def test_a_run_keeps_targets_once_for_all_nets_and_ends_without_them(tmp_path, capsys, monkeypatch):
    untrained(monkeypatch)
    small(tmp_path, methods=("fsp",), nets=2, target_views=2)
    assert capsys.readouterr().out.count("keeping the teacher's targets") == 1
    assert not (tmp_path / "run" / "targets.float16").exists()


# With the methods that the other run has not.
NOTED = ("baseline", "kd", "fsp", "skt_bottom_up")


@dataclasses.dataclass
class Noted:
    """What a run with images held out did, from its inside."""

    folder: pathlib.Path
    config: Config
    results: dict
    # Images that networks were asked about, and those that curves show.
    read: list
    evaluated: list
    # Teachers that stages were given; (teacher, its folded copy, the copy's values).
    taught: list
    frozen: list


@pytest.fixture(scope="module")
def noted(tmp_path_factory):
    read, evaluated, taught, frozen = [], [], [], []
    evaluate, judge = datasets.evaluation_batches, evaluation.probabilities

    def noted_evaluation(images, labels):
        evaluated.append(images)
        return evaluate(images, labels)

    def noted_judgement(network, images):
        read.append(images)
        return judge(network, images)

    def noted_stages(*arguments, **options):
        taught.append(options.get("teacher"))
        return run_stages(*arguments, **options)

    def folded(teacher, precision):
        copy = fold_batch_norm(teacher, precision)
        frozen.append((teacher, copy, values(copy)))
        return copy

    folder = tmp_path_factory.mktemp("noted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "evaluation_batches", noted_evaluation)
        patch.setattr(evaluation, "probabilities", noted_judgement)
        patch.setattr(experiment, "fold_batch_norm", folded)
        for module in ("teacher", "nets"):
            patch.setattr(f"skt_tf.experiments.{module}.run_stages", noted_stages)
        config, results = small(folder, methods=NOTED, validation=100)
    return Noted(folder / "run", config, results, read, evaluated, taught, frozen)


def test_nothing_of_the_teacher_changes_in_a_whole_run(noted):
    saved = keras.models.load_model(noted.folder / "teacher/model.keras")
    assert len(noted.taught) == 1 + len(NOTED)
    ((teacher, copy, start),) = noted.frozen
    assert all(used is copy for used in noted.taught[1:])
    assert same(start, values(copy))
    assert [variable.path for variable in saved.variables] == [v.path for v in teacher.variables]
    assert same(values(saved), values(teacher))


def test_with_images_held_out_the_test_images_are_read_at_the_end_alone(noted):
    held, results = load_dataset("digits").hold_out(100), noted.results
    assert noted.evaluated
    assert all(np.array_equal(images, held.validation_images) for images in noted.evaluated)
    # Once for each network, and the images that were held out once.
    for images in (held.test_images, held.validation_images):
        assert sum(np.array_equal(images, seen) for seen in noted.read) == 1 + len(NOTED)
    for entry, place in (
        (results["teacher"], "teacher/model"),
        (results["methods"]["fsp"], "fsp/net0/student"),
    ):
        network = keras.models.load_model(noted.folder / f"{place}.keras")
        logits = network.predict(held.validation_images, verbose=0)
        share = float((logits.argmax(1) == held.validation_labels).mean())
        assert share in (entry.get("validation_accuracy"), *entry.get("validation_accuracies", ()))
    assert "test_accuracy" not in rows(noted.folder / "baseline/net0/metrics.csv")[0]
    for method, entry in results["methods"].items():
        check_metrics(noted.folder, method, entry, "validation_accuracies")
    report = (noted.folder / "report.md").read_text(encoding="utf-8")
    assert "100 of the training images, held out" in report
    again = Config(job="verify", output_dir=noted.config.output_dir)
    assert verify.run(again)
    wrong = copy.deepcopy(results)
    wrong["methods"]["fsp"]["validation_accuracies"][0] += 0.1
    (noted.folder / "results.json").write_text(json.dumps(wrong), encoding="utf-8")
    assert not verify.run(again)
