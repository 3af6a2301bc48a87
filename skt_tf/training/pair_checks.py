"""Whether a teacher and a student fit to each other in every stage, and how good the teacher is."""

import re

import keras
import numpy as np

from skt_tf.methods.catalogue import stage_steps
from skt_tf.models.checks import check_logits
from skt_tf.models.maps import check_order, first_layers
from skt_tf.models.nested import layers_by_path
from skt_tf.training.batch_parts import refuse_weights
from skt_tf.training.optimizers import stage_optimizer
from skt_tf.training.sequential_distiller import SequentialDistiller
from skt_tf.utils.distribution import check_even
from skt_tf.utils.errors import UserError, option, warn


def check_pair(teacher, student, config, images, number=None, data=None, methods=None):
    """Builds every stage's distiller once, so that a misfit shows before hours of training.

    Args:
        teacher: a functional `keras.Model`, or None where no method of `config` needs one.
        student: likewise.
        config: of the networks' points, and of what the methods' stages have.
        images: some of those that they are used for, [number, height, width, channels].
        number: of training images, None where it is not known.
        data: the `Stream` of the images, where they are a user's own.
        methods: those of `config` that are looked at; all, if not given.

    Raises:
        ValueError: networks that a stage of a method cannot compare, or batches that lack what a
            stage asks of them.
    """
    check_logits(student, "student", images)
    methods = methods or config.methods
    plans = [config.stages(method) for method in methods]
    if any("soft_task" in stage.uses for plan in plans for stage in plan):
        check_logits(teacher, "teacher", images)
    points = ordered = config.points
    if config.section_flows == "within" and config.transfers(methods):
        ordered = [first_layers(*pair) for pair in zip((teacher, student), points)]
    _check_accumulation(config, plans)
    for plan in plans:
        # The one of most flows first, for an error to list all that differ.
        for stage in sorted(plan, key=lambda stage: -len(stage.flows)):
            if stage.flows:
                check_order(teacher, ordered[0])
                check_order(student, ordered[1])
            distiller = SequentialDistiller(
                teacher,
                student,
                stage,
                steps=1,
                teacher_points=points[0],
                student_points=points[1],
                project=config.project,
                number=number,
            )
            if config.jit_compile:
                _check_compiles(distiller)
            _check_batches(distiller.objective, config, data)
            if stage is plan[-1]:
                _say_untrained(student, distiller)


def check_devices(strategy, config):
    """Raises a ValueError where several devices cannot train as one would.

    Args:
        strategy: the `tf.distribute.Strategy` of the student.
        config: the `Settings` of the training.
    """
    devices = strategy.num_replicas_in_sync
    if devices == 1:
        return
    check_even(config.batch_size, strategy)
    if config.jit_compile:
        raise UserError(
            f"{option('jit_compile')} cannot compile a step of {devices} devices: leave it out, or "
            f"give {option('distribution=none', 'a student that was made for one')}"
        )
    optimizer = stage_optimizer(config, config.learning_rate)
    for name in ("gradient_accumulation_steps", "clipnorm", "global_clipnorm", "clipvalue"):
        if getattr(optimizer, name, None):
            raise UserError(
                f"the optimizer's {name} is another thing over the {devices} devices that the "
                "student was made for, where Keras takes each one's gradients for themselves: "
                "leave it out, or make the student for one"
            )


def say_augmentation(student, config):
    """Warns where layers of a student show it other images than its teacher sees."""
    random = tuple(
        kind
        for name, kind in vars(keras.layers).items()
        if re.match("Rand|AugMix|CutMix|MixUp", name)
    )
    found = [each.name for each in layers_by_path(student).values() if isinstance(each, random)]
    stages = [stage for method in config.methods for stage in config.stages(method)]
    if found and any(stage.uses != {"task"} for stage in stages):
        warn(
            f"the student's {', '.join(dict.fromkeys(found))} shows it other images than its "
            f"teacher sees: augment by {option('crop and --mirror', 'the tf.data.Dataset')} instead"
        )


def _check_compiles(distiller):
    """Refuses a stage that Keras would not compile with XLA, but note so and go on."""
    distiller.compile(keras.optimizers.SGD(), jit_compile=True)
    if not distiller.jit_compile:
        raise UserError(
            f"{option('jit_compile')} compiles nothing where TensorFlow is deterministic "
            "(tf.config.experimental.enable_op_determinism), or where a layer of the networks "
            "cannot be compiled: leave it out"
        )


def _check_batches(objective, config, data):
    """Whether batches have what the losses of a stage ask of them."""
    parts = (part for part, _ in getattr(objective, "parts", ()))
    # Those of the field.
    losses = (part.objective for part in parts if hasattr(part, "objective"))
    compares = [loss.name for loss in losses if loss.compares_images]
    if compares and config.batch_size < 2:
        raise UserError(
            f"'{compares[0]}' compares the images of a batch with one another: give "
            f"{option('batch_size')} of 2 or more"
        )
    if data is not None:
        beside = getattr(objective, "beside", ())
        data.check_beside("indices" in beside, "second" in beside)
        if compares and data.has_weights:
            refuse_weights()


def _check_accumulation(config, plans):
    """Whether every stage is as long as the optimizer gathers gradients over."""
    optimizer = stage_optimizer(config, config.learning_rate)
    together = optimizer.gradient_accumulation_steps or 1
    stages = [pair for plan in plans for pair in zip(plan, stage_steps(plan, config.iterations))]
    for stage, steps in stages:
        if together > steps:
            raise UserError(
                "the optimizer gathers the gradients of gradient_accumulation_steps="
                f"{together} iterations, and stage '{stage.name}' has {steps}: give it fewer, or "
                "the stage more"
            )


def _say_untrained(student, distiller):
    """Warns where a last stage leaves layers as they are, such as the classifier."""
    moved = {id(variable) for variable in distiller.trainable_variables}
    left = [v.path.rpartition("/")[0] for v in student.trainable_variables if id(v) not in moved]
    if left:
        warn(
            f"the last stage, '{distiller.stage.name}', leaves {', '.join(dict.fromkeys(left))} of "
            "the student untrained: end with a stage that trains its outputs, such as task"
        )


def say_teacher(accuracy, labels, classes, where, verbose=True, given=True):
    """Prints a teacher's own accuracy, and warns where one that is given may as well be guessing.

    Args:
        accuracy: the share of `labels` that it gives rightly.
        labels: integers [number].
        classes: number of classes.
        where: what images they are of.
        verbose: whether anything but a warning is printed.
        given: whether it was trained elsewhere, perhaps on images of another scale.
    """
    if verbose:
        print(f"teacher: {accuracy:.2%} of the {where} images")
    # By classes drawn at random, to two standard errors, or by one answer to all images.
    even, most = 1 / classes, np.bincount(labels).max() / len(labels)
    guessed = max(even + 2 * np.sqrt(even * (1 - even) / len(labels)), most)
    if given and accuracy <= guessed:
        warn(
            f"the teacher is right on {accuracy:.2%} of the {where} images, which is not above "
            f"chance (guessing gives up to {guessed:.2%} on {len(labels):,} images of {classes} "
            "classes): give one that is trained, and images of the scale that it was trained on, "
            "such as 0…255 or 0…1"
        )
