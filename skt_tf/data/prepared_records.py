"""Any record of what TensorFlow Datasets has prepared, at once: a source of `LazyImages`.

A tfrecord file is records one after the other, uncompressed, with the length before each. So where
a record begins is found by stepping from length to length, and from then on each is one read.
ArrayRecord files bring an index of their own.
"""

import io
import os
import pathlib
import zlib

import numpy as np

from skt_tf.data.lazy_images import ordered
from skt_tf.utils.errors import UserError, one_line
from skt_tf.utils.records import digest

# Before a record lie its length and a sum of that, behind it a sum of its bytes.
_BEFORE, _AFTER = 12, 4
_AT_ONCE = 1024


class PreparedSplit:
    """The images of a split, read when they are asked for, in the order of `as_dataset`.

    To begin with, all records are read once, for their labels; so damaged ones are found.

    Args:
        builder: of TensorFlow Datasets, prepared.
        split: a name.
        look: whether the heads of images tell their shapes, where the dataset does not.

    Attributes:
        labels: [number], int32.
        shape: (height, width, channels), None where images differ or nothing was looked at.
        two_shapes: those of two images that differ, where any do.
        digest: a number that other records would hardly have: of all bytes of all of them, which
            tfrecord files hold sums of.
    """

    def __init__(self, builder, split, look):
        self.where = f"dataset '{builder.name}'"
        self.shape, self.two_shapes = tuple(builder.info.features["image"].shape), ()
        self._shapes = {} if look and None in self.shape else None
        self._feature = builder.info.features["image"]
        files = _ArrayRecords if has_index(builder) else _TfRecords
        self._records = files(builder, split)
        labels = []
        for images, found in self._records.first_pass(self._shapes is not None):
            labels.append(found)
            self._look(images)
        self.labels = np.concatenate(labels).astype(np.int32)
        self.digest = self._records.digest
        if self.shape[2] is None:  # Nor does the dataset say how many channels there are.
            self.shape = (*self.shape[:2], self[0].shape[2])

    def _look(self, images):
        """Notes the shapes of encoded images; none where nothing is to be looked at."""
        from PIL import Image

        for encoded in images:
            with Image.open(io.BytesIO(encoded)) as image:
                size = image.size[::-1]
            self._shapes.setdefault((*size, self.shape[2]))
        if len(images):
            self.two_shapes = tuple(self._shapes)[:2]
            self.shape = (
                self.two_shapes[0] if len(self._shapes) == 1 else (None, None, self.shape[2])
            )

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        """The image [height, width, channels], uint8, of a record."""
        place = self._records.place(row)
        try:
            return self._decoded(self._records.read(row))
        # TensorFlow and ArrayRecord pass on what their decoders raise.
        except Exception as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            raise UserError(
                f"{place} of {self.where} cannot be read as an image ({reason}): prepare the "
                "dataset anew"
            ) from None

    def _decoded(self, record):
        """The image in the bytes of a record, as `as_dataset` decodes it."""
        import tensorflow as tf

        image = tf.train.Example.FromString(record).features.feature["image"]
        # Not by a `tf.function`: it would wait for a thread of TensorFlow's, of which all may be
        # waiting for images.
        with tf.device("CPU"):
            return self._feature.decode_example(image.bytes_list.value[0]).numpy()

    def each(self, rows):
        """Yields the images of some records in turn."""
        return ordered(self.__getitem__, rows)


def has_index(builder):
    """Whether files have an index of their own, for which `as_dataset` cannot read them."""
    return builder.info.file_format.value == "array_record"


