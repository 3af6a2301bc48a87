"""Images of noise, and the bytes of what is trained on them."""

import numpy as np

from skt_tf.data.datasets import Dataset

CLASSES, SHAPE, BATCH = 4, (8, 8, 1), 8


def batches(data):
    return [(images.tobytes(), labels.tobytes()) for images, labels in data.as_numpy_iterator()]


def images():
    random = np.random.default_rng(0)

    def draw(number):
        pictures = random.integers(0, 256, (number, *SHAPE), dtype=np.uint8)
        return pictures, np.arange(number, dtype=np.int32) % CLASSES

    return Dataset("random", *draw(40), *draw(12), CLASSES, mirrored=False)
