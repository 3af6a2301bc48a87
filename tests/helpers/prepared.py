"""Datasets as TensorFlow Datasets would have prepared them, of drawn images."""

import numpy as np
import tensorflow as tf

DIGIT = (28, 28, 1)


def draw(number, *shapes, labels=range(10)):
    """`number` examples of random images in these shapes, and of these labels in turn."""
    random = np.random.default_rng(0)
    return [
        (random.integers(0, 256, shapes[k % len(shapes)], np.uint8), labels[k % len(labels)])
        for k in range(number)
    ]


def _encoded(image, label, encode):
    png = tf.train.BytesList(value=[encode(image).numpy()])
    number = tf.train.Int64List(value=[label])
    feature = {
        "image": tf.train.Feature(bytes_list=png),
        "label": tf.train.Feature(int64_list=number),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _write(path, records, form):
    if form == "tfrecord":
        with tf.io.TFRecordWriter(str(path)) as file:
            for record in records:
                file.write(record)
        return
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


def prepare(
    folder,
    train,
    test,
    shape=DIGIT,
    files=1,
    form="tfrecord",
    encode=tf.io.encode_png,
    name="mnist",
    tested="test",
    kinds=None,
    held=(),
):
    """Writes what TensorFlow Datasets would take for `name`, without its checks.

    Args:
        folder: of the datasets.
        train, test: lists of (image, label).
        shape: what it says of the images.
        files: over how many the examples of a split are spread.
        form: tfrecord or array_record.
        encode: of an image, to bytes.
        name: of the dataset; those that TensorFlow Datasets knows have a shape of their own.
        tested: the split of the test images.
        kinds: the features, where they are others than an image and its class.
        held: examples of a validation split beside the test split.

    Returns:
        The first file of the training images.
    """
    import tensorflow_datasets as tfds

    place = folder / name / "3.0.1"
    place.mkdir(parents=True)
    splits = []
    examples_of = {tested: test, "train": train} | ({"validation": held} if held else {})
    for split, examples in examples_of.items():
        parts = [examples[k::files] for k in range(files)]
        paths = [place / f"{name}-{split}.{form}-{k:05}-of-{files:05}" for k in range(files)]
        for path, part in zip(paths, parts):
            _write(path, [_encoded(*example, encode) for example in part], form)
        names = tfds.core.ShardedFileTemplate(
            dataset_name=name,
            data_dir=place,
            filetype_suffix=form,
            template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        )
        splits.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(part) for part in parts],
                num_bytes=sum(path.stat().st_size for path in paths),
                filename_template=names,
            )
        )
    kinds = kinds or {
        "image": tfds.features.Image(shape=shape),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    tfds.folder_dataset.write_metadata(
        data_dir=str(place),
        features=tfds.features.FeaturesDict(kinds),
        split_infos=splits,
        check_data=False,
    )
    return paths[0]
