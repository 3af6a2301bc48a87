"""`skt_tf.distill`: a method with networks and images of your own, in one call."""

import contextlib
import dataclasses
import inspect
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from skt_tf.data.datasets import Dataset
from skt_tf.data.user_data import Stream
from skt_tf.methods.catalogue import (
    ONE_START,
    TEACHERS,
    needs_teacher,
    spelled,
    stages,
)
from skt_tf.methods.sequences import Sequence
from skt_tf.models.checks import check_classifier, check_images, check_network, check_weights
from skt_tf.models.points import flow_name
from skt_tf.models.saving import check_saving
from skt_tf.training.distillation import Distillation
from skt_tf.training.optimizers import as_setting
from skt_tf.training.pair_checks import check_devices, check_pair, say_augmentation
from skt_tf.training.setting_checks import check_optimizer
from skt_tf.training.settings import Settings
from skt_tf.training.user_callbacks import checked
from skt_tf.utils import failed_operations
from skt_tf.utils.distribution import several_workers, strategy_of
from skt_tf.utils.errors import UserError, behind, close_to, one_line
from skt_tf.utils.locks import FolderLock


def distill(
    teacher,
    student,
    train_data,
    validation_data=None,
    method="skt",
    transfer_steps=21_000,
    task_steps=64_000,
    teacher_points=None,
    student_points=None,
    project=False,
    batch_size=128,
    seed=0,
    output_dir=None,
    *,
    optimizer="sgd",
    callbacks=(),
    verbose="auto",
    **settings,
):
    """Trains `student` by a method with the help of `teacher`, stage by stage.

    Args:
        teacher: a functional or Sequential `keras.Model` from images to logits, already
            trained; it is left as it is. Its classes, its maps' sizes and what it does to the
            images first may differ from the student's: classes count where outputs are
            softened (`kd`, `kd_long`, `hint`, `skt_kd`) alone. None for `baseline`.
        student: likewise; it is trained in place, from the weights that it has.
        train_data: (images, labels), arrays of [number, height, width, channels] and [number],
            which are shuffled; or a `tf.data.Dataset` of (image, label) or of batches of them, or
            a `keras.utils.PyDataset`, repeated in their own order. Labels are class numbers or
            one-hot; a third part is the weight of each image in the loss. Images are taken as
            they are: augment in the `tf.data.Dataset`, since layers of the student would show it
            other images than its teacher sees. Or a `skt_tf.Dataset`, whose images are cropped and
            mirrored as in the papers.
        validation_data: as `train_data`; watched and never trained on. A `skt_tf.Dataset` has
            its own, held-out or test images.
        method: a name of `skt_tf.methods.catalogue.METHOD_NAMES`, or a sequence of losses, such
            as `"flows>task+soft"`, or as `skt_tf.sequence` makes it.
        transfer_steps: iterations of transfer, shared among the method's transfer stages.
        task_steps: iterations of the task.
        teacher_points: names of the teacher's layers in order of depth, 2n+1 for the ends and
            middles of n sections (stem, middle of section 1, its end, …), or n+1 for the ends
            alone, which `fsp` can do with; `"backbone/layer"` is one of an inner model. None: the
            seven names of `skt_tf.resnet`.
        student_points: likewise of the student, as many.
        project: whether a trained 1×1 convolution on the student's side bridges channels that
            differ at a point; it is thrown away at the end.
        batch_size: images an iteration.
        seed: integer that fixes the order of images from arrays.
        output_dir: a folder for `student.keras`, `metrics.csv`, and checkpoints. The same call
            goes on from the last one, and a finished one is not run again; other networks or
            images are refused, for which batches of `validation_data` are gone through once more
            (those of `train_data` are known by their type alone). None: nothing is written.
        optimizer: `"sgd"` or `"adamw"`, or any of `keras.optimizers`, which is made anew for each
            stage, with its rate as the first of the schedule of every stage that is given none by
            `learning_rate`, `transfer_learning_rate` or `hint_learning_rate`.
        callbacks: Keras callbacks; each sees every stage as one training, and one that stops
            training ends the stage. `CSVLogger`, `ModelCheckpoint` and `TensorBoard` keep all
            stages: their epochs count on. Those that set the learning rate are refused.
        verbose: as in `fit`: 0 prints nothing, 1 a progress bar, 2 a line an interval.
        **settings: further fields of `skt_tf.training.settings.Settings`, which say what they
            mean; the command line has flags of the same names.

    Returns:
        A `Distilled`.

    Raises:
        ValueError: what cannot be done with these networks and images, in one sentence;
            `UnfitTeacher` where the teacher's FSP matrices are zero or not finite.
        Diverged: the loss of a stage is no longer a finite number; also a ValueError.

    Example:
        >>> result = skt_tf.distill(
        ...     teacher, student, (images, labels), (test_images, test_labels),
        ...     teacher_points=["stem", "block1a", "block1", "block2a", "block2"],
        ...     student_points=["conv1", "conv2", "conv3", "conv4", "conv5"],
        ...     transfer_steps=1000, task_steps=3000, project=True,
        ... )
        >>> result.accuracy, result.history["task"]["loss"]
    """
    asked, method = method, spelled(str(method) if isinstance(method, Sequence) else method)
    options = {
        "transfer_steps": transfer_steps,
        "task_steps": task_steps,
        "teacher_points": teacher_points,
        "student_points": student_points,
        "project": project,
        "batch_size": batch_size,
        "seed": seed,
        "optimizer": optimizer,
    }
    if output_dir is not None:
        if not isinstance(output_dir, str | os.PathLike):
            raise UserError(f"output_dir={output_dir!r} is no path: expected one, or None")
        output_dir = pathlib.Path(output_dir).expanduser()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(failed_operations.said(batch_size, folder=output_dir))
            config = _config(method, teacher, options, settings)
            _check_same(asked, config)
            callbacks = checked(callbacks)
            for network in (teacher, student) if teacher is not None else (student,):
                check_network(network)
            strategy = strategy_of(teacher, student)
            check_devices(strategy, config)
            if output_dir is not None and several_workers(strategy):
                raise UserError(
                    f"output_dir={output_dir}: distill writes no folder where several processes "
                    "train one student, so leave it out and save the student of one of them"
                )
            for role, network in (("teacher", teacher), ("student", student)):
                if network is not None:
                    check_weights(network, f"the {role} '{network.name}'")
            data = _data(train_data, validation_data, student, config.batch_size)
            if needs_teacher(config.stages(method)):
                check_images(teacher, data, f"the teacher '{teacher.name}'")
            images = data.train_images if isinstance(data, Dataset) else data.first[0]
            stream = None if isinstance(data, Dataset) else data
            check_pair(teacher, student, config, images, data.number, stream)
            say_augmentation(student, config)
            stack.enter_context(_traced_without_notes())
            stack.enter_context(failed_operations.by_workers(strategy))
            stack.enter_context(strategy.scope())
            if output_dir is not None:
                check_saving(student)
                stack.enter_context(FolderLock(output_dir))
            return Distillation(config, teacher, student, data, output_dir).run(callbacks, verbose)
    except tf.errors.OpError as error:
        if failure := behind(error, getattr(train_data, "failure", None)):
            raise failure from error
        raise UserError(
            f"training stopped at what train_data or validation_data holds, or a network does with "
            f"it: {one_line(error)}"
        ) from error


