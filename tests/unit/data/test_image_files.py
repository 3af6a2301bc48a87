"""What files of images hold: 16 bits a pixel, kinds of files, what is passed over or damaged."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from command_line import is_one_sentence
from image_folders import draw, write
from PIL import Image, ImageOps

from skt_tf.data.datasets import load_dataset
from skt_tf.utils.errors import UserError

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.fixture
def folder(tmp_path):
    """Grey PNGs of 8×8 pixels, 16 and 4 of each of two classes."""
    return write(tmp_path, sizes=((8, 8),), ending="png")


def first(folder, **options):
    return load_dataset("folder", folder, **options).train_images[0]


def put(folder, pixels, ending="png"):
    """Puts a file in the place of the first image."""
    (folder / "train/dark/00.png").unlink()
    Image.fromarray(pixels).save(folder / f"train/dark/00.{ending}")


@pytest.mark.parametrize(("bits", "ending"), [(10, "png"), (12, "tif"), (14, "png")])
def test_what_a_camera_uses_of_sixteen_bits_is_found_and_said(bits, ending, folder, capsys):
    deep = (RAMP << (bits - 6)) + 2 ** (bits - 6) - 1
    put(folder, deep, ending)
    assert np.array_equal(first(folder)[..., 0], RAMP * 4 + 3)
    said = (
        f"levels up to {2**bits - 1}, in 1 of its files: read as of {bits} bits, which image_bits"
    )
    assert said in capsys.readouterr().out
    assert np.array_equal(first(folder, image_bits=16)[..., 0], deep >> 8)


def test_colours_of_sixteen_bits_are_not_cut_off(folder):
    deep = np.stack([RAMP << 6, RAMP << 5, RAMP], axis=-1)
    (folder / "train/dark/00.png").write_bytes(tf.io.encode_png(deep).numpy())
    assert np.array_equal(first(folder), deep >> 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_are_turned_as_pillow_turns_others(orientation, folder):
    deep = np.random.default_rng(0).integers(0, 2**16, (8, 8, 3), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = Image.fromarray((deep >> 8).astype(np.uint8))
    shallow.save(folder / "turned.png", exif=exif)
    # The chunk that says how it was held, in the file of 16 bits.
    saved, file = (folder / "turned.png").read_bytes(), tf.io.encode_png(deep).numpy()
    at = saved.index(b"eXIf") - 4
    chunk = saved[at : at + 12 + int.from_bytes(saved[at : at + 4])]
    path = folder / "train/dark/00.png"
    path.write_bytes(file[:33] + chunk + file[33:])
    expected = ImageOps.exif_transpose(Image.open(folder / "turned.png"))
    assert np.array_equal(first(folder, image_bits=np.int64(16)), np.asarray(expected))


def test_a_pipe_among_the_images_is_passed_over(folder, capsys):
    os.mkfifo(folder / "train/dark/pipe.png")
    load_dataset("folder", folder)
    assert "1 that are no files" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_val_takes_the_place_of_a_test_that_is_missing(name, folder, capsys):
    tested = load_dataset("folder", folder).test_images
    (folder / "test").rename(folder / name)
    found = load_dataset("folder", folder)
    assert np.array_equal(found.test_images, tested)
    assert (found.part, found.watched_name) == ("test", "validation")
    assert f"{name}/ takes the place of test/, which is not there" in capsys.readouterr().out
    held = found.hold_out(4)
    assert (held.part, held.watched_name) == ("validation", "held-out")
    shutil.copytree(folder / name, folder / "test")
    assert load_dataset("folder", folder).watched_name == "test"
    assert f"{name}/ is not read" in capsys.readouterr().out


def test_a_class_without_images_says_what_was_passed_over(folder):
    for path in (folder / "train/dark").iterdir():
        path.rename(path.with_suffix(".svg"))
    with pytest.raises(UserError, match=r"dark has no images: .*\(passed over: \d+ \(\d+ of .svg"):
        load_dataset("folder", folder)


@pytest.mark.parametrize(
    ("bits", "says"),
    [(12, "00.png has levels up to 63000: image_bits=12 holds them up to 4095"),
     (7, "image_bits=7 is out of range: expected 8 to 16"),
     ("12", "image_bits='12' is no integer")],
)  # fmt: skip
def test_bits_that_do_not_hold_the_images_are_refused(bits, says, folder):
    put(folder, RAMP * 1000)
    with pytest.raises(UserError, match=says):
        load_dataset("folder", folder, image_bits=bits)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [(RAMP.astype(np.float32) / 64, "no integers"),
     (RAMP.astype(np.int32) - 10, "levels from -10 to 53")],
)  # fmt: skip
def test_pixels_that_are_no_grey_levels_are_refused(pixels, says, folder):
    put(folder, pixels, "tif")
    with pytest.raises(UserError, match=f"00.tif cannot be read .*{says}"):
        load_dataset("folder", folder)


def test_all_kinds_in_all_folders_of_a_class_are_read_and_what_is_not_is_said(folder, capsys):
    (folder / "train/dark/further/.checkpoints").mkdir(parents=True)
    for ending in ("webp", "bmp", "gif", "TIF", "ppm"):
        Image.fromarray(draw(8, 8, 99)).save(folder / f"train/dark/further/a.{ending}")
    image = folder / "train/dark/00.png"
    for place in ("train/dark/further/.checkpoints/00.png", "train/00.png"):
        shutil.copy(image, folder / place)
    (folder / "test/dark/notes.txt").write_text("dear")
    (folder / "test/dark/circle").symlink_to(folder)
    assert len(load_dataset("folder", folder).train_images) == 32 + 5
    said = capsys.readouterr().out
    assert "passed over: 3 (1 in no folder of a class, 1 links to folders, 1 of .txt)" in said


def test_all_damaged_files_are_named_at_once_ten_and_a_count(folder):
    paths = sorted((folder / "train").rglob("*.png"))[:14]
    for k, path in enumerate(paths):
        path.write_bytes(path.read_bytes()[: 60 * (k % 2)])
    with pytest.raises(UserError) as refusal:
        load_dataset("folder", folder)
    sentence = str(refusal.value)
    assert is_one_sentence(sentence)
    assert [str(path) in sentence for path in paths] == [True] * 10 + [False] * 4
    assert "14 files" in sentence
    assert "and 4 more" in sentence
