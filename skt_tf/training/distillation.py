"""One call of `distill`: what it does, and the folder by which it goes on."""

import dataclasses
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
from skt_tf.models.saving import save_network
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.training.history import write_metrics
from skt_tf.training.stage_loop import run_stages
from skt_tf.training.teacher_accuracy import say_teacher
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import UserError
from skt_tf.utils.files import remove_drafts, write_json
from skt_tf.utils.records import read_record, refuse_other, refuse_strangers

RECORD = "distill.json"


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
        self.record = {
            "settings": config.as_dict(),
            "teacher": teacher and _digest(teacher),
            "student": _digest(student),
            "data": data.digest,
            "augmentation": _augmentation(data),
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
            save_network(self.student, self.folder / "student.keras")
            write_metrics(self.folder / "metrics.csv", records)
            self._write()
            checkpoints.clear()
        return self._result()

    def _train(self, checkpoints, callbacks, verbose):
        config, plan = self.config, self.config.stages(self.config.methods[0])
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
            title=f"{config.methods[0]}, {self.student.name}",
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
        batches, where = data.watched_batches(), data.part
        if teacher.output_shape != self.student.output_shape:
            if verbose:
                print(f"teacher: other classes than the student's {self.student.output_shape[-1]}")
            return
        if batches is None:
            batches, where = [data.first], f"first {len(data.first[1])} training"
        accuracy, labels = accuracy_over(teacher, batches)
        say_teacher(accuracy, labels, teacher.output_shape[-1], where, verbose)

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
        refuse_strangers(self.folder, RECORD)
        path = self.folder / RECORD
        if path.exists():
            keys = self.record.keys() - {"augmentation"}  # Older records lack it.
            self._compare(read_record(path, keys, "a distillation"))
        remove_drafts(self.folder)
        self._write()
        return Checkpoints(self.folder / "checkpoints", self.config.checkpoint_every)

    def _compare(self, known):
        here = self.record["augmentation"]
        # Records of older versions have settings of other jobs as well.
        found = self.config.differing(known["settings"], strangers=False)
        pairs = {name: (known[name], self.record[name]) for name in ("teacher", "data")}
        pairs["augmentation"] = known.get("augmentation", here), here
        # Once it is trained, a student is another one.
        if known["history"] is None:
            pairs["student"] = known["student"], self.record["student"]
        found |= {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        begun = ""
        if "student" in found:  # Most often it was built without a seed.
            begun = ", or the student with the weights that it began with there"
            begun += " (keras.utils.set_random_seed before it is built)"
        refuse_other(self.folder, "distillation", found, begun)
        self.record = known

    def _write(self):
        if self.folder:
            write_json(self.folder / RECORD, self.record)

    def _result(self):
        weights = noted_flow_weights(self.record, self.config.flows)
        return Distilled(self.student, self.record["history"], self.record["accuracy"], weights)


def _augmentation(data):
    """How the training images are augmented here; None where they are taken as they are."""
    return {"crop": data.crop, "mirror": data.mirrored} if isinstance(data, Dataset) else None


def _columns(rows):
    names = [name for name in rows[0] if name != "stage"] if rows else []
    return {name: [row[name] for row in rows if name in row] for name in names}


def _digest(network):
    """A number that other weights would hardly have."""
    total = 0
    for variable in network.variables:
        total = zlib.crc32(np.ascontiguousarray(variable.numpy()), total)
    return f"{total:08x}"
