"""Images, and the batches a stage is trained on."""

import itertools
import socket

import numpy as np
import pytest
import requests
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentences import refused

from skt_tf.data import tfds
from skt_tf.data.batches import draw_moves, move, training_batches
from skt_tf.data.datasets import Dataset, load_dataset
from skt_tf.utils.errors import UserError


def indexed(number):
    """8×8 images of one colour, which is their index, and so are their labels."""
    index = np.arange(number)
    images = np.broadcast_to(index[:, None, None, None], (number, 8, 8, 1)).astype(np.uint8)
    return Dataset("indexed", images, index.astype(np.int32), images, index, max(2, number), False)


def drawn(dataset, batch_size, seed, steps, **settings):
    """The indices of the images of each batch: the margin is one pixel, the centre is kept."""
    batches = training_batches(dataset, batch_size, seed, steps, **settings)
    return [images[:, 4, 4, 0] for images, _ in batches.as_numpy_iterator()]


def same(some, others):
    return all(
        np.array_equal(a, b)
        for pair in zip(some, others, strict=True)
        for a, b in zip(*pair, strict=True)
    )


def batches(dataset, batch_size, seed, steps, **settings):
    return list(training_batches(dataset, batch_size, seed, steps, **settings).as_numpy_iterator())


def test_digits_are_split_into_1437_training_and_360_test_images(digits):
    assert digits.train_images.shape == (1437, 8, 8, 1)
    assert digits.test_images.shape == (360, 8, 8, 1)
    assert digits.train_images.dtype == digits.test_images.dtype == np.uint8
    assert digits.train_labels.dtype == digits.test_labels.dtype == np.int32
    assert (digits.train_labels.shape, digits.test_labels.shape) == ((1437,), (360,))
    assert (digits.image_shape, digits.num_classes, digits.mirrored) == ((8, 8, 1), 10, False)
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 255)


def test_digits_are_scikit_learns_each_once_and_with_its_label(digits):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(np.float64(bunch.images) * 255 / 16)
    expected = sorted((image.tobytes(), int(k)) for image, k in zip(images, bunch.target))
    parts = ((digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels))
    seen = sorted(
        (np.float64(image[..., 0]).tobytes(), int(k)) for pair in parts for image, k in zip(*pair)
    )
    assert seen == expected


def test_the_split_of_digits_is_stratified_and_always_the_same(digits):
    everything = np.bincount(np.concatenate([digits.train_labels, digits.test_labels]))
    tested = np.bincount(digits.test_labels, minlength=10)
    assert np.abs(tested - everything * 360 / 1797).max() < 1
    again = load_dataset("digits")
    assert np.array_equal(again.train_images, digits.train_images)
    assert np.array_equal(again.test_labels, digits.test_labels)


def test_mean_and_variance_are_those_of_float64(digits):
    random = np.random.default_rng(0)
    bright = random.integers(200, 256, (300, 9, 7, 1), np.uint8)
    dark = random.integers(0, 30, (300, 9, 7, 2), np.uint8)
    images, labels = np.concatenate([bright, dark], axis=3), np.zeros(300, np.int32)
    coloured = Dataset("coloured", images, labels, images, labels, 2, True)
    for dataset in (digits, coloured):
        exact = dataset.train_images.astype(np.float64)
        assert dataset.mean == pytest.approx(exact.mean(axis=(0, 1, 2)), rel=1e-12)
        assert dataset.variance == pytest.approx(exact.var(axis=(0, 1, 2)), rel=1e-9)


