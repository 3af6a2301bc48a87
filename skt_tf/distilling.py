"""`skt_tf.distill`: a method with networks and images of your own, in one call."""

import contextlib
import dataclasses
import difflib
import pathlib
import re
import time
import zlib

import keras
import numpy as np
import tensorflow as tf

from skt_tf.checkpoints import Checkpoints
from skt_tf.config import Config, differing
from skt_tf.datasets import Dataset
from skt_tf.environment import environment
from skt_tf.errors import UserError, one_line
from skt_tf.files import read_record, remove_drafts, write_json
from skt_tf.flows import check_network
from skt_tf.folding import fold_batch_norm
from skt_tf.locks import FolderLock
from skt_tf.methods import ONE_START, stages
from skt_tf.metrics import write_metrics
from skt_tf.networks import check_pair, flow_weights
from skt_tf.points import flow_name
from skt_tf.saving import save_network
from skt_tf.streams import Stream
from skt_tf.training import accuracy_over, run_stages

RECORD = "distill.json"

# What else `distill` takes: the command line's flags of these names.
SETTINGS = (
    "hint_steps",
    "transfer_split",
    "transfer_boundaries",
    "section_flows",
    "dense_flows",
    "flow_weights",
    "schedule",
    "learning_rate",
    "transfer_learning_rate",
    "hint_learning_rate",
    "weight_decay",
    "temperature",
    "hint_reduction",
    "transfer_batch_norm",
    "teacher_precision",
    "jit_compile",
    "checkpoint_every",
    "evaluations",
    "sections",
)


