"""Images that nothing can be trained on are refused in one sentence, and nothing is written."""

import numpy as np
import pytest
from command_line import attempts, check_refused

RUN = (
    "--dataset=mnist",
    "--teacher_depth=8",
    "--width=2",
    "--batch_size=8",
    "--methods=skt",
    "--teacher_steps=2",
    "--transfer_steps=2",
    "--task_steps=2",
    "--evaluations=1",
    "--output_dir=run",
)


DIGIT = (28, 28, 1)


def draw(number, *shapes, labels=range(10)):
    """`number` examples of random images in these shapes, and of these labels in turn."""
    random = np.random.default_rng(0)
    return [
        (random.integers(0, 256, shapes[k % len(shapes)], np.uint8), labels[k % len(labels)])
        for k in range(number)
    ]


def prepare(folder, train, test):
    """Writes what TensorFlow Datasets would take for MNIST, without its checks."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    place = folder / "mnist" / "3.0.1"
    place.mkdir(parents=True)
    splits = []
    for split, examples in {"train": train, "test": test}.items():
        path = place / f"mnist-{split}.tfrecord-00000-of-00001"
        with tf.io.TFRecordWriter(str(path)) as file:
            for image, label in examples:
                png = tf.train.BytesList(value=[tf.io.encode_png(image).numpy()])
                number = tf.train.Int64List(value=[label])
                feature = {
                    "image": tf.train.Feature(bytes_list=png),
                    "label": tf.train.Feature(int64_list=number),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                file.write(example.SerializeToString())
        names = tfds.core.ShardedFileTemplate(
            dataset_name="mnist",
            data_dir=place,
            filetype_suffix="tfrecord",
            template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        )
        splits.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(examples)],
                num_bytes=path.stat().st_size,
                filename_template=names,
            )
        )
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=DIGIT),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    tfds.folder_dataset.write_metadata(
        data_dir=str(place),
        features=features,
        split_infos=splits,
        supervised_keys=("image", "label"),
        check_data=False,
    )
    return place


FOLDERS = {
    "whole": (draw(40, DIGIT), draw(20, DIGIT)),
    "one_class": (draw(40, DIGIT, labels=[3]), draw(20, DIGIT)),
    "labels_too_large": (draw(40, DIGIT, labels=range(3, 13)), draw(20, DIGIT)),
    "negative_labels": (draw(40, DIGIT), draw(20, DIGIT, labels=[-1, 1])),
    "mixed_shapes": (draw(40, DIGIT, (20, 30, 1)), draw(20, DIGIT)),
    "small_images": (draw(40, (20, 20, 1)), draw(20, (20, 20, 1))),
    "empty": ([], draw(20, DIGIT)),
    "truncated": (draw(40, DIGIT), draw(20, DIGIT)),
    "changed": (draw(40, DIGIT), draw(20, DIGIT)),
    "gone": (draw(40, DIGIT), draw(20, DIGIT)),
}


REFUSED = {
    "one_class": ["all training images are of class 3", "two classes or more"],
    "labels_too_large": ["train_labels", "3 to 12", "0 to 9"],
    "negative_labels": ["test_labels", "-1 to 1", "0 to 9"],
    "mixed_shapes": ["different shapes"],
    "small_images": ["28,28,1", "20,20,1"],
    "empty": ["no data"],
    "truncated": ["expected to contain 40 elements"],
    "changed": ["corrupted"],
    "gone": ["No such file"],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """{folder: Attempt} of a run on each of FOLDERS."""
    place = tmp_path_factory.mktemp("prepared")
    for name, (train, test) in FOLDERS.items():
        prepared = prepare(place / "given" / name, train, test)
        (records,) = prepared.glob("*train*")
        content = records.read_bytes()
        middle = len(content) // 2
        if name == "truncated":
            records.write_bytes(content[:middle])
        elif name == "changed":
            flipped = bytes([content[middle] ^ 255])
            records.write_bytes(content[:middle] + flipped + content[middle + 1 :])
        elif name == "gone":
            records.unlink()
    cases = {name: [*RUN, f"--data_dir={name}"] for name in FOLDERS}
    return attempts(cases, place / "given", place)


def test_whole_images_of_one_channel_can_be_used(answers):
    done = answers["whole"].done
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("name", REFUSED)
def test_a_dataset_that_cannot_be_used_is_refused_in_one_sentence(name, answers):
    check_refused(answers[name], ["'mnist'", *REFUSED[name]])
