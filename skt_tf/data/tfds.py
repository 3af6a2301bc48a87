"""Datasets of TensorFlow Datasets: those that have an image and a label."""

import contextlib
import math
import pathlib
import threading

import numpy as np
import requests

from skt_tf.data.images import gather, plain_name
from skt_tf.data.lazy_images import LazyImages
from skt_tf.data.prepared_records import PreparedSplit, has_index
from skt_tf.utils.errors import UserError, close_to, one_line, option

# Where TensorFlow Datasets downloads from; of others, the host of its own files.
_HOSTS = {
    "cifar10": "www.cs.toronto.edu",
    "cifar100": "www.cs.toronto.edu",
    "svhn_cropped": "ufldl.stanford.edu",
}
_OWN_HOST = "storage.googleapis.com"
# Seconds that it may take to answer.
_PATIENCE = 15


class Prepared:
    """One of TensorFlow Datasets, prepared if it was not, of which no image is decoded yet.

    Where there is no test split, the validation split takes its place, which is said.

    Args:
        name: of TensorFlow Datasets, such as `"cifar10"` or `"beans"`.
        data_dir: its folder, or None for its default.

    Attributes:
        class_names: a list.

    Raises:
        ValueError: no such dataset, one of another kind, or one that cannot be read.
    """

    def __init__(self, name, data_dir=None):
        import tensorflow_datasets as tfds

        self._name, self._other, self.where = name, "", f"dataset '{name}'"
        self._place = data_dir or "the default folder of TensorFlow Datasets"
        with self._reading():
            try:
                builder = tfds.builder(name, data_dir=data_dir)
            except tfds.core.registered.DatasetNotFoundError:
                raise UserError(_unknown(name, self._place)) from None
            self._place = builder.data_dir
            if not builder.is_prepared():
                self._other = _other_version(builder, name)
                _check_reachable(_HOSTS.get(plain_name(name).lower(), _OWN_HOST))
                builder.download_and_prepare()
            _check_features(builder, name)
            self._splits, self._builder = _splits(builder, name), builder
            self.test_name = self._splits[1]
            self._shape = tuple(builder.info.features["image"].shape)
            self.class_names = builder.info.features["label"].names

    def __len__(self):
        return sum(self._builder.info.splits[split].num_examples for split in self._splits)

    def bytes(self, size, resized):
        """Bytes of all pixels that would be held: brought to `size`, or for crops as they are.

        Where nothing tells the images' size, those of crops are None; of others the first tells.
        """
        shape = self._shape if size is None or resized else (*size, self._shape[2])
        if None in shape and not resized and not has_index(self._builder):
            with self._reading():
                found = next(iter(self._builder.as_dataset(split="train").take(1)))["image"].shape
            shape = [known or one for known, one in zip(shape, found)]
        return None if None in shape else len(self) * math.prod(shape)

    def in_memory(self, size):
        """((images, labels), (images, labels)) of training and test.

        Args:
            size: (height, width) to bring all images to; None where they have one size.

        Raises:
            ValueError: records that cannot be read, images of several sizes, or too many for
                memory.
        """
        with self._reading():
            return tuple(_read(self._builder, split, size) for split in self._splits)

    def streamed(self, size, middle):
        """Likewise with `LazyImages`; `middle` as of these."""
        with self._reading():
            splits = [PreparedSplit(self._builder, s, look=size is None) for s in self._splits]
            return tuple((LazyImages(s, None, size, middle), s.labels) for s in splits)

    @contextlib.contextmanager
    def _reading(self):
        try:
            yield
        except UserError:
            raise
        # TFDS passes on whatever its downloader, its file reader or TensorFlow raises.
        except Exception as error:
            raise UserError(
                f"dataset '{self._name}' cannot be read from {self._place} "
                f"({one_line(error)}{self._other}): prepare it with `tfds build {self._name}` on a "
                "machine with a network and give its folder as " + option("data_dir")
            ) from error


