"""Random resized crops against their published definition, and the middle that is tested on."""

import math

import numpy as np
import pytest
from image_folders import draw, write
from PIL import Image

from skt_tf.data import crops
from skt_tf.data.batches import draw_moves, training_batches
from skt_tf.data.datasets import load_dataset
from skt_tf.data.images import mirrored_by_default

SIZES = ((375, 500), (500, 375), (224, 224), (100, 1000), (1000, 100), (7, 5))


def published(height, width, random):
    """(top, left, height, width) as torchvision's RandomResizedCrop.get_params has it."""
    area = height * width
    log_ratio = np.log([3 / 4, 4 / 3])
    for _ in range(10):
        target = area * random.uniform(0.08, 1.0)
        aspect = math.exp(random.uniform(*log_ratio))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return (
                random.integers(0, height - h + 1),
                random.integers(0, width - w + 1),
                h,
                w,
            )
    ratio = width / height
    if ratio < 3 / 4:
        w, h = width, round(width / (3 / 4))
    elif ratio > 4 / 3:
        h, w = height, round(height * (4 / 3))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_drawn_as_published(size):
    random, number = np.random.default_rng(0), 4000
    expected = np.array([published(*size, random) for _ in range(number)], float)
    draws = random.random((number, crops.DRAWS - 1))
    found = np.array([crops.box(*size, one) for one in draws], float)
    assert (found[:, :2] >= 0).all()
    assert (found[:, :2] + found[:, 2:] <= size).all()
    shares = [boxes[:, 2] * boxes[:, 3] / math.prod(size) for boxes in (expected, found)]
    ratios = [np.log(boxes[:, 3] / boxes[:, 2]) for boxes in (expected, found)]
    measured = [shares, ratios, [b[:, 0] for b in (expected, found)]]
    for one, other in [*measured, [b[:, 1] for b in (expected, found)]]:
        # Kolmogorov and Smirnov's distance, which chance exceeds once in a million.
        at = np.concatenate([one, other])
        below = [np.searchsorted(np.sort(part), at, "right") / number for part in (one, other)]
        assert np.abs(below[0] - below[1]).max() < 2.7 * math.sqrt(2 / number)


def test_an_image_that_no_crop_fits_is_cut_at_its_middle():
    never = np.zeros(crops.DRAWS - 1)
    never[: 2 * crops.TRIES : 2] = 1 - 2**-32  # The whole area, as a square.
    never[1 : 2 * crops.TRIES : 2] = 0.5
    assert crops.box(100, 1000, never) == (0, 433, 100, 133)
    assert crops.box(1000, 100, never) == (433, 0, 133, 100)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_pillow_s_of_its_box(channels):
    image = np.random.default_rng(0).integers(0, 256, (60, 90, channels), np.uint8)
    bits = np.random.default_rng(1).integers(0, 2**32, (20, crops.DRAWS), np.uint32)
    for one in bits:
        top, left, height, width = crops.box(60, 90, one[:-1] / 2**32)
        whole = Image.fromarray(image.squeeze())
        cut = whole.crop((left, top, left + width, top + height))
        expected = np.asarray(cut.resize((32, 24), Image.Resampling.BILINEAR))
        expected = expected.reshape(24, 32, channels)
        assert np.array_equal(crops.cropped(image, (24, 32), one, False), expected)
        turned = expected[:, ::-1] if one[-1] % 2 else expected
        assert np.array_equal(crops.cropped(image, (24, 32), one, True), turned)


@pytest.mark.parametrize(
    ("shape", "size", "before"),
    [
        ((375, 500), (224, 224), (256, 341)),
        ((500, 375), (224, 224), (341, 256)),
        ((100, 100), (224, 224), (256, 256)),
        ((60, 90), (24, 32), (27, 40)),
        ((60, 61), (24, 32), (36, 37)),
    ],
)
def test_the_middle_of_the_larger_image_is_tested_on(shape, size, before):
    image = draw(*shape, 100, 3)
    larger = Image.fromarray(image).resize(before[::-1], Image.Resampling.BILINEAR)
    top, left = (round((b - s) / 2) for b, s in zip(before, size))
    expected = np.asarray(larger)[top : top + size[0], left : left + size[1]]
    assert np.array_equal(crops.middle(image, size), expected)


@pytest.mark.parametrize("stream", [False, True, None])
def test_images_of_any_sizes_are_cropped_in_memory_and_streaming(stream, tmp_path):
    write(tmp_path)  # Of three sizes.
    dataset = load_dataset("folder", tmp_path, 16, crop="resized", stream=stream)
    assert dataset.mirrored
    assert dataset.image_shape == (16, 16, 1)
    (images, labels), *_ = training_batches(dataset, 8, 0, 1)
    path = sorted((tmp_path / "train").rglob("*.jpg"))[0]
    row = list(labels).index(0)
    assert images[row].shape == (16, 16, 1)
    first = crops.middle(np.asarray(Image.open(path))[..., None], (16, 16))
    assert np.array_equal(dataset.train_images[0], first)
    assert len({image.numpy().tobytes() for image in images}) == 8


def test_half_of_the_crops_are_mirrored_unless_nothing_is():
    assert mirrored_by_default("folder", "resized")
    assert not mirrored_by_default("folder", "pad")
    dataset = load_dataset("digits", image_size=8, crop="resized", mirror=False)
    assert not dataset.mirrored
    moves = draw_moves(4000, dataset, [0, 1]).numpy()
    assert moves.shape == (4000, crops.DRAWS)
    assert np.mean(moves[:, -1] % 2) == pytest.approx(0.5, abs=0.05)
