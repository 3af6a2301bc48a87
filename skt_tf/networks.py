"""The networks of an experiment."""

import random

import keras

from skt_tf.distiller import SequentialDistiller
from skt_tf.errors import UserError
from skt_tf.flows import check_order, normalized_flow_weights
from skt_tf.methods import TEACHERS
from skt_tf.models import resnet
from skt_tf.saving import load_network

# Enough for a mean within one percent, and ten seconds instead of a minute.
WEIGHT_IMAGES = 10_000


def net_seed(config, method, net):
    """The seed of a net, which fixes its initial weights, data order and augmentation.

    Net k of every method has the same one, so that nets can be compared in pairs; those of
    teachers lie apart, since a student must not begin where its teacher began.
    """
    return 2**30 + config.seed + net if method == TEACHERS else config.seed + 1 + net


def build(depth, config, dataset, seed):
    """A new network for the images of `dataset`."""
    return resnet(
        depth,
        dataset.num_classes,
        dataset.image_shape,
        config.width,
        normalization=(dataset.mean.tolist(), dataset.variance.tolist()),
        seed=seed,
    )


def new_student(config, dataset, method, seed):
    """The network that a net of `method` begins as.

    Built for the images of `dataset`, or that of --student: with its saved weights, or with
    new ones drawn by its own initialisers.

    Raises:
        ValueError: --student does not fit to the images.
    """
    if not config.student or method == TEACHERS:
        return build(config.depth(method), config, dataset, seed)
    student = load_network(config.student)
    _check_images(student, "student", config, dataset)
    if not classifies(student, dataset):
        raise UserError(
            f"--student={config.student} has outputs of shape {student.output_shape[1:]}, but "
            f"{dataset.name} has {dataset.num_classes} classes"
        )
    # With saved weights too, what dropout draws must depend on the seed alone.
    drawn = draw_weights(student, seed)
    if config.student_weights == "saved":
        drawn.set_weights(student.get_weights())
    return drawn


def draw_weights(network, seed):
    """A copy of `network` whose trainable layers have new weights, by their own initialisers.

    Layers without trainable weights, such as an input's standardisation, keep theirs.

    Args:
        network: a functional or Sequential `keras.Model`.
        seed: integer that fixes the weights, and what random layers such as dropout draw.
    """
    copy = type(network).from_config(_seeded(network.get_config(), random.Random(seed)))
    if not copy.built:
        copy.build(network.input_shape)
    for old, new in zip(network._flatten_layers(), copy._flatten_layers()):
        if new.weights and not new.trainable_weights and not hasattr(new, "layers"):
            new.set_weights(old.get_weights())
            if isinstance(new, keras.layers.Normalization):
                new.finalize_state()  # Its weights alone do not say what it subtracts.
    return copy


def _seeded(config, numbers):
    """`config` with a new seed, drawn from `numbers`, wherever it has one."""
    if isinstance(config, list | tuple):
        return [_seeded(part, numbers) for part in config]
    if not isinstance(config, dict):
        return config
    return {
        name: numbers.getrandbits(31) if name == "seed" else _seeded(part, numbers)
        for name, part in config.items()
    }


def load_teacher(config, dataset):
    """The network of --teacher.

    Raises:
        ValueError: it does not fit to the images, or cannot teach one of the methods.
    """
    teacher = load_network(config.teacher)
    _check_images(teacher, "teacher", config, dataset)
    if len(teacher.output_shape) != 2:
        raise UserError(
            f"--teacher={config.teacher} has outputs of shape {teacher.output_shape[1:]}: expected "
            "logits, one number for each class"
        )
    return teacher


def classifies(network, dataset):
    """Whether the classes of `network` can be those of `dataset`."""
    return network.output_shape[1:] == (dataset.num_classes,)


def _check_images(network, flag, config, dataset):
    taken, given = network.input_shape[1:], dataset.image_shape
    if len(taken) != 3 or any(t not in (None, g) for t, g in zip(taken, given)):
        raise UserError(
            f"--{flag}={getattr(config, flag)} takes images of shape {taken}, "
            f"but those of {dataset.name} have {given}"
        )


def check_pair(teacher, student, config):
    """Builds every stage's distiller once, so that a misfit shows before hours of training.

    Args:
        teacher: a functional `keras.Model`, or None where no method of `config` needs one.
        student: likewise.
        config: of the methods, and of the networks' points.

    Raises:
        ValueError: networks that a stage of a method cannot compare.
    """
    points = config.points
    for method in config.methods:
        # The one of most flows first, for an error to list all that differ.
        for stage in sorted(config.stages(method), key=lambda stage: -len(stage.flows)):
            if stage.objective == "transfer":
                check_order(teacher, points[0])
                check_order(student, points[1])
            SequentialDistiller(
                teacher,
                student,
                stage,
                steps=1,
                teacher_points=points[0],
                student_points=points[1],
                project=config.project,
            )


def flow_weights(config, teacher, dataset):
    """λ of every flow, as --flow_weights says: the same for every net and stage of a run.

    Args:
        config: the run's `Config`.
        teacher: the teacher.
        dataset: a `Dataset` or a `Stream` of the training images, of which at most
            `WEIGHT_IMAGES` are looked at.

    Returns:
        {flow: λ}.
    """
    flows = config.flows
    if config.flow_weights == "normalized":
        images = dataset.sample(WEIGHT_IMAGES)
        return normalized_flow_weights(teacher, flows, images, points=config.points[0])
    if config.flow_weights == "equal":
        return dict.fromkeys(flows, 1.0)
    return dict(zip(flows, config.flow_weights, strict=True))


def weighted_layers(network):
    """Weighted layers: what the 6n+2 of a residual network counts."""
    weighted = (keras.layers.Conv2D, keras.layers.Dense)
    return sum(isinstance(layer, weighted) for layer in network.layers)
