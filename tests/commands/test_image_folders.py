"""--dataset=folder: images in folders, of whatever size, and what is wrong with them."""

import shutil

import pytest
from command_line import ran, results_of, skt_tf, tiny
from image_folders import draw, write
from PIL import Image
from sentences import is_one_sentence


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """Grey JPEGs of 20×28 pixels and other sizes."""
    return write(tmp_path_factory.mktemp("varied"))


def test_a_run_on_a_folder_goes_on_with_the_same_images_alone(varied, tmp_path):
    shutil.copytree(varied, tmp_path / "images")
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
