"""A `keras.utils.PyDataset` of a user's own: read in order, and refused where it cannot be."""

import keras
import numpy as np
import pytest
from sentences import refused

from skt_tf.data.incoming_batches import as_dataset


class Batches(keras.utils.PyDataset):
    """Batches that `make` makes of their number; notes when epochs begin and end."""

    def __init__(self, make, number=3):
        super().__init__()
        self.make, self.number, self.noted = make, number, []

    def __len__(self):
        return self.number() if callable(self.number) else self.number

    def __getitem__(self, k):
        return self.make(k)

    def on_epoch_begin(self):
        self.noted.append("begin")

    def on_epoch_end(self):
        self.noted.append("end")


def numbered(k):
    return np.full((2, 4), k, np.float32), np.array([k, k])


def fails(*_):
    raise OSError("the disk is gone")


def test_its_batches_come_in_order_and_epochs_are_told():
    batches = Batches(numbered)
    for _ in range(2):
        found = [labels.numpy()[0] for _, labels in as_dataset(batches, "train_data")]
        assert found == [0, 1, 2]
    assert batches.noted == ["begin", "end"] * 2


@pytest.mark.parametrize(
    ("batches", "says"),
    [
        (Batches(numbered, 0), "no images"),
        (Batches(numbered, fails), "cannot be read: the disk is gone"),
        (Batches(fails), "cannot be read: the disk is gone"),
        (Batches(lambda k: np.zeros(3)), "batches of type ndarray"),
        (Batches(lambda k: (np.array(["a"]), np.zeros(1))), "batches of <U1"),
    ],
)
def test_what_cannot_be_read(batches, says):
    with refused(f"train_data .*{says}"):
        as_dataset(batches, "train_data")


def test_batches_that_lose_a_part_on_the_way():
    batches = Batches(lambda k: numbered(k) if k == 0 else (*numbered(k), np.ones(2)))
    with pytest.raises(Exception, match="batches of 2 and of 3 parts"):
        list(as_dataset(batches, "train_data"))