def _unknown(name, place):
    import tensorflow_datasets as tfds

    known = ["digits", "folder", *tfds.list_builders(with_community_datasets=False)]
    return (
        f"dataset '{name}' is neither digits nor folder, nor known to TensorFlow Datasets, nor "
        f"in {place}{close_to(name.split('/')[0], known, most=3)}: see `tfds.list_builders()`"
    )


def _check_features(builder, name):
    import tensorflow_datasets as tfds

    features = builder.info.features
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    has = features.keys() if isinstance(features, tfds.features.FeaturesDict) else ()
    if not all(key in has and isinstance(features[key], kind) for key, kind in kinds.items()):
        raise UserError(
            f"dataset '{name}' has the features {', '.join(sorted(has)) or 'of one tensor'}: "
            "expected an image and a label, for image classification"
        )
    if features["image"].np_dtype != np.uint8:
        raise UserError(
            f"dataset '{builder.name}' has images of {np.dtype(features['image'].np_dtype)}: "
            "expected uint8, grey levels 0…255"
        )


def _splits(builder, name):
    there = list(builder.info.splits)
    test = next((split for split in ("test", "validation") if split in there), None)
    if "train" not in there or test is None:
        raise UserError(
            f"dataset '{name}' has the splits {', '.join(there)}: expected train, and test or "
            "validation"
        )
    if test == "test" and "validation" in there and _is_unlabelled(builder, test):
        test = "validation"
        print(f"{name} has a test split without labels: its {test} split takes the place")
    elif test != "test":
        print(f"{name} has no test split: its {test} split takes the place")
    return "train", test


def _is_unlabelled(builder, split):
    """Whether the first example has no label, as where a challenge keeps those of its test."""
    import tensorflow_datasets as tfds

    if has_index(builder):
        return builder.as_data_source(split)[0]["label"] < 0
    first = builder.as_dataset(
        split=f"{split}[:1]", decoders=tfds.decode.PartialDecoding({"label": True})
    )
    return any(example["label"] < 0 for example in tfds.as_numpy(first))


def _read(builder, split, size):
    """(images, labels) of all examples, as NumPy arrays, in the order of the files."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    number = builder.info.splits[split].num_examples
    if has_index(builder):
        source = PreparedSplit(builder, split, look=False)
        return gather(source.each(range(number)), number, size, source.where), source.labels
    examples = builder.as_dataset(
        split=split, decoders=tfds.decode.PartialDecoding({"image": True, "label": True})
    )
    # Images of one size come fast in batches; a batch of others would be filled up with black.
    several = None not in features["image"].shape
    labels = []

    def images():
        for example in tfds.as_numpy(examples.batch(1000) if several else examples):
            labels.append(np.atleast_1d(example["label"]))
            yield from example["image"] if several else example["image"][None]

    gathered = gather(images(), number, size, f"dataset '{builder.name}'")
    return gathered, np.concatenate(labels)


def _check_reachable(host):
    """Raises where `host` does not answer: TFDS would try again for minutes."""
    place, answers = f"https://{host}", []

    def ask():
        with contextlib.suppress(Exception):  # Whatever TFDS would meet as well.
            answers.append(requests.head(place, timeout=_PATIENCE))

    # A name with many addresses would wait for each of them.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    if not answers:
        proxy = requests.utils.select_proxy(place, requests.utils.get_environ_proxies(place))
        through = f" through the proxy {proxy.rpartition('@')[2]}" if proxy else ""
        raise ConnectionError(f"it is not there, and {host} cannot be reached{through}")


def _other_version(builder, name):
    """What an error says of a version that is prepared where another one is looked for."""
    import tensorflow_datasets as tfds

    folder = pathlib.Path(builder.data_dir).parent
    there = sorted(path.parent.name for path in folder.glob("*/dataset_info.json"))
    there = [version for version in there if tfds.core.Version.is_valid(version)]
    if not there:
        return ""
    return f"; version {there[-1]} is there, as '{name.split(':')[0]}:{there[-1]}'"
