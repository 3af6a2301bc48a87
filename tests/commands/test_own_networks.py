"""Networks and images of a user's own on the command line."""

import shutil

import keras
import numpy as np
import pytest
from command_line import attempt, check_refused, ran, results_of, skt_tf, tiny
from image_folders import draw, write
from own_networks import write_networks
from PIL import Image
from sentences import is_one_sentence

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


def test_a_teacher_of_other_classes_and_channels_teaches_with_projections(folder, tmp_path):
    done = ran(
        *flags(folder), "--methods=fsp", "--project", "--nets=2", "--output_dir=run",
        cwd=tmp_path,
    )  # fmt: skip
    results = results_of(tmp_path / "run")
    assert results["teacher"]["accuracy"] is None
    assert "100 classes, where digits has 10" in done.stdout
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
    verified = skt_tf("--job=verify", "--output_dir=run", cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert "teacher" not in verified.stdout


def test_saved_weights_are_begun_with_where_asked_for(folder, tmp_path):
    ran(
        *flags(folder, "teacher10"), "--methods=kd", "--student_weights=saved",
        "--learning_rate=1e-9", "--output_dir=run", cwd=tmp_path,
    )  # fmt: skip
    given = keras.models.load_model(folder / "student.keras")
    net = keras.models.load_model(tmp_path / "run/kd/net0/student.keras")
    for one, other in zip(given.trainable_variables, net.trainable_variables, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-6)


def test_a_student_that_was_replaced_meanwhile_is_refused(folder, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(folder / "student.keras", work / "mine.keras")
    arguments = (*flags(folder, "teacher10"), "--student=mine.keras", "--output_dir=run")
    ran(*arguments, "--methods=baseline", cwd=work)
    shutil.copy(folder / "teacher10.keras", work / "mine.keras")
    refused = attempt([*arguments, "--methods=baseline"], work, tmp_path / "again")
    check_refused(refused, ["mine.keras is another network"])


def test_a_run_on_a_folder_goes_on_with_the_same_images_alone(tmp_path):
    # Grey JPEGs of 20×28 pixels and other sizes.
    write(tmp_path / "images")
    arguments = tiny(
        dataset="folder", data_dir="images", image_size="20x28", width=2, batch_size=8,
        teacher_steps=30, transfer_steps=2, task_steps=2, evaluations=1, methods="skt",
    )  # fmt: skip
    ran(*arguments, cwd=tmp_path)
    results = results_of(tmp_path / "run")
    assert results["config"]["image_size"] == "20x28"
    # Bright and dark: thirty iterations tell them apart.
    assert results["teacher"]["accuracy"] > 0.7
    verified = skt_tf("--job=verify", "--data_dir=images", "--output_dir=run", cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    Image.fromarray(draw(20, 28, 9)).save(tmp_path / "images/train/dark/00.jpg")
    again = skt_tf(*arguments, cwd=tmp_path)
    assert again.returncode == 2
    assert "others than this run was begun with" in again.stderr
    assert is_one_sentence(again.stderr)
