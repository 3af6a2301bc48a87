"""Images that stream: batches as of those in memory, and what is said where a file is gone."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from image_folders import draw as drawn
from image_folders import write
from PIL import Image
from prepared import DIGIT, draw, prepare
from sentences import refused

from skt_tf.data import sources, statistics
from skt_tf.data.batches import training_batches
from skt_tf.data.datasets import Dataset, load_dataset
from skt_tf.data.lazy_images import LazyImages
from skt_tf.models.evaluation import accuracies, probabilities
from skt_tf.models.resnet import resnet
from skt_tf.training.kept_targets import keep_targets
from skt_tf.utils.errors import behind

JPEG = {"shape": (20, 28, 3), "encode": tf.io.encode_jpeg, "name": "drawn"}


def folder(place, **options):
    write(place, sizes=((20, 28),), channels=3)
    return "folder", place


def tfrecords(place, **options):
    shape = options.get("shape", DIGIT)
    prepare(place, draw(70, shape), draw(30, shape), **options)
    return options.get("name", "mnist"), place


SOURCES = {
    "folder": (folder, {}),
    "png": (tfrecords, {}),
    "several files": (tfrecords, {"files": 3, **JPEG}),
    "array_record": (tfrecords, {"files": 2, "form": "array_record"}),
}


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    """The name and the place of a dataset, of each kind."""
    write, options = SOURCES[request.param]
    return write(tmp_path, **options)


def batches(dataset, steps=6, **options):
    return [
        [part.numpy() for part in tf.nest.flatten(batch)]
        for batch in training_batches(dataset, 16, 3, steps, stream=1, **options)
    ]


def same(one, other):
    return all(
        np.array_equal(*pair) for parts in zip(one, other, strict=True) for pair in zip(*parts)
    )


def both(*args, **options):
    return [load_dataset(*args, stream=stream, **options) for stream in (False, True)]


OPTIONS = {
    "folder": ({"mirror": True}, {"image_size": (9, 12)}),
    "png": ({"crop": "none"}, {"crop": "resized", "image_size": 16}),
    "several files": ({"mirror": True}, {"crop": "resized", "image_size": 16}),
    "array_record": ({"image_size": (9, 12)}, {"crop": "resized", "image_size": (8, 16)}),
}


@pytest.mark.parametrize(
    ("source", "options"),
    [(kind, some) for kind, each in OPTIONS.items() for some in each],
    indirect=["source"],
)
def test_the_batches_are_those_of_images_in_memory(source, options):
    held, streamed = both(*source, **options)
    assert isinstance(streamed.train_images, LazyImages)
    assert same(batches(held), batches(streamed))
    assert same(batches(streamed)[4:], batches(streamed, start=4))
    for name in ("train_labels", "test_labels", "mean", "variance", "class_names", "mirrored"):
        assert np.array_equal(getattr(held, name), getattr(streamed, name)), name
    assert np.array_equal(held.test_images, streamed.test_images)
    assert same(held.watched_batches(), streamed.watched_batches())
    assert held.identity.is_of(streamed.digest)
    assert streamed.identity.is_of(held.digest)


def test_what_is_made_of_a_dataset_streams_too(source):
    held, streamed = (each.hold_out(10) for each in both(*source))
    for one, other in ((held, streamed), (held.first(20), streamed.first(20))):
        assert isinstance(other.validation_images, LazyImages)
        assert np.array_equal(one.validation_images, other.validation_images)
        assert np.array_equal(one.sample(7), other.sample(7))
        assert same(batches(one), batches(other))
        assert one.identity.is_of(other.digest)
        assert other.identity.is_of(one.digest)
    assert streamed.digest != streamed.first(20).digest


def test_networks_are_judged_and_targets_kept_as_with_images_in_memory(tmp_path):
    prepare(tmp_path, draw(40, (8, 8, 1)), draw(30, (8, 8, 1)), shape=(8, 8, 1), name="drawn")
    held, streamed = (each.hold_out(10) for each in both("drawn", tmp_path))
    teacher = resnet(8, 10, (8, 8, 1), 2, normalization=([128.0], [5000.0]), seed=1)
    assert accuracies(teacher, held) == accuracies(teacher, streamed)
    answers = [probabilities(teacher, each.test_images) for each in (held, streamed)]
    assert np.array_equal(*answers)
    flows = (("p0", "p1"),)
    for crop in ("pad", "resized"):
        files, found = [], []
        for number, dataset in enumerate((held, streamed)):
            dataset = dataclasses.replace(dataset, crop=crop)
            path = tmp_path / f"{crop}{number}"
            kept = keep_targets(teacher, flows, dataset, 2, 5, path, batch_size=8)
            found.append(batches(dataset, kept=kept, flows=flows))
            files.append(path.read_bytes())
        assert files[0] == files[1]
        assert same(*found)


def test_the_memory_that_is_free_decides_and_why_is_said(source, monkeypatch, capsys):
    name, place = source
    number = len(load_dataset(name, place).train_images)
    assert "stream" not in capsys.readouterr().out
    monkeypatch.setattr(sources, "free_memory", lambda: 1000)
    assert len(load_dataset(name, place).train_images) == number
    assert "stream from the disk, since they need" in capsys.readouterr().out
    assert isinstance(load_dataset(name, place, stream=False).train_images, np.ndarray)
    load_dataset(name, place, stream=True)
    assert "stream from the disk, as stream says" in capsys.readouterr().out


def test_to_find_a_folder_no_image_is_decoded(tmp_path, monkeypatch):
    folder(tmp_path)
    decoded = []
    monkeypatch.setattr(Image.Image, "load", lambda image: decoded.append(image))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: decoded.append(image))
    assert load_dataset("folder", tmp_path, stream=True).image_shape == (20, 28, 3)
    assert not decoded


def test_sizes_are_those_of_photographs_as_they_are_held(tmp_path):
    folder(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in tmp_path.rglob("*.jpg"):
        Image.fromarray(drawn(28, 20, 3, 3)).save(path, exif=exif)
    held, streamed = both("folder", tmp_path)
    assert streamed.image_shape == held.image_shape == (20, 28, 3)
    assert np.array_equal(held.train_images, streamed.train_images)


def test_images_of_several_sizes_are_refused_before_they_are_read(tmp_path):
    write(tmp_path)
    with refused(r"shapes \(20, 28, 1\) and \(25, 31, 1\): give image_size"):
        load_dataset("folder", tmp_path, stream=True)
    assert load_dataset("folder", tmp_path, 8, stream=True).image_shape == (8, 8, 1)


def test_prepared_images_of_several_sizes_are_refused_too(tmp_path):
    prepare(
        tmp_path, draw(40, DIGIT, (20, 30, 1)), draw(20, DIGIT), shape=(None, None, 1), name="drawn"
    )
    with refused(r"shapes \(28, 28, 1\) and \(20, 30, 1\): give image_size"):
        load_dataset("drawn", tmp_path, stream=True)
    held, streamed = both("drawn", tmp_path, 8)
    assert same(batches(held), batches(streamed))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "changed since"),
        (lambda path: Image.fromarray(drawn(20, 28, 7, 3)).save(path), "changed since"),
    ],
    ids=["gone", "cut short", "another"],
)
def test_a_file_that_is_no_longer_the_same_is_named(change, says, tmp_path):
    folder(tmp_path)
    dataset = load_dataset("folder", tmp_path, stream=True)
    path = tmp_path / "train/dark/03.jpg"
    change(path)
    with refused(f"{path} cannot be read as an image .*{says}"):
        dataset.train_images[3]
    with pytest.raises(tf.errors.OpError):
        batches(dataclasses.replace(dataset, crop="none"))
    assert str(path) in str(dataset.failure)


def test_a_file_that_is_written_again_is_the_same_and_so_is_a_copy(tmp_path):
    folder(tmp_path / "one")
    folder(tmp_path / "two")
    one, two = (load_dataset("folder", tmp_path / name, stream=True) for name in ("one", "two"))
    assert one.digest == two.digest
    path = tmp_path / "one/train/dark/03.jpg"
    path.write_bytes(path.read_bytes())
    assert np.array_equal(one.train_images[3], two.train_images[3])
    Image.fromarray(drawn(20, 28, 7, 3)).save(path)
    assert load_dataset("folder", tmp_path / "one", stream=True).digest != two.digest


@pytest.mark.parametrize("ending", ["bmp", "ppm", "tif"])
def test_a_change_in_the_middle_of_an_uncompressed_file_is_seen(ending, tmp_path):
    """Its length and its ends stay, as do those of images with a margin."""
    for split, label, k in itertools.product(("train", "test"), ("dark", "light"), range(3)):
        path = tmp_path / split / label / f"{k}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 64, 3), 40 * k, np.uint8)).save(path)
    dataset = load_dataset("folder", tmp_path, stream=True)
    path, before = tmp_path / f"train/dark/1.{ending}", dataset.digest
    changed = bytearray(path.read_bytes())
    changed[6000] ^= 255
    path.write_bytes(changed)
    assert load_dataset("folder", tmp_path, stream=True).digest != before
    with refused("changed since"):
        dataset.train_images[1]


def test_an_error_that_is_over_is_not_blamed_for_another(tmp_path):
    folder(tmp_path)
    dataset = load_dataset("folder", tmp_path, stream=True)
    path = tmp_path / "train/dark/03.jpg"
    path.rename(tmp_path / "aside")
    with pytest.raises(tf.errors.OpError) as error:
        batches(dataclasses.replace(dataset, crop="none"))
    assert behind(error.value, dataset.failure) is dataset.failure
    other = tf.errors.ResourceExhaustedError(None, None, "no memory")
    assert behind(other, dataset.failure) is None
    assert behind(other, None) is None


@pytest.mark.parametrize("stat", ["inactive_file 300", "cache 7\ntotal_inactive_file 300"])
def test_what_a_container_leaves_counts_too(stat, tmp_path, monkeypatch):
    machine = sources.free_memory()
    names = [tmp_path / name for name in ("limit", "used", "stat")]
    monkeypatch.setattr(sources, "_CONTAINERS", (names, [tmp_path / "none"] * 3))
    assert sources.free_memory() == pytest.approx(machine, rel=0.5)
    for name, text in zip(names, ("5000\n", "2000\n", f"anon 1\n{stat}\nshmem 5\n")):
        name.write_text(text)
    assert sources.free_memory() == 5000 - 2000 + 300
    names[0].write_text("max\n")
    assert sources.free_memory() > 1e6


def test_damaged_files_are_told_at_load_by_their_heads_and_else_when_they_are_read(tmp_path):
    folder(tmp_path)
    bad, cut = (tmp_path / f"train/dark/0{k}.jpg" for k in (2, 3))
    cut.write_bytes(cut.read_bytes()[:700])
    dataset = load_dataset("folder", tmp_path, stream=True)
    with refused(f"{cut} cannot be read as an image .*mend it, or take it out"):
        dataset.train_images[:8]
    bad.write_bytes(b"no image")
    with refused(f"{bad} cannot be read as an image"):
        load_dataset("folder", tmp_path, stream=True)


def test_a_record_that_has_changed_is_named(tmp_path):
    path = prepare(tmp_path, draw(40, DIGIT), draw(20, DIGIT))
    dataset = load_dataset("mnist", tmp_path, stream=True)
    content = path.read_bytes()
    path.write_bytes(content[:2000])
    with refused(f"record 39 of {path} of dataset 'mnist' cannot be read .*changed since"):
        dataset.train_images[39]
    path.write_bytes(content[:-3000] + bytes(2999) + content[-1:])
    with refused("'mnist' cannot be read .*corrupted"):
        load_dataset("mnist", tmp_path, stream=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stream": "yes"}, "stream='yes': expected True, False or None"),
        ({"stream": True}, "digits are built in and lie in memory"),
        ({"crop": "resized"}, "crop=resized needs image_size"),
        ({"crop": "middle"}, "crop='middle' is unknown: expected one of pad, none, resized"),
    ],
)
def test_what_cannot_be_is_refused(options, says):
    with refused(says):
        load_dataset("digits", **options)


def test_a_large_dataset_has_the_mean_of_some_images_in_memory_or_not(source, monkeypatch):
    monkeypatch.setattr(statistics, "MOST_PIXELS", 20 * 28 * 40)
    held, streamed = both(*source)
    some = held.train_images[np.linspace(0, len(held.train_images) - 1, 28).round().astype(int)]
    number = statistics.MOST_PIXELS // np.prod(held.image_shape[:2])
    assert np.array_equal(held.mean, streamed.mean)
    assert np.array_equal(held.variance, streamed.variance)
    if number == 28:
        assert held.mean == pytest.approx(some.mean(axis=(0, 1, 2), dtype=np.float64))


def test_images_that_stream_answer_as_an_array_does(tmp_path):
    held, streamed = (each.train_images for each in both(*folder(tmp_path)))
    assert (streamed.shape, streamed.dtype, streamed.ndim) == (held.shape, held.dtype, held.ndim)
    assert streamed.size == held.size
    for chosen in (3, -1, slice(2, 9), slice(None, None, 5), [4, 4, 0], np.array([7])):
        assert np.array_equal(streamed[chosen], held[chosen])
    with pytest.raises(IndexError):
        streamed[len(held)]
    assert np.array_equal(tf.convert_to_tensor(streamed), held)


def test_arrays_of_ones_own_are_cropped_to_their_own_size():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (8, 12, 12, 3), np.uint8)
    labels = np.arange(8) % 2
    dataset = Dataset("mine", images, labels, images, labels, 2, True, crop="resized")
    (found, _), *_ = batches(dataset, steps=1)
    assert found.shape == (16, 12, 12, 3)
    assert dataset.test_images is images
