"""One call of `distill`: what it does, and the folder by which it goes on."""

import contextlib
import dataclasses
import json
import re
import time
import zlib

import keras
import numpy as np

from skt_tf.data.datasets import Dataset
from skt_tf.methods.catalogue import needs_teacher, transfers
from skt_tf.methods.flow_weights import note_flow_weights, noted_flow_weights
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.evaluation import accuracy_over
from skt_tf.models.names import plain_names
from skt_tf.models.saving import policy_of, save_network, weights_digest
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.training.history import write_metrics
from skt_tf.training.pair_checks import say_teacher
from skt_tf.training.stage_loop import run_stages
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import UserError, warn
from skt_tf.utils.files import remove_drafts, whole, write_json
from skt_tf.utils.precision import precision_of_teacher
from skt_tf.utils.records import digest, read_record, refuse_other, refuse_strangers

RECORD = "distill.json"
# Weights that the student began with.
_BEGUN = ".begun.weights.h5"  # Hidden: a kill may come before there is a record.
# What is said of the images; in records of older versions it is filled in.
_SAID = ("dataset", "class_names", "watched", "validation_content")
# What records of older versions lack.
_LATER = {"augmentation", "used", "student_layers", "trained", "validation", *_SAID}


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


class Distillation:
    """One call of `distill`."""

    def __init__(self, config, teacher, student, data, output_dir):
        self.config, self.teacher, self.student, self.data = config, teacher, student, data
        self.folder = output_dir
        self.plan = config.stages(config.methods[0])
        self.title = f"{config.methods[0]}, {student.name}"
        unused = config.unused()
        self.record = {
            "settings": {k: v for k, v in config.as_dict().items() if k not in unused},
            "used": self._used(),
            "teacher": teacher and _digest(teacher),
            "student": _digest(student),
            "student_layers": _layers_digest(student),
            "trained": None,
            "data": data.digest,
            "validation": data.watched_digest,
            "augmentation": _augmentation(data),
            **_said(data),
            "validation_content": None,
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
            with plain_names(self.student):
                # Of the images that are given now, which may be others than before.
                self.record["accuracy"] = self._accuracy()
            return self._result()
        with plain_names(self.teacher, self.student):
            records = self._train(checkpoints, callbacks, verbose)
        if self.folder:
            save_network(self.student, self._path)
            self.record["trained"] = weights_digest(self._path)
            write_metrics(self.folder / "metrics.csv", records)
            self._write()
            checkpoints.clear()
            (self.folder / _BEGUN).unlink(missing_ok=True)
        return self._result()

    def _train(self, checkpoints, callbacks, verbose):
        config, plan = self.config, self.plan
        weights = frozen = None
        if needs_teacher(plan):
            self._say_teacher(verbose)
            frozen = fold_batch_norm(self.teacher, config.teacher_precision)
        if transfers(plan):
            weights = note_flow_weights(self.record, config, self.teacher, self.data, self.student)
            self._write()
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
            title=self.title,
            callbacks=callbacks,
            verbose=verbose,
        )
        self.record |= {
            "history": {record.name: _columns(record.rows) for record in records},
            "accuracy": self._accuracy(),
            "seconds": round(time.monotonic() - began, 1),
        }
        return records

    def _accuracy(self):
        watched = self.data.watched_batches()
        return None if watched is None else accuracy_over(self.student, watched)[0]

    def _say_teacher(self, verbose):
        teacher, data = self.teacher, self.data
        batches, where = data.watched_batches(), data.watched_name
        if teacher.output_shape != self.student.output_shape:
            if verbose:
                print(f"teacher: other classes than the student's {self.student.output_shape[-1]}")
            return
        if batches is None:
            batches, where = [data.first], f"{len(data.first[1])} training"
        accuracy, labels = accuracy_over(teacher, batches)
        # In data that are sorted by class, one class alone may have been seen.
        say_teacher(
            accuracy, labels, teacher.output_shape[-1], where, verbose, given=np.ptp(labels) > 0
        )

    def _take_weights(self):
        """Gives the student the weights of the one that was trained in the folder."""
        if not self._path.is_file():
            raise UserError(f"{self._path} is no file any more: give another folder")
        found = weights_digest(self._path)
        if self.record.get("trained", found) != found:  # Older records do not say.
            raise UserError(
                f"{self._path} is not the student that was trained here, for its weights are "
                "others: give another folder"
            )
        try:
            self.student.load_weights(self._path)
        except ValueError as error:  # Of a record that says nothing of the layers.
            raise UserError(
                f"output_dir={self.folder} holds a student of other layers than "
                f"'{self.student.name}': give another folder"
            ) from error

    def _go_on(self):
        """Takes over what the folder holds; returns its checkpoints."""
        if not self.folder:
            return None
        refuse_strangers(self.folder, RECORD)
        self.record["validation_content"] = _content(self.data)
        path = self.folder / RECORD
        if path.exists():
            keys = self.record.keys() - _LATER
            self._compare(read_record(path, keys, "a distillation"))
        remove_drafts(self.folder)
        if not path.exists():
            with whole(self.folder / _BEGUN) as draft:
                self.student.save_weights(draft)
        self._write()
        return Checkpoints(self.folder / "checkpoints", self.config.checkpoint_every)

    def _compare(self, known):
        # Records of older versions have settings of other jobs as well.
        found = self.config.differing(
            known["settings"], self.record["settings"], self.config.unused(), strangers=False
        )
        for name in (
            "teacher", "data", "watched", "validation", "validation_content", "augmentation",
            "student_layers",
        ):  # fmt: skip
            pair = known.get(name, self.record[name]), self.record[name]
            if pair[0] != pair[1] and not self._are_one(name, *pair):
                found[name.replace("_", "'s ")] = pair
        # Of data that come otherwise each time, such as shuffled and cut, content tells nothing.
        content = found.get("validation's content")
        if content and _content(self.data) != content[1]:
            del found["validation's content"]
        refuse_other(self.folder, "distillation", found)
        # Once it is trained, a student is another one.
        if known["history"] is None and known["student"] != self.record["student"]:
            self._take_begun(known)
        self.record = {**{name: self.record[name] for name in _SAID}, **known}

    def _are_one(self, name, known, here):
        """Whether a digest that was noted otherwise is that of the same images."""
        if not isinstance(self.data, Dataset):
            return False
        # That there are some is said by "watched"; which ones, by images in memory alone, and not
        # by older records.
        unsaid = name == "validation" and None in (known, here)
        return unsaid or (name == "data" and self.data.identity.is_of(known))

    def _take_begun(self, known):
        """Of a student that was built without a seed, the weights that it began with are taken."""
        path = self.folder / _BEGUN
        if not path.exists():  # Of an older version.
            found = {"student": (known["student"], self.record["student"])}
            more = ", or the student with the weights that it began with there"
            more += " (keras.utils.set_random_seed before it is built)"
            refuse_other(self.folder, "distillation", found, more)
        warn(
            f"the student '{self.student.name}' has other weights than the one that began in "
            f"{self.folder}: it begins with those, which {path} holds"
        )
        self.student.load_weights(path)

    @property
    def _path(self):
        return self.folder / "student.keras"

    def _used(self):
        """What settings that were left open came to here, on this machine."""
        config, used = self.config, {"student_precision": policy_of(self.student).name}
        if needs_teacher(self.plan):
            used["teacher_precision"] = precision_of_teacher(config.teacher_precision)
        used["learning_rates"] = {s.name: config.rate(s.kind) for s in self.plan}
        return used

    def _write(self):
        if self.folder:
            write_json(self.folder / RECORD, self.record)

    def _result(self):
        weights = noted_flow_weights(self.record, self.config.flows)
        return Distilled(self.student, self.record["history"], self.record["accuracy"], weights)


