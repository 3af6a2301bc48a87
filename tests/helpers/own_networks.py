"""Networks that are no relatives of the project's own."""

import keras
from keras import layers


def chain(channels, classes=10, seed=0):
    """A network of 8×8 grey images with a layer `c<k>` for each point, statistics in it."""
    keras.utils.set_random_seed(seed)
    images = x = keras.Input((8, 8, 1))
    x = layers.Normalization(mean=[100.0], variance=[2500.0])(x)
    for k, number in enumerate(channels):
        x = layers.Conv2D(number, 3, 2 if k in (3, 5) else 1, "same")(x)
        x = layers.ReLU(name=f"c{k}")(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, layers.Dense(classes)(x))


def write_networks(folder):
    """Writes a teacher of 100 classes and more channels, one of 10 classes, and a student."""
    # Its maps neither fade nor grow, as those of a trained network.
    chain((6, 6, 6, 12, 12, 24, 24), classes=100, seed=1).save(folder / "teacher.keras")
    chain((4, 4, 4, 8, 8, 16, 16), seed=2).save(folder / "teacher10.keras")
    chain((4, 4, 4, 8, 8, 16, 16), seed=3).save(folder / "student.keras")
    return folder