@dataclasses.dataclass(frozen=True)
class Distilled:
    """What `distill` has done.

    Attributes:
        student: the trained student, the same `keras.Model` that was given.
        history: {stage: {column: list}}: for each stage what it logged, `step` (iterations of
            the stage so far), `learning_rate` at that step, `loss` and its parts as means since
            the row before, and `validation_accuracy` where the stage trains the whole network
            (`test_accuracy` where a `skt_tf.Dataset` has no images held out).
        accuracy: the share of the validation images that the student classifies rightly after
            its last iteration; None without `validation_data`.
        flow_weights: {flow: λ} of the transfer loss, or None where nothing was transferred.
    """

    student: keras.Model
    history: dict
    accuracy: float | None
    flow_weights: dict | None


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
    callbacks=(),
    verbose="auto",
    **settings,
):
    """Trains `student` by a method with the help of `teacher`, stage by stage.

    Args:
        teacher: a functional or Sequential `keras.Model` from images to logits, already
            trained; it is left as it is. Its classes, its maps' sizes and what it does to the
            images first may differ from the student's: classes count where outputs are
            softened (`kd`, `hint`, `skt_kd`) alone. None for `baseline`.
        student: likewise; it is trained in place, from the weights that it has.
        train_data: (images, labels), arrays of [number, height, width, channels] and integers
            [number], which are shuffled; or a `tf.data.Dataset` of (image, label) or of batches
            of them, repeated in its own order. Images are taken as they are: augment in the
            `tf.data.Dataset`, or with layers of the student. Or a `skt_tf.Dataset`, whose images
            are cropped and mirrored as in the papers.
        validation_data: as `train_data`; watched and never trained on. Where `train_data` is a
            `skt_tf.Dataset`, its own held-out or test images if not given.
        method: a name of `skt_tf.methods.METHOD_NAMES`.
        transfer_steps: iterations of transfer, shared among the method's transfer stages.
        task_steps: iterations of the task.
        teacher_points: names of the teacher's layers in order of depth, 2n+1 for the ends and
            middles of n sections (stem, middle of section 1, its end, …), or n+1 for the ends
            alone, which `fsp` can do with. None: the seven names of `skt_tf.resnet`.
        student_points: likewise of the student, as many.
        project: whether a trained 1×1 convolution on the student's side bridges channels that
            differ at a point; it is thrown away at the end.
        batch_size: images an iteration.
        seed: integer that fixes the order of images from arrays.
        output_dir: a folder for `student.keras`, `metrics.csv`, and checkpoints. The same call
            goes on from the last one, and a finished one is not run again. None: nothing is
            written.
        callbacks: Keras callbacks; each sees every stage as one training, and one that stops
            training ends the stage.
        verbose: as in `fit`: 0 prints nothing, 1 a progress bar, 2 a line an interval.
        **settings: further settings, named and meant as the command line's flags: see
            `skt_tf.distilling.SETTINGS`.

    Returns:
        A `Distilled`.

    Raises:
        ValueError: what cannot be done with these networks and images, in one sentence.
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
    options = {
        "transfer_steps": transfer_steps,
        "task_steps": task_steps,
        "teacher_points": teacher_points,
        "student_points": student_points,
        "project": bool(project),
        "batch_size": batch_size,
        "seed": seed,
    }
    if output_dir is not None:
        output_dir = pathlib.Path(output_dir).expanduser()
    try:
        config = _config(method, teacher, options, settings)
        for network in (teacher, student):
            if network is not None:
                check_network(network)
        data = _data(train_data, validation_data, student, batch_size)
        if isinstance(data, Dataset):
            config = dataclasses.replace(config, crop=data.crop)
        check_pair(teacher, student, config)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_traced_without_notes())
            if output_dir is not None:
                stack.enter_context(FolderLock(output_dir))
            return _Distillation(config, teacher, student, data, output_dir).run(callbacks, verbose)
    except UserError as error:
        # The checks are those of the command line.
        said = str(error).replace("start over with --fresh", "give another output_dir")
        error.args = (re.sub(r"--(?=[a-z])", "", said), *error.args[1:])
        raise
    except tf.errors.OpError as error:
        raise UserError(
            f"training stopped at what train_data or validation_data holds, or a network does with "
            f"it: {one_line(error)}"
        ) from error


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
            close = difflib.get_close_matches(name, [*SETTINGS, *options], n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(SETTINGS)}"
            raise UserError(f"distill has no setting '{name}': {hint}")
    if teacher is None and any(stage.objective != "task" for stage in stages(method)):
        raise UserError(f"the method '{method}' needs a teacher and none was given")
    for name in ("teacher_points", "student_points"):
        options[name] = _names(name, options[name])
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    # NumPy's numbers cannot be written into JSON.
    options, settings = (
        {k: v.item() if isinstance(v, np.generic) else v for k, v in given.items()}
        for given in (options, settings)
    )
    for name in ("transfer_steps", "task_steps", "batch_size", "seed"):
        if not isinstance(options[name], int):
            raise UserError(f"{name}={options[name]} is no integer: expected one")
    if method in ONE_START:
        raise UserError(
            f"the method '{method}' is a control of several nets that begin with the same weights: "
            "distill trains one net, so give another method"
        )
    # The networks are here, not in files.
    names = {"teacher": teacher and "teacher", "student": "student"}
    try:
        return Config(methods=(method,), **names, **options, **settings)
    except TypeError as error:
        raise UserError(f"a setting is of another type than expected: {error}") from None


def _names(option, given):
    """A tuple of names of layers, or None."""
    if given is None:
        return None
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise UserError(f"{option}={given!r}: expected a list of names of layers")
    return tuple(given)


def _data(train_data, validation_data, student, batch_size):
    classes = student.output_shape[-1]
    if len(student.output_shape) != 2 or classes is None:
        raise UserError(
            f"the student has outputs of shape {student.output_shape[1:]}: expected logits, one "
            "number for each class"
        )
    shape = student.input_shape[1:]
    if len(shape) != 3:
        raise UserError(
            f"the student takes inputs of shape {shape}: expected images, (height, width, channels)"
        )
    if not isinstance(train_data, Dataset):
        return Stream(train_data, validation_data, batch_size, shape, classes)
    if validation_data is not None:
        raise UserError(
            "validation_data is given beside a skt_tf.Dataset, which has images to watch of its "
            "own: leave it out, or give arrays as train_data"
        )
    if train_data.image_shape != shape and None not in shape:
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


class _Distillation:
    """One call of `distill`."""

    def __init__(self, config, teacher, student, data, output_dir):
        self.config, self.teacher, self.student, self.data = config, teacher, student, data
        self.folder = output_dir
        self.record = {
            "settings": config.as_dict(),
            "teacher": teacher and _digest(teacher),
            "student": _digest(student),
            "data": data.digest,
            "environment": environment(),
            "flow_weights": None,
            "history": None,
            "accuracy": None,
        }

    def run(self, callbacks, verbose):
        checkpoints = self._go_on()
        if self.record["history"] is not None:
            if verbose:
                print(f"{self.folder} holds this distillation, finished: it is taken from there")
            self._take_weights()
            # Of the images that are given now, which may be others than before.
            self.record["accuracy"] = self._accuracy()
            return self._result()
        config, plan = self.config, self.config.stages(self.config.methods[0])
        weights, frozen = None, None
        if any(stage.objective != "task" for stage in plan):
            weights = self._flow_weights(plan)
            frozen = fold_batch_norm(self.teacher, config.teacher_precision)
        began = time.monotonic()
        records = run_stages(
            plan,
            self.student,
            frozen,
            self.data,
            config,
            seed=config.seed,
            flow_weights=weights,
            checkpoints=checkpoints,
            title=f"{config.methods[0]}, {self.student.name}",
            callbacks=callbacks,
            verbose=verbose,
        )
        self.record |= {
            "history": {record.name: _columns(record.rows) for record in records},
            "accuracy": self._accuracy(),
            "seconds": round(time.monotonic() - began, 1),
        }
        if self.folder:
            save_network(self.student, self.folder / "student.keras")
            write_metrics(self.folder / "metrics.csv", records)
            write_json(self.folder / RECORD, self.record)
            checkpoints.clear()
        return self._result()

    def _accuracy(self):
        watched = self.data.watched_batches()
        return None if watched is None else accuracy_over(self.student, watched)

    def _take_weights(self):
        """Gives the student the weights of the one that was trained in the folder."""
        try:
            self.student.load_weights(self.folder / "student.keras")
        except ValueError as error:  # Keras lists the layers.
            raise UserError(
                f"output_dir={self.folder} holds a student of other layers than "
                f"'{self.student.name}': give another folder"
            ) from error

    def _go_on(self):
        """Takes over what the folder holds; returns its checkpoints."""
        if not self.folder:
            return None
        path = self.folder / RECORD
        if path.exists():
            self._compare(read_record(path, self.record.keys(), "a distillation"))
        elif any(not f.name.startswith(".") for f in self.folder.iterdir()):
            raise UserError(
                f"output_dir={self.folder} holds other files and no {RECORD}: give an empty or a "
                "new folder"
            )
        remove_drafts(self.folder)
        write_json(path, self.record)
        return Checkpoints(self.folder / "checkpoints", self.config.checkpoint_every)

    def _compare(self, known):
        found = differing(known["settings"], self.record["settings"])
        pairs = {name: (known[name], self.record[name]) for name in ("teacher", "data")}
        # Once it is trained, a student is another one.
        if known["history"] is None:
            pairs["student"] = known["student"], self.record["student"]
        found |= {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if found:
            said = [f"{name} ({there} there, {here} here)" for name, (there, here) in found.items()]
            begun = ""
            if "student" in found:  # Most often it was built without a seed.
                begun = ", or the student with the weights that it began with there"
                begun += " (keras.utils.set_random_seed before it is built)"
            raise UserError(
                f"output_dir={self.folder} holds another distillation; it differs in "
                f"{', '.join(said)}: give another folder{begun}"
            )
        self.record = known

    def _flow_weights(self, plan):
        flows = [flow for stage in plan for flow in stage.flows]
        if not flows:
            return None
        if self.record["flow_weights"] is None:
            weights = flow_weights(self.config, self.teacher, self.data)
            self.record["flow_weights"] = {flow_name(flow): λ for flow, λ in weights.items()}
            if self.folder:
                write_json(self.folder / RECORD, self.record)
        return self._weights()

    def _weights(self):
        known = self.record["flow_weights"]
        return known and {flow: known[flow_name(flow)] for flow in self.config.flows}

    def _result(self):
        return Distilled(
            self.student, self.record["history"], self.record["accuracy"], self._weights()
        )


def _columns(rows):
    names = [name for name in rows[0] if name != "stage"] if rows else []
    return {name: [row[name] for row in rows if name in row] for name in names}


def _digest(network):
    """A number that other weights would hardly have."""
    total = 0
    for variable in network.variables:
        total = zlib.crc32(np.ascontiguousarray(variable.numpy()), total)
    return f"{total:08x}"
