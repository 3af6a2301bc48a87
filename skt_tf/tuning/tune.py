"""`--job=tune`: a search with keras-tuner, on validation images alone.

The search is its folder, as a run is. Several processes share one by keras-tuner's own
distributed mode: a chief, which hands out trials, and workers, which train.
"""

import contextlib
import dataclasses
import pathlib

import grpc
import keras_tuner

from skt_tf.data.datasets import load_dataset
from skt_tf.experiments.nets import first_student
from skt_tf.experiments.run_folder import check_student_file, check_teacher
from skt_tf.experiments.teacher import load_teacher, say_accuracy, train_teacher
from skt_tf.methods.catalogue import needs_teacher, transfers
from skt_tf.methods.flow_weights import note_flow_weights, noted_flow_weights
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.building import build
from skt_tf.models.checks import classifies
from skt_tf.models.cost import check_memory
from skt_tf.models.evaluation import accuracy
from skt_tf.models.saving import load_network, save_network
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.training.pair_checks import check_pair, say_augmentation
from skt_tf.tuning import chief
from skt_tf.tuning import search_report as report
from skt_tf.tuning.oracles import share
from skt_tf.tuning.search_space import configured
from skt_tf.tuning.tuner import Tuner
from skt_tf.utils import failed_operations
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import UserError
from skt_tf.utils.files import remove_drafts, write_json
from skt_tf.utils.locks import FolderLock
from skt_tf.utils.precision import set_policy
from skt_tf.utils.records import read_record, refuse_other, refuse_strangers

RECORD = "search.json"
# Of the training images, where --validation is 0.
_HELD_OUT = 10
# May differ from one start to the next: a search may be made longer.
_FREE = ("trials", "evaluations", "nets")


def run(config):
    """Runs, or goes on with, the search that `config` describes.

    Returns:
        The trials, as `skt_tf.tuning.search_report.ranked` has them.

    Raises:
        ValueError: data or networks do not fit, or the folder holds another search; or a worker
            waits for a chief that is not there.
    """
    folder = pathlib.Path(config.output_dir)
    refuse_strangers(folder, RECORD)
    chief.check_place()
    with contextlib.ExitStack() as stack:
        stack.enter_context(failed_operations.said(config.batch_size, folder=folder))
        lock = None
        if not chief.is_worker():
            lock = stack.enter_context(FolderLock(folder))
            if chief.is_shared():
                stack.enter_context(chief.showing_life(folder))
        return _Search(config, lock).run()


