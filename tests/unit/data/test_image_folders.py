"""--dataset=folder: images in folders, of whatever size, and what is wrong with them."""

import itertools
import shutil

import numpy as np
import pytest
from image_folders import draw, write
from PIL import Image
from sentences import refused

from skt_tf.data import images
from skt_tf.data.datasets import load_dataset


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """Grey JPEGs of 20×28 pixels and other sizes."""
    return write(tmp_path_factory.mktemp("varied"))


def test_images_come_as_they_are_with_their_classes_in_order(tmp_path):
    write(tmp_path, sizes=((8, 12),), ending="png", channels=3, classes=("b", "a", "10"))
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("10", "a", "b")
    assert dataset.train_images.shape == (48, 8, 12, 3)
    assert dataset.test_images.shape == (12, 8, 12, 3)
    assert dataset.train_labels.tolist() == [0] * 16 + [1] * 16 + [2] * 16
    assert np.array_equal(dataset.train_images[17], draw(8, 12, 40 + 130 + 1, 3))
    assert not dataset.mirrored
    assert load_dataset("folder", tmp_path, mirror=True).mirrored


def test_grey_images_of_varied_sizes_are_brought_to_one(varied):
    dataset = load_dataset("folder", varied, (20, 28))
    assert dataset.train_images.shape == (32, 20, 28, 1)
    for k in (0, 2, 3):
        with Image.open(varied / f"train/dark/{k:02}.jpg") as image:
            expected = np.asarray(image.resize((28, 20), Image.Resampling.BILINEAR))
        assert np.array_equal(dataset.train_images[k, ..., 0], expected)


def test_half_of_an_image_is_the_mean_of_its_pixels_nearly():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    flat = np.repeat(np.repeat(pixels[:4, :4], 8, 0), 8, 1)
    small = images.resized(flat, (4, 4))
    # Only the border of two colours is mixed.
    assert np.abs(small.astype(int) - pixels[:4, :4]).mean() < 25
    assert images.resized(np.full((9, 7, 1), 77, np.uint8), (5, 5)).tolist() == [[[77]] * 5] * 5
    # Of one pixel in a direction too, as crops may be.
    for shape, channels in itertools.product(((1, 9), (9, 1), (1, 1)), (1, 2, 3, 4)):
        grown = images.resized(np.full((*shape, channels), 7, np.uint8), (4, 6))
        assert grown.shape == (4, 6, channels)
        assert (grown == 7).all()


def test_without_a_size_varied_images_are_refused_with_two_of_them(varied):
    with refused(r"\(20, 28, 1\) and \(25, 31, 1\): give image_size"):
        load_dataset("folder", varied)


def test_one_coloured_image_makes_all_rgb_and_sixteen_bits_are_kept_in_scale(tmp_path):
    write(tmp_path, sizes=((8, 8),), ending="png")
    deep = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "train/dark/00.png")
    grey = load_dataset("folder", tmp_path)
    assert grey.image_shape == (8, 8, 1)
    assert np.array_equal(grey.train_images[0, ..., 0], deep // 256)
    Image.fromarray(draw(8, 8, 3, 3)).save(tmp_path / "train/dark/01.png")
    coloured = load_dataset("folder", tmp_path)
    assert coloured.image_shape == (8, 8, 3)
    assert np.array_equal(coloured.train_images[2], np.repeat(grey.train_images[2], 3, axis=-1))


def test_photographs_are_turned_as_their_cameras_noted(tmp_path):
    write(tmp_path, sizes=((8, 8),), ending="png")
    pixels = draw(8, 8, 100)
    exif = Image.Exif()
    exif[0x0112] = 6  # Lies on its side: turn it by 90° clockwise.
    Image.fromarray(pixels).save(tmp_path / "train/dark/00.png", exif=exif)
    found = load_dataset("folder", tmp_path).train_images[0, ..., 0]
    assert np.array_equal(found, np.rot90(pixels, -1))


def test_other_files_are_passed_over(tmp_path):
    write(tmp_path, sizes=((8, 8),))
    for name in ("train/dark/notes.txt", "train/dark/._00.jpg", "train/.DS_Store", "readme.md"):
        (tmp_path / name).write_text("not an image")
    (tmp_path / "train/.cache").mkdir()
    assert load_dataset("folder", tmp_path).train_images.shape == (32, 8, 8, 1)


def remove(path):
    shutil.rmtree(path)


BROKEN = {
    "no train": (lambda f: remove(f / "train"), "train is no folder"),
    "no test": (lambda f: remove(f / "test"), "each class, or val/<class>/… in its place"),
    "no classes": (
        lambda f: (remove(f / "train"), (f / "train").mkdir()),
        "train has no folders",
    ),
    "one class": (
        lambda f: (remove(f / "train/light"), remove(f / "test/light")),
        "1 classes: expected two",
    ),
    "a class of the test alone": (
        lambda f: (f / "test/other").mkdir(),
        "test/other is a class that",
    ),
    "an empty class": (lambda f: (f / "train/empty").mkdir(), "train/empty has no images"),
    "an empty test": (
        lambda f: [path.unlink() for path in (f / "test").rglob("*.jpg")],
        "test has no images",
    ),
    "a damaged image": (
        lambda f: (f / "train/dark/03.jpg").write_bytes(b"no image"),
        "train/dark/03.jpg cannot be read as an image",
    ),
    "an image cut short": (
        lambda f: (f / "test/light/01.jpg").write_bytes(
            (f / "test/light/01.jpg").read_bytes()[:300]
        ),
        "test/light/01.jpg cannot be read as an image",
    ),
    "other sizes in the test": (
        lambda f: [Image.fromarray(draw(9, 9, 1)).save(p) for p in (f / "test").rglob("*.jpg")],
        "(8, 8, 1) and (9, 9, 1): give image_size",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_cannot_be_used_is_refused_in_a_sentence(case, tmp_path):
    write(tmp_path, sizes=((8, 8),))
    change, says = BROKEN[case]
    change(tmp_path)
    with refused(None, says):
        load_dataset("folder", tmp_path)


def test_a_folder_must_be_named():
    with refused("the dataset 'folder' needs data_dir"):
        load_dataset("folder")


def test_more_images_than_memory_holds_are_refused_before_they_are_read(varied):
    with refused(r"40 images of shape .* GB.*let them stream, or give a smaller image_size"):
        load_dataset("folder", varied, (8192 * 16, 8192 * 8), stream=False)


def test_a_sample_lies_evenly_over_classes_and_the_digest_tells_images_apart(varied):
    dataset = load_dataset("folder", varied, (8, 8))
    assert len(dataset.sample(1000)) == 32
    sample = dataset.sample(8)
    dark = sum(any(np.array_equal(i, j) for j in dataset.train_images[:16]) for i in sample)
    assert (len(sample), dark) == (8, 4)
    assert dataset.digest == load_dataset("folder", varied, (8, 8)).digest
    assert dataset.digest != load_dataset("folder", varied, (8, 9)).digest
    assert dataset.digest == load_dataset("folder", varied, 8).digest
