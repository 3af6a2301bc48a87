"""The networks of an experiment."""

import keras

from skt_tf.distiller import SequentialDistiller
from skt_tf.errors import UserError
from skt_tf.methods import TEACHERS
from skt_tf.models import resnet
from skt_tf.saving import load_network


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


def load_teacher(config, dataset):
    """The network of --teacher.

    Raises:
        ValueError: it does not fit to the images, or cannot teach one of the methods.
    """
    teacher = load_network(config.teacher)
    if teacher.input_shape[1:] != dataset.image_shape:
        raise UserError(
            f"--teacher={config.teacher} takes images of shape {teacher.input_shape[1:]}, "
            f"but those of {dataset.name} have {dataset.image_shape}"
        )
    if teacher.output_shape[1:] != (dataset.num_classes,):
        raise UserError(
            f"--teacher={config.teacher} has outputs of shape {teacher.output_shape[1:]}, "
            f"but {dataset.name} has {dataset.num_classes} classes"
        )
    _check_channels(teacher, config, dataset)
    return teacher


def _check_channels(teacher, config, dataset):
    """Builds every stage's distiller once, so that a misfit shows before hours of training."""
    student = build(config.student_depth, config, dataset, seed=0)
    for method in config.methods:
        for stage in config.stages(method):
            try:
                SequentialDistiller(teacher, student, stage, steps=1)
            except UserError as error:
                raise UserError(
                    f"--teacher={config.teacher} cannot teach {method}: {error}"
                ) from None


def weighted_layers(network):
    """Weighted layers: what the 6n+2 of a residual network counts."""
    weighted = (keras.layers.Conv2D, keras.layers.Dense)
    return sum(isinstance(layer, weighted) for layer in network.layers)
