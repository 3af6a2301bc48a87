"""Images that nothing can be trained on are refused in one sentence."""

import numpy as np
import pytest
import tensorflow as tf
from prepared import DIGIT, draw, prepare
from sentences import refused

from skt_tf.data.datasets import Dataset, load_dataset
from skt_tf.methods.flow_weights import normalized_flow_weights
from skt_tf.models.points import dense_flows

GOOD = {
    "name": "mine",
    "train_images": np.zeros((6, 8, 8, 1), np.uint8),
    "train_labels": np.arange(6) % 3,
    "test_images": np.zeros((4, 8, 8, 1), np.uint8),
    "test_labels": np.arange(4) % 3,
    "num_classes": 3,
    "mirrored": False,
}


def test_arrays_of_one_s_own_can_be_used():
    assert Dataset(**GOOD).image_shape == (8, 8, 1)
    lists = {name: GOOD[name].tolist() for name in ("train_labels", "test_labels")}
    assert (
        Dataset(**{**GOOD, **lists, "test_images": tf.zeros((4, 8, 8, 1), tf.uint8)}).part == "test"
    )


def test_labels_and_names_become_what_training_takes():
    given = {"train_labels": GOOD["train_labels"].astype("uint8"), "mirrored": np.bool_(True)}
    made = Dataset(**{**GOOD, **given}, class_names=np.array(["a", "b", "c"]))
    assert made.train_labels.dtype == np.int32
    assert made.mirrored is True
    assert made.class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"validation_images": GOOD["test_images"]}, "expected both, or neither"),
        ({"validation_labels": GOOD["test_labels"]}, "expected both, or neither"),
        (
            {"validation_images": GOOD["test_images"] / 255, "validation_labels": [0, 1, 2, 0]},
            "^validation_images have shape .*float64: expected .*uint8",
        ),
        (
            {"validation_images": GOOD["test_images"], "validation_labels": [0, 1, 2, 3]},
            "^validation_labels are from 0 to 3: expected 0 to 2",
        ),
        (
            {"validation_images": np.zeros((1, 4, 4, 1), np.uint8), "validation_labels": [0]},
            "validation_images .4, 4, 1.: expected one shape",
        ),
        ({"class_names": ["a", "b"]}, "class_names has 2 names: expected one for each of the 3"),
    ],
)
def test_images_held_out_and_names_are_looked_at_as_the_others_are(held, says):
    with refused(says):
        Dataset(**GOOD, **held)


def test_no_class_is_held_out_whole():
    labels = np.repeat([0, 1], [100, 2])
    given = {"train_images": np.zeros((102, 8, 8, 1), np.uint8), "train_labels": labels}
    with refused("=100 leaves images of 1 of 2 classes to train on"):
        Dataset(**{**GOOD, **given, "num_classes": 2, "test_labels": [0, 1, 0, 1]}).hold_out(100)


def test_flows_are_normalised_on_images_alone(teacher, batch):
    given = tf.data.Dataset.from_tensor_slices(batch).batch(4)
    with refused("a batch of a tuple .* without labels"):
        normalized_flow_weights(teacher, dense_flows(), given)


@pytest.mark.parametrize("size", [0, (-4, 8), "32", 16.5, (8,), (16, 16, 3), (8, None)])
def test_a_size_that_no_image_has_is_refused(size):
    with refused("^image_size=.* expected pixels"):
        load_dataset("digits", image_size=size)


def test_sizes_and_paths_are_looked_at_before_images():
    assert load_dataset("digits", image_size=np.int64(16)).image_shape == (16, 16, 1)
    with refused("data_dir=5 is no path"):
        load_dataset("digits", 5)
    with refused("'5' is no number of images"):
        load_dataset("digits").hold_out("5")


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("train_images", np.full((6, 8, 8, 1), np.nan, np.float32), ["train_images", "float32"]),
        ("train_images", np.zeros((6, 8, 8), np.uint8), ["train_images", "(6, 8, 8)"]),
        ("train_images", np.zeros((0, 8, 8, 1), np.uint8), ["train_images", "one image or more"]),
        ("test_images", np.zeros((4, 9, 8, 1), np.uint8), ["(8, 8, 1)", "(9, 8, 1)"]),
        ("test_images", np.zeros((4, 8, 8, 3), np.uint8), ["(8, 8, 1)", "(8, 8, 3)"]),
        ("train_labels", np.arange(5) % 3, ["train_labels", "(5,)", "6 images"]),
        ("train_labels", np.eye(6)[:, :3], ["train_labels", "(6, 3)", "6 images"]),
        ("train_labels", np.full(6, np.nan), ["train_labels", "float64", "integer"]),
        ("train_labels", np.arange(6), ["train_labels", "0 to 5", "0 to 2"]),
        ("test_labels", -np.arange(4), ["test_labels", "-3 to 0", "0 to 2"]),
        ("num_classes", 1, ["1 classes", "two or more"]),
        ("num_classes", "4", ["4 classes", "two or more"]),
        ("crop", "padded", ["crop='padded' is unknown (did you mean pad?): expected one of pad"]),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(name, value, parts):
    with refused(None, *parts):
        Dataset(**{**GOOD, name: value})


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.full((4, 8, 8, 1), np.nan, np.float32), "images without NaN"),
        (np.zeros((4, 8, 8, 3), np.float32), r"\(8, 8, 3\) .* \(8, 8, 1\)"),
        (np.zeros((0, 8, 8, 1), np.float32), "at least one"),
    ],
)
def test_flows_cannot_be_normalised_on_images_that_are_none(images, says, teacher):
    with refused(says):
        normalized_flow_weights(teacher, dense_flows(), images)


