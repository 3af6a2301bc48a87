"""Networks and images of a user's own on the command line."""

import shutil

import keras
import numpy as np
import pytest
from command_line import attempt, check_refused, ran, tiny
from image_folders import draw, write
from own_networks import write_networks
from parsing import here
from PIL import Image
from sentences import refused

POINTS = ",".join(f"c{k}" for k in range(7))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_networks(tmp_path_factory.mktemp("networks"))


def flags(folder, teacher="teacher"):
    return tiny(
        teacher=folder / f"{teacher}.keras", student=folder / "student.keras",
        teacher_points=POINTS, student_points=POINTS, batch_size=16, transfer_steps=2,
        task_steps=2, hint_steps=1, transfer_learning_rate=1e-6, evaluations=1,
    )  # fmt: skip


def test_a_teacher_of_other_classes_and_channels_teaches_with_projections(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    results = here(*flags(folder), "--methods=fsp", "--project", "--nets=2")
    assert results["teacher"]["accuracy"] is None
    assert "100 classes, where digits has 10" in capsys.readouterr().out
    given = keras.models.load_model(folder / "student.keras")
    nets = [keras.models.load_model(tmp_path / f"run/fsp/net{k}/student.keras") for k in (0, 1)]
    for net in nets:
        assert [layer.name for layer in net.layers] == [layer.name for layer in given.layers]
        assert net.count_params() == given.count_params()
    # Two steps move a kernel far less than another draw does.
    kernels = [network.layers[2].kernel.numpy().ravel() for network in (*nets, given)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(kernels[first], kernels[second])[0, 1]) < 0.8
    report = (tmp_path / "run/report.md").read_text()
    assert "| teacher | - |" in report
    assert "published %" not in report
    assert "the networks of this run are the user's own" in report
    capsys.readouterr()
    assert here("--job=verify", "--output_dir=run")
    assert "teacher" not in capsys.readouterr().out


def test_a_run_begins_with_saved_weights_and_refuses_a_student_that_was_replaced(folder, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(folder / "student.keras", work / "mine.keras")
    run = (
        *flags(folder, "teacher10"), "--methods=kd", "--student=mine.keras",
        "--student_weights=saved", "--learning_rate=1e-9",
    )  # fmt: skip
    ran(*run, cwd=work)
    given = keras.models.load_model(folder / "student.keras")
    net = keras.models.load_model(work / "run/kd/net0/student.keras")
    for one, other in zip(given.trainable_variables, net.trainable_variables, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-6)
    shutil.copy(folder / "teacher10.keras", work / "mine.keras")
    check_refused(attempt(run, work, tmp_path / "again"), ["mine.keras is another network"])


def test_a_run_on_a_folder_goes_on_with_the_same_images_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Grey JPEGs of 20×28 pixels and other sizes.
    write(tmp_path / "images")
    run = tiny(
        dataset="folder", data_dir="images", image_size="20x28", width=2, batch_size=8,
        teacher_steps=30, transfer_steps=2, task_steps=2, evaluations=1, methods="fsp",
    )  # fmt: skip
    results = here(*run)
    assert results["config"]["image_size"] == "20x28"
    # Bright and dark: thirty iterations tell them apart.
    assert results["teacher"]["accuracy"] > 0.7
    assert here("--job=verify", "--data_dir=images", "--output_dir=run")
    Image.fromarray(draw(20, 28, 9)).save(tmp_path / "images/train/dark/00.jpg")
    with refused("others than this run was begun with"):
        here(*run)