class _TfRecords:
    """The records of a split in tfrecord files."""

    def __init__(self, builder, split):
        self._builder, self._split = builder, split
        self._paths = [str(path) for path in builder.info.splits[split].filepaths]
        # Of each record: where its bytes begin, how many they are, and their sum.
        found = [_offsets(path) for path in self._paths]
        firsts = np.cumsum([0, *map(len, found)])
        self._first = {pathlib.Path(p).name: k for p, k in zip(self._paths, firsts)}
        self._file = np.repeat(np.arange(len(found)), [len(each) for each in found])
        self._at, self._firsts = np.concatenate(found), firsts
        self.digest = digest([self._at[:, 1:]])

    def first_pass(self, with_images):
        """Yields (encoded images or none, labels) of all records, some at a time."""
        import tensorflow_datasets as tfds

        decoders = {"image": tfds.decode.SkipDecoding()}
        kept = {"image": True, "label": True}
        examples = self._builder.as_dataset(
            split=self._split,
            decoders=tfds.decode.PartialDecoding(kept, decoders=decoders),
            read_config=tfds.ReadConfig(add_tfds_id=True),
        )
        examples = examples.map(
            lambda example: {**example, "image": example["image"] if with_images else ""}
        )
        rows = []
        for batch in tfds.as_numpy(examples.batch(_AT_ONCE)):
            for name in batch["tfds_id"]:  # The file and the number in it.
                file, _, number = name.decode().rpartition("__")
                rows.append(self._first[file] + int(number))
            yield (batch["image"] if with_images else ()), batch["label"]
        # In the order in which they come, which is not that of the files where these are many.
        self._at, self._file = self._at[rows], self._file[rows]
        self._number = np.array(rows) - self._firsts[self._file]

    def place(self, row):
        """What errors call a record."""
        return f"record {self._number[row]} of {self._paths[self._file[row]]}"

    def read(self, row):
        start, length, total = map(int, self._at[row])
        with open(self._paths[self._file[row]], "rb") as file:
            whole = os.pread(file.fileno(), _BEFORE + length + _AFTER, start - _BEFORE)
        ends = whole[:8], whole[_BEFORE + length :]
        if ends != (length.to_bytes(8, "little"), total.to_bytes(_AFTER, "little")):
            raise ValueError("its file has changed since it was found")
        return whole[_BEFORE : _BEFORE + length]


def _offsets(path):
    """[records of a file, 3], int64: where the bytes of each begin, how many, and their sum."""
    found = []
    with open(path, "rb") as file:
        end, start = os.fstat(file.fileno()).st_size, _BEFORE
        length = int.from_bytes(os.pread(file.fileno(), 8, 0), "little")
        while start < end:
            # The sum behind a record, and before the next one its length.
            around = os.pread(file.fileno(), _AFTER + 8, start + length)
            if len(around) < _AFTER:
                break  # Cut short, as TensorFlow will say.
            found.append((start, length, int.from_bytes(around[:_AFTER], "little")))
            start += length + _AFTER + _BEFORE
            length = int.from_bytes(around[_AFTER:], "little")
    return np.array(found, np.int64).reshape(-1, 3)


class _ArrayRecords:
    """Likewise in ArrayRecord files."""

    def __init__(self, builder, split):
        import tensorflow_datasets as tfds

        raw = tfds.core.decode.DeserializeMethod.RAW_BYTES
        self._source = builder.as_data_source(split, deserialize_method=raw)
        self._files = f"the {split} files in {builder.data_dir}"
        self.digest = None

    def first_pass(self, with_images):
        import tensorflow as tf

        kinds = {"label": tf.io.FixedLenFeature([], tf.int64)}
        if with_images:
            kinds["image"] = tf.io.FixedLenFeature([], tf.string)
        total, number = 0, len(self._source)
        for start in range(0, number, _AT_ONCE):
            records = self._source.__getitems__(range(start, min(start + _AT_ONCE, number)))
            for record in records:
                total = zlib.crc32(record, total)
            found = tf.io.parse_example(records, kinds)
            images = found["image"].numpy() if with_images else ()
            yield images, found["label"].numpy()
        self.digest = f"{total:08x}"

    def place(self, row):
        return f"record {row} of {self._files}"

    def read(self, row):
        return self._source[int(row)]