class _Search:
    def __init__(self, config, lock):
        self.config, self.folder = config, pathlib.Path(config.output_dir)
        set_policy(config.precision)
        dataset = load_dataset(*config.images)
        self.identity = dataset.identity
        dataset = dataset.hold_out(config.validation or len(dataset.train_labels) // _HELD_OUT)
        # Whatever would read the test images reads these.
        self.dataset = dataclasses.replace(
            dataset, test_images=dataset.validation_images, test_labels=dataset.validation_labels
        )
        check_memory(config, dataset.image_shape)
        self.record = {
            "settings": {
                **config.as_dict(),
                "tuner": config.tuner,
                "trials": config.trials,
                "tune": list(config.tune),
            },
            "data": self.identity.digest,
            "test_name": dataset.test_name,
            "validation": len(dataset.validation_labels),
            "environment": environment(),
            "flow_weights": None,
            "ready": False,
        }
        self.plan = config.stages(config.methods[0])
        if chief.is_worker():
            path = self.folder / RECORD
            chief.wait_for_chief(
                self.folder, path.exists, lambda: path.exists() and _known(path)["ready"]
            )
            self._compare(_known(path))
            check_student_file(self.record, config.student)
        else:
            self._prepare(lock)

    def run(self):
        config = self.config
        teacher = None
        if needs_teacher(self.plan):
            teacher = fold_batch_norm(load_network(self.teacher_path), config.teacher_precision)
        weights = noted_flow_weights(self.record, config.flows)
        tuner = Tuner(self, teacher, weights)
        chief.check_place()  # Hours may lie between.
        try:
            tuner.search()
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ from None
        except grpc.RpcError as error:
            raise chief.no_answer(error) from None
        if chief.is_worker():
            return []
        found = [_row(trial) for _, trial in sorted(tuner.oracle.trials.items())]
        order = report.ranked(found)
        best = None
        if order and order[0]["accuracy"] is not None:
            best = configured(config, order[0]["values"], weights)
        report.write(self.folder, self.record, found, best)
        if best is None:
            raise UserError(
                f"no trial of the search has an accuracy: {self.folder / 'report.md'} says why"
            )
        print(
            f"best of {len(found)}: trial {order[0]['number']}, {order[0]['accuracy']:.2%} of the "
            f"validation images{report.shortened(order[0])}\n{self.folder / report.FLAGFILE}, "
            f"{self.folder / 'report.html'}"
        )
        return order

    @property
    def teacher_path(self):
        return self.folder / "teacher" / "model.keras"

    def _prepare(self, lock):
        """Takes over what the folder holds; trains the teacher and measures λ if they lack."""
        path = self.folder / RECORD
        if self.config.fresh and path.exists():
            print(f"the search that was there is kept as {lock.keep_beside()}")
        remove_drafts(self.folder)
        if path.exists():
            self._compare(_known(path))
        check_student_file(self.record, self.config.student)
        given = None if self.record["ready"] else self._check_networks()
        write_json(path, self.record)
        if self.record["ready"]:
            return
        if needs_teacher(self.plan):
            teacher, config, dataset = self._teacher(given), self.config, self.dataset
            if classifies(teacher, dataset):
                found = accuracy(teacher, *dataset.watched)
                say_accuracy(found, dataset, config.teacher is not None)
            if transfers(self.plan):
                student = first_student(config, dataset, config.methods[0], teacher)
                note_flow_weights(self.record, config, teacher, dataset, student)
        self.record["ready"] = True
        write_json(path, self.record)

    def _check_networks(self):
        """The network of --teacher, if given; raises a ValueError where the networks do not fit."""
        config, dataset, teacher = self.config, self.dataset, None
        given = load_teacher(config, dataset) if config.teacher else None
        if needs_teacher(self.plan):
            teacher = given or build(config, "teacher", dataset, seed=0)
        student = first_student(config, dataset, config.methods[0], teacher)
        check_pair(teacher, student, config, dataset.train_images, dataset.number)
        say_augmentation(student, config)
        return given

    def _teacher(self, given):
        """The teacher, given, trained before, or trained now; it is saved in the folder."""
        if given:
            save_network(given, self.teacher_path)
            return given
        if self.teacher_path.exists():  # Of a search that was killed before it was ready.
            return load_network(self.teacher_path)
        folder = self.teacher_path.with_name("checkpoints")
        checkpoints = Checkpoints(folder, self.config.checkpoint_every)
        teacher, _ = train_teacher(self.config, self.dataset, checkpoints)
        save_network(teacher, self.teacher_path)
        checkpoints.clear()
        return teacher

    def _compare(self, known):
        found = self.config.differing(known["settings"], self.record["settings"], aside=_FREE)
        if not self.identity.is_of(known["data"]):
            found["the images"] = known["data"], self.record["data"]
        refuse_other(self.folder, "search", found)
        if known["ready"] and needs_teacher(self.plan):
            source = known["settings"].get("teacher")
            check_teacher(self.config.teacher, source, self.teacher_path)
        self.record = {**known, "settings": self.record["settings"]}


def _known(path):
    return read_record(path, {"data", "ready", "flow_weights"}, "a search")


def _row(trial):
    """A finished trial as plain values."""
    values = dict(trial.hyperparameters.values)
    failed = None
    if trial.score is None:
        lines = (trial.message or "it was not run").strip().splitlines()
        failed = lines[-1].split("FailedTrialError: ")[-1]
    return {
        "number": int(trial.trial_id),
        "accuracy": trial.score,
        "share": share(values),
        "values": values,
        "failed": failed,
    }