@settings(max_examples=15)
@example(number=50, batch_size=8, seed=0, stream=0)
@example(number=7, batch_size=20, seed=0, stream=0)
@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 2**31 - 1), st.integers(0, 9))
def test_every_image_is_drawn_once_an_epoch(number, batch_size, seed, stream):
    steps = -(-4 * number // batch_size)
    order = np.concatenate(drawn(indexed(number), batch_size, seed, steps, stream=stream))
    epochs = [order[k * number : (k + 1) * number] for k in range(4)]
    assert all(sorted(epoch) == list(range(number)) for epoch in epochs)


def test_another_epoch_has_another_order_and_none_is_that_of_the_files():
    epochs = [tuple(epoch) for epoch in drawn(indexed(50), 50, 0, 6)]
    assert len({*epochs, tuple(range(50))}) == 7
    # A permutation leaves one image in its place on average.
    fixed = [np.sum(np.array(a) == b) for a, b in itertools.combinations(epochs, 2)]
    assert np.mean(fixed) < 3


def test_images_keep_their_labels():
    for images, labels in batches(indexed(50), 16, 0, 8):
        assert images.shape == (16, 8, 8, 1)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        assert np.array_equal(images[:, 4, 4, 0], labels)


def test_a_stage_has_as_many_batches_as_iterations():
    assert len(batches(indexed(5), 2, 0, 9)) == 9
    assert len(batches(indexed(5), 2, 0, 9, start=7)) == 2


@pytest.mark.parametrize("start", [1, 5, 11])
def test_starting_later_goes_on_where_the_first_run_stopped(digits, start):
    whole = batches(digits, 150, 3, 12, stream=2)
    assert same(batches(digits, 150, 3, 12, stream=2, start=start), whole[start:])


def test_a_batch_depends_on_seed_stream_and_iteration_alone(digits):
    tf.random.set_seed(1)
    first = batches(digits, 32, 3, 4, stream=1)
    tf.random.set_seed(2)
    assert same(batches(digits, 32, 3, 9, stream=1)[:4], first)


@pytest.mark.parametrize(("seed", "stream"), [(4, 1), (3, 2), (1, 3)])
def test_another_seed_or_stream_draws_other_images(seed, stream):
    dataset = indexed(200)
    assert drawn(dataset, 16, 3, 1, stream=1)[0].tolist() != (
        drawn(dataset, 16, seed, 1, stream=stream)[0].tolist()
    )


def test_an_image_is_cropped_anew_each_time():
    dataset = indexed(1)
    dataset.train_images[0, :, :, 0] = np.arange(64).reshape(8, 8)
    crops = {image.tobytes() for images, _ in batches(dataset, 32, 0, 4) for image in images}
    assert len(crops) == 9


def offsets(image, result, colour, margin):
    """Every (top, left, mirrored) of a padded crop that gives `result`."""
    height, width, channels = image.shape
    padded = np.empty((height + 2 * margin, width + 2 * margin, channels), np.uint8)
    padded[:] = colour
    padded[margin : margin + height, margin : margin + width] = image
    found = []
    for top in range(2 * margin + 1):
        for left in range(2 * margin + 1):
            crop = padded[top : top + height, left : left + width]
            for mirrored in (False, True):
                if np.array_equal(crop[:, ::-1] if mirrored else crop, result):
                    found.append((top, left, mirrored))
    return found


def unlabelled(images, mirrored):
    """A dataset of images all of one class."""
    labels = np.zeros(len(images), np.int32)
    return Dataset("some", images, labels, images, labels, 2, mirrored)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("size", "margin"), [((8, 8), 1), ((16, 20), 2)])
def test_augmented_images_are_crops_of_the_padded_ones(size, margin, mirrored):
    number = 600
    images = np.random.default_rng(0).integers(0, 256, (number, *size, 3), np.uint8)
    dataset = unlabelled(images, mirrored)
    colour = np.rint(images.mean(axis=(0, 1, 2)))
    results = move(tf.constant(images), draw_moves(number, dataset, [5, 6]), dataset).numpy()
    assert (results.shape, results.dtype) == (images.shape, np.uint8)
    found = [offsets(a, b, colour, margin) for a, b in zip(images, results)]
    assert all(len(places) == 1 for places in found)
    counts = np.zeros((2 * margin + 1, 2 * margin + 1, 2), int)
    for ((top, left, flipped),) in found:
        counts[top, left, int(flipped)] += 1
    used = counts if mirrored else counts[:, :, :1]
    assert counts.sum() == used.sum() == number
    # Uniform and independent draws: far from it if a choice were shared or left out.
    expected = number / used.size
    assert np.abs(used - expected).max() < 5 * np.sqrt(expected)


def test_augmentation_depends_on_its_seed_alone():
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), np.uint8)
    dataset = unlabelled(images, True)
    one, same_one, other = (
        move(tf.constant(images), draw_moves(32, dataset, seed), dataset).numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert np.array_equal(one, same_one)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("mirrored", [False, True])
def test_batches_are_padded_with_the_mean_colour_and_mirrored_where_allowed(mirrored):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    images[..., 0] //= 4
    labels = np.arange(40, dtype=np.int32)
    dataset = Dataset("some", images, labels, images, labels, 40, mirrored)
    colour = np.rint(images.astype(np.float64).mean(axis=(0, 1, 2)))
    seen = set()
    for results, labels in batches(dataset, 40, 0, 5):
        for result, label in zip(results, labels):
            (place,) = offsets(images[label], result, colour, 1)
            seen.add(place)
    assert len(seen) == 18 if mirrored else {flipped for _, _, flipped in seen} == {False}


def test_an_unknown_dataset_is_refused_with_close_ones():
    with refused(r"'cifar' is neither .* \(did you mean cifar10 or"):
        load_dataset("cifar")


@pytest.mark.parametrize("name", ["cifar10", "digits"])
def test_a_folder_of_data_that_is_none_is_refused(name, tmp_path):
    (tmp_path / "file").touch()
    for path in ("none", "file"):
        with refused(f"{path} does not exist: expected a folder"):
            load_dataset(name, tmp_path / path)


def no_network(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


@pytest.fixture
def failing_download(monkeypatch):
    """Lets no download begin: each one fails at once, with a reason of two lines."""
    import tensorflow_datasets as tfds

    def fail(*args, **kwargs):
        raise OSError("the line was cut\nand a second line")

    monkeypatch.setattr(tfds.download.DownloadManager, "download", fail)
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fail)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def refusal(name, folder):
    """The one sentence with which `load_dataset` refuses."""
    with pytest.raises(UserError) as error:
        load_dataset(name, folder)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert all(part in sentence for part in (f"'{name}'", f"tfds build {name}", "data_dir"))
    return sentence


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_without_a_network_missing_data_is_refused_at_once(
    name, tmp_path, monkeypatch, failing_download
):
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    sentence = refusal(name, tmp_path)
    assert str(tmp_path / name) in sentence
    assert "cannot be reached" in sentence
    assert "the line was cut" not in sentence


def test_a_download_that_fails_is_refused_with_its_reason(tmp_path, monkeypatch, failing_download):
    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: None)
    sentence = refusal("cifar10", tmp_path)
    assert "the line was cut" in sentence
    assert "second line" not in sentence