# What else `distill` takes: the further fields of `Settings`.
_NAMED = {"methods", *inspect.signature(distill).parameters}
SETTINGS = tuple(f.name for f in dataclasses.fields(Settings) if f.name not in _NAMED)


@contextlib.contextmanager
def _traced_without_notes():
    """Every stage is a graph of its own: traced once, and meant to be."""
    logger = tf.get_logger()

    def keep(record):
        return "retracing" not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _config(method, teacher, options, settings):
    for name in settings:
        if name not in SETTINGS:
            close = close_to(name, [*SETTINGS, *sorted(_NAMED - {"methods", "settings"})])
            raise UserError(
                f"distill has no setting '{name}'{close}: expected some of {', '.join(SETTINGS)}"
            )
    if not isinstance(method, str):
        raise UserError(
            f"method is a {type(method).__name__}: expected a name, such as 'skt', or a sequence, "
            "such as 'flows>task+soft'"
        )
    if needs_teacher(stages(method)) and teacher is None:
        raise UserError(f"the method '{method}' needs a teacher and none was given")
    for name in ("teacher_points", "student_points"):
        given = options[name]
        if not isinstance(given, list | tuple | None) or not all(
            isinstance(layer, str) for layer in given or ()
        ):
            raise UserError(f"{name}={given!r}: expected a list of names of layers")
    if isinstance(options["optimizer"], keras.optimizers.Optimizer):
        options["optimizer"] = as_setting(options["optimizer"])
    else:
        check_optimizer(options["optimizer"])
    # NumPy's numbers cannot be written into JSON.
    options, settings = ({k: _plain(v) for k, v in given.items()} for given in (options, settings))
    if method == TEACHERS:
        raise UserError(
            f"the method '{method}' is an experiment's row of networks that are trained as its "
            "teacher is: distill trains a student, so give another method, such as 'baseline'"
        )
    if method in ONE_START:
        raise UserError(
            f"the method '{method}' is a control of several nets that begin with the same weights: "
            "distill trains one net, so give another method"
        )
    try:
        if isinstance(weights := settings.get("flow_weights"), dict):  # As of a `Distilled`.
            settings["flow_weights"] = "equal"
            flows = Settings(methods=(method,), **options, **settings).flows
            if {*flows} != {*weights}:
                raise UserError(
                    f"flow_weights has {len(weights)} numbers: expected one for each of the flows "
                    + ", ".join(map(flow_name, flows))
                )
            settings["flow_weights"] = tuple(weights[flow] for flow in flows)
        return Settings(methods=(method,), **options, **settings)
    except TypeError as error:
        raise UserError(f"a setting is of another type than expected: {error}") from None


def _check_same(method, config):
    """Raises a ValueError where a `Sequence` has other stages than its text has here."""
    (text,) = config.methods
    if not isinstance(method, Sequence) or tuple(method) == tuple(config.stages(text)):
        return
    raise UserError(
        f"the sequence '{text}' was made for other flows or points than these: give distill the "
        "same dense_flows, section_flows and points, by which the text makes it anew"
    )


def _plain(value):
    """Lists as tuples, and NumPy's numbers and lists of them as Python's."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _data(train_data, validation_data, student, batch_size):
    check_classifier(student)
    classes, shape = student.output_shape[-1], student.input_shape[1:]
    if not isinstance(train_data, Dataset):
        return Stream(train_data, validation_data, batch_size, shape, classes)
    if validation_data is not None:
        raise UserError(
            "validation_data is given beside a skt_tf.Dataset, which has images to watch of its "
            "own: leave it out, or give arrays as train_data"
        )
    if any(s not in (None, g) for s, g in zip(shape, train_data.image_shape)):
        raise UserError(
            f"train_data has images of shape {train_data.image_shape}: expected those that the "
            f"student takes, {shape}"
        )
    if train_data.num_classes > classes:
        raise UserError(
            f"train_data has {train_data.num_classes} classes and the student {classes}: expected "
            "as many"
        )
    return train_data