def test_whole_images_of_one_channel_can_be_used(tmp_path):
    prepare(tmp_path, draw(40, DIGIT), draw(20, DIGIT))
    dataset = load_dataset("mnist", tmp_path)
    assert (len(dataset.train_images), dataset.image_shape) == (40, DIGIT)
    assert dataset.watched_name == "test"


def test_a_validation_split_takes_the_place_of_a_test_and_keeps_its_name(tmp_path, capsys):
    prepare(tmp_path, draw(40, DIGIT), draw(20, DIGIT), tested="validation")
    dataset = load_dataset("mnist", tmp_path)
    assert (len(dataset.test_images), dataset.part, dataset.watched_name) == (
        20, "test", "validation",
    )  # fmt: skip
    assert "no test split: its validation split takes the place" in capsys.readouterr().out


@pytest.mark.parametrize(("form", "stream"), [("tfrecord", None), ("tfrecord", True),
                                              ("array_record", None)])  # fmt: skip
def test_a_validation_split_takes_the_place_of_a_test_without_labels(
    form, stream, tmp_path, capsys
):
    unlabelled = draw(20, DIGIT, labels=[-1])
    prepare(tmp_path, draw(40, DIGIT), unlabelled, held=draw(30, DIGIT), form=form)
    dataset = load_dataset("mnist", tmp_path, stream=stream)
    assert dataset.watched_name == "validation"
    assert list(dataset.test_labels) == [k % 10 for k in range(30)]
    assert "a test split without labels" in capsys.readouterr().out


def test_a_labelled_test_split_is_taken_before_a_validation_split(tmp_path):
    prepare(tmp_path, draw(40, DIGIT), draw(20, DIGIT), held=draw(30, DIGIT))
    assert len(load_dataset("mnist", tmp_path).test_labels) == 20


def test_without_a_split_to_test_on_a_dataset_is_refused(tmp_path):
    prepare(tmp_path, draw(40, DIGIT), draw(20, DIGIT), tested="unlabelled")
    with refused("'mnist' has the splits .*: expected train, and test or validation"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (lambda f: {"image": f.Image(), "text": f.Text()}, "'mine' has the features image, text:"),
        (lambda f: {"image": f.Image(), "label": f.Scalar(np.int64)}, "the features image, label:"),
        (
            lambda f: {
                "image": f.Image(shape=DIGIT, dtype=np.uint16, encoding_format="png"),
                "label": f.ClassLabel(num_classes=10),
            },
            "'mine' has images of uint16: expected uint8",
        ),
    ],
    ids=["no label", "a number for a class", "uint16"],
)
def test_datasets_of_another_kind_are_refused(kinds, says, tmp_path):
    import tensorflow_datasets as tfds

    prepare(tmp_path, draw(4, DIGIT), draw(2, DIGIT), name="mine", kinds=kinds(tfds.features))
    with refused(says):
        load_dataset("mine", tmp_path)


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (draw(40, DIGIT, labels=[3]), [1, 2], "training images are of class 3.* two classes or"),
        (draw(40, DIGIT, labels=range(3, 13)), [1, 2], "train_labels .* 3 to 12.* 0 to 9"),
        (draw(40, DIGIT), [-1, 1], "test_labels .* -1 to 1.* 0 to 9"),
        (draw(40, DIGIT, (20, 30, 1)), [1, 2], "different shapes"),
        (draw(40, (20, 20, 1)), [1, 2], "28,28,1.*20,20,1|20,20,1.*28,28,1"),
        ([], [1, 2], "no data"),
    ],
    ids=["one class", "too large", "negative", "mixed shapes", "small images", "empty"],
)
def test_examples_that_cannot_be_used_are_refused(train, test, says, tmp_path):
    prepare(tmp_path, train, draw(20, DIGIT, labels=test))
    with refused(f"'mnist'.*{says}"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("truncated", "expected to contain 40 elements"),
        ("changed", "corrupted"),
        ("gone", "No such file"),
    ],
)
def test_files_that_are_damaged_are_refused(damage, says, tmp_path):
    records = prepare(tmp_path, draw(40, DIGIT), draw(20, DIGIT))
    content = records.read_bytes()
    middle = len(content) // 2
    flipped = bytes([content[middle] ^ 255])
    if damage == "gone":
        records.unlink()
    elif damage == "changed":
        records.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    else:
        records.write_bytes(content[:middle])
    with refused(f"'mnist'.*{says}"):
        load_dataset("mnist", tmp_path)
