"""What every objective of a sequence is: what it looks at, and how it compares it."""

import typing

import tensorflow as tf


class Seen(typing.NamedTuple):
    """What an objective sees of one network for one batch; what it does not look at is None.

    Attributes:
        logits: [batch, classes], float32.
        embedding: [batch, features], float32: what the last dense layer, the classifier, takes.
        maps: a tuple of [batch, height, width, channels], float32, one for each of its points.
    """

    logits: tf.Tensor | None = None
    embedding: tf.Tensor | None = None
    maps: tuple = ()


class Batch(typing.NamedTuple):
    """What an objective may know of a batch beside what the networks make of it.

    Attributes:
        labels: [batch], integers.
        progress: of the stage, 0…1, a scalar.
        indices: [batch], the numbers of the images among all training images, for objectives with
            a `memory`; else None.
        second: (teacher, student), what is `Seen` of a second, strongly augmented view of the same
            images, for objectives of two `views`; else None.
    """

    labels: tf.Tensor | None = None
    progress: tf.Tensor | float = 0.0
    indices: tf.Tensor | None = None
    second: tuple | None = None


class Objective:
    """A loss between a frozen teacher and a student, for a stage of a sequence.

    A subclass in a module of `methods/objectives` is known by that module's name, and nothing else
    lists it. Its parameters are arguments of its `__init__`, with the recipe's defaults.

    Attributes:
        looks_at: which of `"logits"`, `"embedding"` and `"maps"`, in both networks.
        sections: a slice of the sections whose ends its maps are taken from.
        weight: its factor in the recipe, where a sequence names none.
        compares_images: whether it compares images of a batch with one another: several devices
            then show it the batch of all.
        views: 2 where it also needs a second view of each image.
        memory: whether it remembers something of each training image, by `Batch.indices`.
        heads: Keras layers that are trained beside the student and thrown away after the stage.
    """

    looks_at = ("logits",)
    sections = slice(None)
    weight = 1.0
    compares_images = False
    views = 1
    memory = False
    heads = ()

    def build(self, teacher, student, number=None):
        """Makes `heads`, for what both networks show.

        Args:
            teacher, student: `Seen`, of shapes without the batch in the place of tensors.
            number: of training images, for a memory.

        Raises:
            ValueError: networks that it cannot compare, in one sentence.
        """

    def loss(self, teacher, student, batch):
        """What it adds to a loss, without its weight.

        Args:
            teacher, student: `Seen`.
            batch: a `Batch`.

        Returns:
            float32: [batch], a number for each image, whose mean is minimised; or a scalar, where
            only a batch has one.
        """
        raise NotImplementedError
