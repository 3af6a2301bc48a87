"""Where a net stands, on the disk: what a killed run goes on from."""

import dataclasses
import json
import pathlib
import re
import shutil
import tempfile
import time

import tensorflow as tf

import skt_tf
from skt_tf.training.history import Progress, StageRecord
from skt_tf.utils.distribution import several_workers
from skt_tf.utils.errors import UserError, one_line, start_over, warn
from skt_tf.utils.files import whole_folder

_KEPT = 2
_STATE = "state/.ATTRIBUTES/py_state"  # As TensorFlow names what is no variable.


class Checkpoints:
    """The last two checkpoints of one net, each a folder of `tf.train.Checkpoint`'s files.

    Args:
        folder: where they lie; made when the first one is written.
        every: how often one is `due`: a number of iterations such as `"500"`, or of
            seconds such as `"60s"`.
        writes: whether this process writes; further workers of a cluster add what they have
            to the chief's files.
    """

    def __init__(self, folder, every="60s", writes=True):
        self.folder, self.every, self.writes = pathlib.Path(folder), every, writes
        self._saved = time.monotonic()
        self._found = None

    def due(self, progress):
        """Whether it is time to save."""
        if self.every.endswith("s"):
            return time.monotonic() - self._saved >= float(self.every[:-1])
        return progress.step % int(self.every) == 0

    def save(self, progress, variables):
        """Writes a checkpoint, whole or not at all, and removes those before the last two.

        Args:
            progress: a `Progress`.
            variables: {group: list of Keras variables}.
        """
        path = self.folder / str(progress.iterations)
        state = {
            "skt_tf": skt_tf.__version__,
            "variables": _shapes(variables),
            "copies": _number_of_copies(variables),
            "progress": dataclasses.asdict(progress),
        }
        # What a metric has counted lies with all workers: they write when the chief does.
        target = whole_folder(path) if self.writes else tempfile.TemporaryDirectory()
        try:
            with target as draft:
                files = _files(variables, _State(json.dumps(state)))
                files.write(str(pathlib.Path(draft, "variables")))
        except tf.errors.OpError as error:
            raise OSError(0, one_line(error), str(self.folder)) from None
        if self.writes:
            for path in self._paths()[_KEPT:]:
                shutil.rmtree(path)
        self._saved = time.monotonic()

    def newest(self):
        """The `Progress` of the newest checkpoint that is whole; an empty one if there are none.

        Damaged ones are passed over with a warning, and removed.

        Raises:
            ValueError: all are damaged, or the newest was written by another version.
        """
        damaged = []
        for path in self._paths():
            try:
                state = _read(path)
            # TensorFlow raises one or another kind, by what was cut or changed.
            except Exception as error:
                damaged.append((path, one_line(error)))
                continue
            version = state.get("skt_tf")
            try:
                progress = _progress(**state["progress"]) if version == skt_tf.__version__ else None
            except (KeyError, TypeError):
                progress = None
            if progress is None:
                raise UserError(
                    f"the checkpoint {path} was written by other code, skt_tf {version}, and this "
                    f"is {skt_tf.__version__}: go on with that one, or {start_over()}"
                )
            for other, reason in damaged:
                warn(f"the checkpoint {other} is damaged ({reason}): going on from {path}")
                if self.writes:
                    shutil.rmtree(other)
            self._found = path, state
            return progress
        if damaged:
            path, reason = damaged[0]
            raise UserError(
                f"the checkpoint {path} is damaged ({reason}) and there is no older one: remove "
                f"{self.folder} to train this network anew, or {start_over()}"
            )
        return Progress()

    def restore(self, variables):
        """Gives `variables` the values of the checkpoint that `newest` found.

        Args:
            variables: {group: list of Keras variables}, as they were saved.

        Raises:
            ValueError: they were other variables.
        """
        path, state = self._found
        if state["variables"] != _shapes(variables):
            raise UserError(
                f"the checkpoint {path} holds the variables of another network or optimizer: "
                f"go on with the code that wrote it, or {start_over()}"
            )
        files = str(path / "variables")
        if state.get("copies") in (None, _number_of_copies(variables)):
            _files(variables, _State("")).read(files).assert_consumed()
            return
        # It goes on with another number of devices than it was saved with.
        others = {name: group for name, group in variables.items() if name != "metrics"}
        _files(others, _State("")).read(files).assert_existing_objects_matched()
        _restore_sums(variables["metrics"], tf.train.load_checkpoint(files))

    def clear(self):
        """Removes all checkpoints: the net is saved."""
        if self.writes:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self):
        """The checkpoints' folders, newest first."""
        found = self.folder.glob("*") if self.folder.is_dir() else ()
        numbered = [path for path in found if path.name.isdecimal()]
        return sorted(numbered, key=lambda path: int(path.name), reverse=True)


class _State(tf.train.experimental.PythonState):
    """A text beside the variables, under the same checksums."""

    def __init__(self, text):
        self.text = text

    def serialize(self):
        return self.text

    def deserialize(self, text):
        self.text = text


def _files(variables, state):
    groups = {name: [v.value for v in group] for name, group in variables.items()}
    groups["metrics"] = [_copies(v) or v.value for v in variables.get("metrics", ())]
    return tf.train.Checkpoint(**groups, state=state)


def _copies(variable):
    """What each device of a machine has counted of a metric; nothing in a cluster.

    Their sum, shared out evenly when it is read, would round otherwise; another worker's cannot be
    had from here.
    """
    if several_workers(tf.distribute.get_strategy()):
        return []
    return list(getattr(variable.value, "values", [variable.value]))


def _number_of_copies(variables):
    return max((len(_copies(v)) for v in variables.get("metrics", ())), default=0)


def _restore_sums(metrics, reader):
    """Gives each of `metrics` what all of its copies have counted together."""
    names = sorted(reader.get_variable_to_shape_map())
    for number, metric in enumerate(metrics):
        of_it = re.compile(rf"metrics/{number}(/\d+)?/\.ATTRIBUTES/VARIABLE_VALUE")
        total = sum(reader.get_tensor(name) for name in names if of_it.fullmatch(name))
        copies = _copies(metric) or [metric.value]  # In a cluster it is shared out evenly.
        for copy, value in zip(copies, [total] + [tf.zeros_like(total)] * (len(copies) - 1)):
            copy.assign(value)


def _shapes(variables):
    return {
        name: [[v.dtype, *v.shape] for v in group] for name, group in variables.items() if group
    }


def _read(path):
    """The state of a checkpoint; an error if anything of it is damaged."""
    reader = tf.train.load_checkpoint(str(path / "variables"))
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)  # TensorFlow compares its checksum.
    return json.loads(reader.get_tensor(_STATE))


def _progress(records, **rest):
    return Progress([StageRecord(**record) for record in records], **rest)


def student_variables(student, projections):
    """{group: list of variables} of all that the stages to come depend on."""
    layers = [projections[point] for point in sorted(projections)]
    return {
        "student": student.variables,
        "projections": [variable for layer in layers for variable in layer.variables],
    }


def stage_variables(distiller):
    """{group: list of variables} of all that the rest of a stage depends on."""
    groups = student_variables(distiller.student, distiller.projections)
    known = {id(variable) for group in groups.values() for variable in group}
    heads = [v for head in distiller.heads for v in head.non_trainable_variables]
    return {
        **groups,
        "regressor": [v for v in distiller.trainable_variables if id(v) not in known],
        "beside": heads + distiller.anchors,
        "optimizer": distiller.optimizer.variables,
        "metrics": [v for metric in distiller.metrics for v in metric.variables],
    }
