"""What an objective sees of two networks that are only shapes and numbers."""

import numpy as np
import tensorflow as tf

from skt_tf.methods.objective import Batch, Seen

CLASSES, FEATURES, IMAGES = 5, 6, 20
MAPS = ((8, 8, 3), (4, 4, 4), (2, 2, 6))
# Parameters with which each is small enough for a test.
SMALL = {"crd": {"negatives": 7, "width": 4}, "cc": {"width": 4}}


def shapes(classes=CLASSES, features=FEATURES, maps=MAPS):
    return Seen((classes,), (features,), maps)


def seen(seed=0, batch=4, of=None, maps=slice(None)):
    """`Seen` of random numbers, maps behind a ReLU, of the shapes `of`."""
    of = of or shapes()
    random = np.random.default_rng(seed)

    def draw(shape):
        return tf.constant(random.normal(size=(batch, *shape)).astype(np.float32))

    found = tuple(tf.nn.relu(draw(shape)) for shape in of.maps[maps])
    return Seen(3 * draw(of.logits), draw(of.embedding), found)


def batch_of(number=4, second=None):
    return Batch(
        labels=np.arange(number, dtype=np.int32) % CLASSES,
        indices=np.arange(number, dtype=np.int64) + 3,
        second=second,
    )


def of_sections(objective, seen):
    """`seen` with the maps that the objective looks at."""
    return seen._replace(maps=seen.maps[objective.sections])


def built(kind, teacher=None, student=None, **parameters):
    """An objective of the class `kind`, built for shapes."""
    objective = kind(**{**SMALL.get(kind.name, {}), **parameters})
    teacher, student = (of_sections(objective, of or shapes()) for of in (teacher, student))
    objective.build(teacher, student, IMAGES)
    return objective


def differentiated(objective, teacher, student, batch):
    """(the mean loss, its gradients: of what the student shows, then of the heads)."""
    teacher, student = (of_sections(objective, one) for one in (teacher, student))
    looked_at = [getattr(student, kind) for kind in objective.looks_at]
    heads = [v.value for head in objective.heads for v in head.trainable_variables]
    inputs = tf.nest.flatten(looked_at)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_mean(objective.loss(teacher, student, batch))
    return loss, tape.gradient(loss, inputs + heads)