def test_a_proxy_that_is_dead_or_silent_is_named_soon(tmp_path, monkeypatch, failing_download):
    monkeypatch.setattr(tfds, "_PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], 9):
            monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{port}")
            said = refusal("cifar10", tmp_path)
            assert f"cannot be reached through the proxy 127.0.0.1:{port})" in said


def test_a_version_that_is_there_is_named(tmp_path, monkeypatch, failing_download):
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    (tmp_path / "cifar10/3.0.1").mkdir(parents=True)
    (tmp_path / "cifar10/3.0.1/dataset_info.json").write_text("{}")
    assert "version 3.0.1 is there, as 'cifar10:3.0.1'" in refusal("cifar10", tmp_path)


def test_a_folder_whose_files_are_damaged_is_refused(tmp_path, failing_download):
    folder = tmp_path / "cifar10" / "3.0.2"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text('{"name": "cifar10", "moduleName"')
    (folder / "features.json").write_text("{")
    assert str(tmp_path) in refusal("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "mirrored", "more"),
    [
        ("cifar10", (32, 32, 3), 10, True, {"id": "x"}),
        ("cifar100", (32, 32, 3), 100, True, {"id": "x", "coarse_label": 3}),
        ("mnist", (28, 28, 1), 10, False, {}),
        ("svhn_cropped", (32, 32, 3), 10, False, {"id": "x"}),
    ],
)
def test_a_dataset_is_prepared_once_and_then_read_without_a_network(
    tmp_path, monkeypatch, failing_download, name, shape, classes, mirrored, more
):
    import tensorflow_datasets as tfds

    random = np.random.default_rng(0)
    sizes = {"train": 7, "test": 4}
    images = {part: random.integers(0, 256, (n, *shape), np.uint8) for part, n in sizes.items()}
    labels = {part: random.integers(0, classes, n) for part, n in sizes.items()}

    def examples(part):
        for k, (image, label) in enumerate(zip(images[part], labels[part])):
            yield k, {"image": image, "label": int(label), **more}

    def split_generators(builder, manager):
        return {part: examples(part) for part in sizes}

    monkeypatch.setattr(tfds.builder_cls(name), "_split_generators", split_generators)
    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: None)
    load_dataset(name, str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    dataset = load_dataset(name, str(tmp_path))

    assert (dataset.name, dataset.num_classes, dataset.mirrored) == (name, classes, mirrored)
    read = {
        "train": (dataset.train_images, dataset.train_labels),
        "test": (dataset.test_images, dataset.test_labels),
    }
    for part, (seen_images, seen_labels) in read.items():
        assert (seen_images.dtype, seen_labels.dtype) == (np.uint8, np.int32)
        assert seen_images.shape == (sizes[part], *shape)
        pairs = sorted((image.tobytes(), int(k)) for image, k in zip(seen_images, seen_labels))
        assert pairs == sorted((i.tobytes(), int(k)) for i, k in zip(images[part], labels[part]))


@pytest.mark.parametrize("number", [9, 1428])
def test_so_many_are_held_out_that_each_class_is_on_both_sides(number, digits):
    with refused(f"number={number} .* expected 10 to 1427"):
        digits.hold_out(number)
    for possible in (10, 1427):
        held = digits.hold_out(possible)
        assert len(held.validation_labels) == possible
        for labels in (held.train_labels, held.validation_labels):
            assert set(labels) == set(range(10))


def test_images_are_held_out_once(digits):
    with refused("'digits' has validation images: give one without"):
        digits.hold_out(100).hold_out(50)


def test_held_out_images_keep_each_class_s_share_and_are_not_trained_on(digits):
    held = digits.hold_out(144)
    assert len(held.validation_images) == len(held.validation_labels) == 144
    assert len(held.train_images) == len(digits.train_images) - 144
    together = sorted(
        (image.tobytes(), int(label))
        for images, labels in (
            (held.train_images, held.train_labels),
            (held.validation_images, held.validation_labels),
        )
        for image, label in zip(images, labels)
    )
    pairs = zip(digits.train_images, digits.train_labels)
    assert together == sorted((image.tobytes(), int(label)) for image, label in pairs)
    shares = np.bincount(digits.train_labels) * 144 / len(digits.train_labels)
    assert np.abs(np.bincount(held.validation_labels) - shares).max() < 1
    # The same ones every time, and the test images untouched.
    again = digits.hold_out(144)
    assert again.validation_images.tobytes() == held.validation_images.tobytes()
    assert held.test_images is digits.test_images
    assert held.watched == (held.validation_images, held.validation_labels)
    assert digits.watched == (digits.test_images, digits.test_labels)
