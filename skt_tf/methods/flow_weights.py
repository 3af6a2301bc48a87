"""λ, the weights of the flows: measured on a teacher, or given."""

import numpy as np
import tensorflow as tf

from skt_tf.data.lazy_images import slices
from skt_tf.methods.fsp import flow_model
from skt_tf.methods.heads import bridge
from skt_tf.models.evaluation import stateless_outputs
from skt_tf.models.points import flow_name
from skt_tf.utils.errors import UnfitTeacher, UserError


def normalized_flow_weights(teacher, flows, images, batch_size=128, points=None):
    """λᵢ = 1 / mean over images of ‖Gᵢᵀ‖²: each flow's loss becomes a relative error.

    This project's reading, not the paper's: see docs/method.md, *Scale*.

    Args:
        teacher: a functional `keras.Model` with a layer for each point.
        flows: tuple of (point, point).
        images: training images [number, height, width, channels], one or more, as `teacher`
            takes them; or an iterable of batches of them.
        batch_size: images a forward pass.
        points: {point: layer name} of `teacher`; None where layers have the points' names.

    Returns:
        A dict of flow to λ, floats, in the order of `flows`.

    Raises:
        ValueError: no images, images of another shape, or matrices that are zero or not finite.
    """
    model = flow_model(teacher, flows, points)
    batches = slices(images, batch_size) if hasattr(images, "shape") else images

    # A graph, since outside of one Keras holds the maps of all layers until the last is done.
    @tf.function(autograph=False, reduce_retracing=True)
    def matrices(batch):
        return model(batch, training=False)

    total, number = np.zeros(len(flows)), 0
    for batch in batches:
        if not hasattr(batch, "shape"):
            raise UserError(
                f"a batch of a {type(batch).__name__} was given to normalise the flows on: "
                "expected images alone, [batch, height, width, channels], without labels"
            )
        given, taken = tuple(batch.shape)[1:], model.input_shape[1:]
        if len(given) != len(taken) or any(t not in (None, g) for g, t in zip(given, taken)):
            raise UserError(
                f"images of shape {given} were given to normalise the flows on: expected those "
                f"that the teacher takes, {taken}"
            )
        total += [np.sum(np.square(matrix, dtype=np.float64)) for matrix in matrices(batch)]
        number += len(batch)
    if not number:
        raise UserError("no images were given to normalise the flows on: expected at least one")
    dead = [flow_name(flow) for flow, value in zip(flows, total) if not 0 < value < np.inf]
    if dead:
        raise UnfitTeacher(
            f"the teacher's FSP matrices of {', '.join(dead)} are zero on every image, or not "
            "finite, so these flows cannot be normalised: give a teacher that is trained, and "
            "images without NaN"
        )
    return {flow: float(number / value) for flow, value in zip(flows, total)}


# Enough for a mean within one percent, and ten seconds instead of a minute.
WEIGHT_IMAGES = 10_000


# At the default rate a loss that starts above some 20 a flow may be infinite within a few
# iterations: docs/method.md, *Scale*.
LARGER = 5


def flow_weights(config, teacher, dataset, student):
    """λ of every flow, as --flow_weights says: the same for every net and stage of a run.

    Normalised flows are measured by the teacher's matrices; where those of the student as it is
    first are more than `LARGER` times as large, by the student's.

    Args:
        config: the `Settings` of the training.
        teacher: the teacher.
        dataset: a `Dataset` or a `Stream` of the training images, of which at most
            `WEIGHT_IMAGES` are looked at.
        student: a student before its first stage, or a function that returns it.

    Returns:
        {flow: λ}.
    """
    flows = config.flows
    if config.flow_weights == "normalized":
        images = dataset.sample(WEIGHT_IMAGES)
        weights = normalized_flow_weights(teacher, flows, images, points=config.points[0])
        own = _first_norms(config, teacher, student, dataset)
        return {f: 1 / s if λ * s > LARGER**2 else λ for (f, λ), s in zip(weights.items(), own)}
    if config.flow_weights == "equal":
        return dict.fromkeys(flows, 1.0)
    return dict(zip(flows, config.flow_weights, strict=True))


def _first_norms(config, teacher, student, dataset):
    """Means of ‖Gᵢˢ‖² over a batch, as the first iteration of transfer sees them."""
    if not isinstance(student, tf.keras.Model):
        student = student()
    flows, points = config.flows, config.points
    projections = bridge(teacher, student, flows, points) if config.project else None
    model = flow_model(student, flows, points[1], projections)
    batch = dataset.sample(config.batch_size)
    batch = np.asarray(batch if hasattr(batch, "shape") else next(iter(batch)))

    @tf.function(autograph=False)
    def matrices():
        return stateless_outputs(model, batch, training=config.transfer_batch_norm == "batch")

    own = [float(np.square(m, dtype=np.float64).sum() / len(batch)) for m in matrices()]
    large = [flow_name(flow) for flow, norm in zip(flows, own) if not norm < np.inf]
    if large:
        raise UserError(
            f"the student's FSP matrices of {', '.join(large)} are not finite before it is "
            "trained: give images or weights of a smaller scale"
        )
    return own


def note_flow_weights(record, config, teacher, dataset, student):
    """λ of every flow as `flow_weights` gives them, noted in `record` for all that follows.

    Args:
        record: a dict of JSON values. Where its `flow_weights` is not None, nothing is measured.
        config, teacher, dataset, student: as of `flow_weights`.
    """
    if record["flow_weights"] is None:
        weights = flow_weights(config, teacher, dataset, student)
        record["flow_weights"] = {flow_name(flow): λ for flow, λ in weights.items()}
    return noted_flow_weights(record, config.flows)


def noted_flow_weights(record, flows):
    """{flow: λ} as `record` has them, or None."""
    known = record["flow_weights"]
    return known and {flow: known[flow_name(flow)] for flow in flows}
