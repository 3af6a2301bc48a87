"""Plain networks, no relatives of the project's own, with a layer for each point."""

import functools

import keras
import numpy as np
from keras import layers

import skt_tf

SHAPE, CLASSES = (16, 16, 3), 4
NAMES = tuple(f"c{k}" for k in range(7))
SHORT = {"transfer_steps": 4, "task_steps": 4, "hint_steps": 2, "batch_size": 8, "evaluations": 2}


def chain(
    channels=(3, 4, 4, 6, 6, 8, 8), classes=CLASSES, shape=SHAPE, seed=0, factor=0.0, names=NAMES
):
    """A plain network, no relative of the project's own, with a layer of `names` for each point."""
    keras.utils.set_random_seed(seed)
    images = x = keras.Input(shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for k, number in enumerate(channels):
        strides = 2 if k in (3, 5) else 1
        x = layers.Conv2D(
            number, 3, strides, "same", kernel_regularizer=keras.regularizers.L2(factor)
        )(x)
        x = layers.ReLU(name=names[k])(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(images, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


@functools.cache
def examples():
    """Bright and dark images of four classes that a small network learns in a few steps."""
    random = np.random.default_rng(0)
    labels = np.arange(96) % CLASSES
    images = random.normal(size=(96, *SHAPE)) * 10 + 30 + 60 * labels[:, None, None, None]
    return images.clip(0, 255).astype(np.uint8), labels


@functools.cache
def taught(channels=(3, 4, 4, 6, 6, 8, 8), classes=CLASSES):
    """A `chain` that has learnt a little: before, its maps fade from layer to layer."""
    teacher = chain(channels, classes, seed=1)
    skt_tf.distill(None, teacher, examples(), method="baseline", task_steps=15, batch_size=16)
    return teacher
