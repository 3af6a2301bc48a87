"""What every objective of a sequence is: what it looks at, and how it compares it."""

import inspect
import re
import typing

import tensorflow as tf

from skt_tf.methods.catalogue import METHOD_NAMES
from skt_tf.methods.objective_names import objective_names
from skt_tf.methods.sequence_text import ANCHOR
from skt_tf.methods.stage import BUILT_IN
from skt_tf.utils.errors import UserError

# {name: {(module, class): subclass of Objective}}; a cell of a notebook that is run again defines
# the same class again.
_KNOWN = {}
# What logs call the parts of this project's own losses, beside flows.
_LOGGED = ("loss", "accuracy", "cross_entropy", "softened")


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
    lists it; one that is defined elsewhere, by its `name`. `skt_tf.methods.objective_names` finds
    both. Its parameters are arguments of its `__init__`, with the recipe's defaults, and attributes
    of the same names.

    Attributes:
        name: by which it is asked for; of a class without one, the last part of its module's name.
        looks_at: which of `"logits"`, `"embedding"` and `"maps"`, in both networks.
        sections: a slice of the sections whose ends its maps are taken from.
        before_relu: which of `"teacher"` and `"student"` show the maps of points as they are before
            the ReLU whose output they are, or, in networks that normalise first, become.
        weight: its factor in the recipe, where a sequence names none.
        warmup: the share of a stage over which the recipe's factor grows from 0, linearly.
        labels: whether it needs `Batch.labels`.
        compares_images: whether it compares images of a batch with one another: several devices
            then show it the batch of all.
        views: 2 where it also needs a second view of each image.
        memory: whether it remembers something of each training image, by `Batch.indices`.
        heads: Keras layers that are trained beside the student and thrown away after the stage.
    """

    looks_at = ("logits",)
    sections = slice(None)
    before_relu = ()
    weight = 1.0
    warmup = 0.0
    labels = False
    compares_images = False
    views = 1
    memory = False
    heads = ()

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = cls.__module__.rpartition(".")[2]
        if not re.fullmatch(r"[A-Za-z_]\w*", str(cls.name), re.ASCII) or cls.name == "__main__":
            raise UserError(
                f"the objective {cls.__name__} has the name {cls.name!r}: give it a `name` of "
                "letters, digits and _, such as 'cosine'"
            )
        ours = __name__.partition(".")[0] + "."
        taken = (*BUILT_IN, *_LOGGED, ANCHOR, *METHOD_NAMES, *objective_names())
        taken = cls.name in taken or re.fullmatch(r"[pmf]\d+_[pmf]\d+", cls.name)
        if taken and not cls.__module__.startswith(ours):
            raise UserError(
                f"the objective {cls.__name__} has the name '{cls.name}', which is one of skt_tf's "
                "own: give it another `name`"
            )
        _KNOWN.setdefault(cls.name, {})[cls.__module__, cls.__qualname__] = cls

    def parameters(self):
        """{argument of `__init__`: value}, from which an equal objective is made."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def layer_names(self, teacher, student):
        """Layers whose maps it looks at, where they are not the ends of `sections`.

        Args:
            teacher, student: `keras.Model`.

        Returns:
            (of the teacher, of the student): each a tuple of layer names, or None for the ends.

        Raises:
            ValueError: a network that has no such layer, in one sentence.
        """
        del teacher, student
        return None, None

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


def defined(name):
    """The subclasses of `Objective`, of those that Python has run, which are called `name`."""
    return [*_KNOWN.get(name, {}).values()]