def _augmentation(data):
    """How the training images are augmented here; None where they are taken as they are."""
    return {"crop": data.crop, "mirror": data.mirrored} if isinstance(data, Dataset) else None


def _said(data):
    """What a model card says of the images; arrays, and batches that come, have no names."""
    if isinstance(data, Dataset):
        names = data.class_names and list(data.class_names)
        return {"dataset": str(data.name), "class_names": names, "watched": data.watched_name}
    watched = None if data.watched_digest is None else data.watched_name
    return {"dataset": None, "class_names": None, "watched": watched}


def _content(data):
    return None if isinstance(data, Dataset) else data.watched_content()


def _columns(rows):
    names = [name for name in rows[0] if name != "stage"] if rows else []
    return {name: [row[name] for row in rows if name in row] for name in names}


def _layers_digest(network):
    """A number that other layers would hardly have; names and first weights do not count."""
    found = []
    for layer in network._flatten_layers(include_self=False):
        config = {}
        if not isinstance(layer, keras.Model):
            with contextlib.suppress(Exception):  # A layer of one's own raises whatever it does.
                config = layer.get_config()
        kept = {k: v for k, v in config.items() if k != "name" and not re.search("seed|init", k)}
        shapes = [list(variable.shape) for variable in layer.variables]
        found.append([type(layer).__name__, kept, shapes])
    text = json.dumps(found, sort_keys=True, default=lambda value: type(value).__name__)
    return f"{zlib.crc32(text.encode()):08x}"


def _digest(network):
    """A number that other weights would hardly have."""
    return digest(variable.numpy() for variable in network.variables)
