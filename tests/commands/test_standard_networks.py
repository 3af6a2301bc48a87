"""Networks of the field's standard protocol, from the command line: tiny, on small images."""

import keras
import pytest
from command_line import ran, results_of, skt_tf, snapshot, tiny
from parsing import here
from sentences import is_one_sentence

from skt_tf.models.standard_networks import standard_network

NAMES = {"teacher_network": "resnet20", "student_network": "resnet8x4"}
RUN = tiny(
    **NAMES, teacher_depth=None, width=None, methods="kd", batch_size=16,
    teacher_steps=4, task_steps=2, evaluations=1, task_boundaries="5/8,3/4,7/8",
    nesterov=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("standard")
    done = ran(*RUN, cwd=cwd)
    assert done.stderr == ""
    assert "teacher, resnet20: teacher is done" in done.stdout
    return cwd


def test_both_networks_are_those_that_were_named(run, digits):
    results = results_of(run / "run")
    assert {name: results["config"][name] for name in NAMES} == NAMES
    assert (results["teacher"]["depth"], results["config"]["student_depth"]) == (20, 8)
    paths = {"resnet20": "teacher/model.keras", "resnet8x4": "kd/net0/student.keras"}
    for name, path in paths.items():
        saved = keras.models.load_model(run / "run" / path)
        built = standard_network(
            name, 10, (8, 8, 1), normalization=(digits.mean.tolist(), digits.variance.tolist())
        )
        assert [layer.name for layer in saved.layers] == [layer.name for layer in built.layers]
        assert saved.count_params() == built.count_params()
    report = (run / "run/report.md").read_text()
    assert report.startswith("# Minimization, digits: resnet20 teaches resnet8x4, ")
    assert "--teacher_network=resnet20 --student_network=resnet8x4" in report
    assert "_depth=" not in report


def test_the_same_command_finds_it_done_and_another_network_is_refused(run):
    before = snapshot(run / "run")
    again = ran(*RUN, cwd=run)
    assert "stage" not in again.stdout
    assert snapshot(run / "run").keys() == before.keys()
    other = skt_tf(*RUN, "--student_network=wrn_16_2", cwd=run)
    assert other.returncode == 2
    assert "student_network" in other.stderr
    assert is_one_sentence(other.stderr)


def test_its_accuracies_are_confirmed_and_its_card_names_the_teacher(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert here("--job=verify", "--output_dir=run")
    assert "REFUTED" not in capsys.readouterr().out
    here("--job=export", "--student=run/kd/net0/student.keras", "--output_dir=export")
    assert "- teacher: resnet20, " in (run / "export/README.md").read_text()


def test_flows_of_other_channels_are_refused_before_any_training(run):
    done = skt_tf(*RUN, "--methods=skt", "--output_dir=other", cwd=run)
    assert done.returncode == 2
    assert is_one_sentence(done.stderr)
    expected = "--teacher_network=resnet20 and --student_network=resnet8x4 cannot be used for skt"
    assert expected in done.stderr
    assert done.stdout == ""
