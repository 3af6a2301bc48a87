"""`--job=tune`: a search with keras-tuner, on validation images alone.

The search is its folder, as a run is. Several processes share one by keras-tuner's own
distributed mode: a chief, which hands out trials, and workers, which train.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import time
import zlib

import keras
import keras_tuner

from skt_tf.data.datasets import load_dataset
from skt_tf.experiments.nets import net_seed, new_student
from skt_tf.experiments.run_folder import check_teacher
from skt_tf.experiments.teacher import load_teacher, train_teacher
from skt_tf.methods.catalogue import needs_teacher, transfers
from skt_tf.methods.flow_weights import note_flow_weights, noted_flow_weights
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.cost import check_memory
from skt_tf.models.evaluation import accuracy
from skt_tf.models.saving import load_network, save_network
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.training.sequential_distiller import check_pair
from skt_tf.training.stage_loop import run_stages
from skt_tf.tuning import search_report as report
from skt_tf.tuning.oracles import OBJECTIVE, oracle, share
from skt_tf.tuning.search_space import configured, hyperparameters
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import Diverged, UserError
from skt_tf.utils.files import remove_drafts, write_json
from skt_tf.utils.locks import FolderLock
from skt_tf.utils.records import read_record, refuse_other, refuse_strangers

RECORD = "search.json"
# Of the training images, where --validation is 0.
_HELD_OUT = 10
# May differ from one start to the next: a search may be made longer.
_FREE = ("trials", "evaluations")


def run(config):
    """Runs, or goes on with, the search that `config` describes.

    Returns:
        The trials, as `skt_tf.tuning.search_report.ranked` has them.

    Raises:
        ValueError: data or networks do not fit, or the folder holds another search.
    """
    refuse_strangers(pathlib.Path(config.output_dir), RECORD)
    with contextlib.nullcontext() if _is_worker() else FolderLock(config.output_dir) as lock:
        return _Search(config, lock).run()


def _is_worker():
    chief = os.environ.get("KERASTUNER_TUNER_ID", "").startswith("chief")
    return "KERASTUNER_ORACLE_IP" in os.environ and not chief


class _Search:
    def __init__(self, config, lock):
        self.config, self.folder = config, pathlib.Path(config.output_dir)
        keras.config.set_dtype_policy(config.precision)
        dataset = load_dataset(*config.images)
        digest = dataset.digest
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
            "data": digest,
            "validation": len(dataset.validation_labels),
            "environment": environment(),
            "flow_weights": None,
            "ready": False,
        }
        self.plan = config.stages(config.methods[0])
        if _is_worker():
            self._wait_for_chief()
        else:
            self._prepare(lock)

    def run(self):
        config = self.config
        teacher = None
        if needs_teacher(self.plan):
            teacher = fold_batch_norm(load_network(self._teacher_path), config.teacher_precision)
        weights = noted_flow_weights(self.record, config.flows)
        tuner = _Tuner(self, teacher, weights)
        try:
            tuner.search()
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ from None
        if _is_worker():
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
            f"validation images\n{self.folder / report.FLAGFILE}, {self.folder / 'report.html'}"
        )
        return order

    @property
    def _teacher_path(self):
        return self.folder / "teacher" / "model.keras"

    def _prepare(self, lock):
        """Takes over what the folder holds; trains the teacher and measures λ if they lack."""
        path = self.folder / RECORD
        if self.config.fresh and path.exists():
            print(f"the search that was there is kept as {lock.keep_beside()}")
        remove_drafts(self.folder)
        if path.exists():
            self._compare(_known(path))
        write_json(path, self.record)
        if self.record["ready"]:
            return
        if needs_teacher(self.plan):
            teacher = self._teacher()
            check_pair(
                teacher, new_student(self.config, self.dataset, self.config.methods[0], 0),
                self.config,
            )  # fmt: skip
            save_network(teacher, self._teacher_path)
            if transfers(self.plan):
                note_flow_weights(self.record, self.config, teacher, self.dataset)
        self.record["ready"] = True
        write_json(path, self.record)

    def _teacher(self):
        config = self.config
        if config.teacher:
            return load_teacher(config, self.dataset)
        folder = self._teacher_path.with_name("checkpoints")
        checkpoints = Checkpoints(folder, config.checkpoint_every)
        teacher, _ = train_teacher(config, self.dataset, checkpoints)
        checkpoints.clear()
        return teacher

    def _compare(self, known):
        found = self.config.differing(known["settings"], self.record["settings"], aside=_FREE)
        if known["data"] != self.record["data"]:
            found["the images"] = known["data"], self.record["data"]
        refuse_other(self.folder, "search", found)
        if known["ready"] and needs_teacher(self.plan):
            source = known["settings"].get("teacher")
            check_teacher(self.config.teacher, source, self._teacher_path)
        self.record = {**known, "settings": self.record["settings"]}

    def _wait_for_chief(self):
        path, said = self.folder / RECORD, False
        while not path.exists() or not _known(path)["ready"]:
            if not said:
                print("waiting for the chief's teacher", flush=True)
                said = True
            time.sleep(1)
        self._compare(_known(path))


def _known(path):
    return read_record(path, {"data", "ready", "flow_weights"}, "a search")


class _Impossible(Exception):
    """The values of a trial make no configuration."""


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Trains one net a trial."""

    def __init__(self, search, teacher, weights):
        self.of, self.teacher, self.weights = search, teacher, weights
        super().__init__(
            oracle(search.config, hyperparameters(search.config)),
            directory=str(search.folder),
            project_name="search",
        )
        self.oracle.verbose = 0
        keras_tuner.src.config.DEBUG = False  # A trial that fails has said why.

    def save(self):
        """As keras-tuner's, but whole or not at all."""
        if not _is_worker():
            self.oracle.save()
        write_json(self._get_tuner_fname(), self.get_state())

    def run_trial(self, trial):
        values = dict(trial.hyperparameters.values)
        try:
            found = self._train(trial.trial_id, values)
        except (Diverged, _Impossible) as error:
            # What diverged names its trial by itself.
            name = "" if isinstance(error, Diverged) else f"trial {int(trial.trial_id)}: "
            print(f"{name}{error}", flush=True)
            raise keras_tuner.errors.FailedTrialError(str(error)) from None
        # keras-tuner would note any other error in a file and go on.
        except Exception as error:
            raise keras_tuner.errors.FatalError from error
        shown = ", ".join(f"{k} {v:.4g}" for k, v in values.items() if "/" not in k)
        print(
            f"trial {int(trial.trial_id)}: {found:.2%} of the validation images with {shown}",
            flush=True,
        )
        return {OBJECTIVE: found}

    def _train(self, name, values):
        search, base = self.of, self.of.config
        try:
            config = configured(base, values, self.weights)
            config = dataclasses.replace(config, budget=config.budget * share(values))
        except UserError as error:  # Such as a stage without an iteration.
            raise _Impossible(str(error)) from None
        seed = net_seed(config, config.methods[0], 0)
        student = new_student(config, search.dataset, config.methods[0], seed)
        # By its values too, since a trial that was killed as it was made may get others.
        mark = zlib.crc32(json.dumps(values, sort_keys=True).encode())
        folder = search.folder / "trials" / f"{name}-{mark:08x}"
        checkpoints = Checkpoints(folder, config.checkpoint_every)
        weights = self.weights
        if "flow_weights" in base.tune:
            weights = dict(zip(config.flows, config.flow_weights))
        run_stages(
            search.plan if config.transfer_split is None else config.stages(config.methods[0]),
            student,
            self.teacher,
            search.dataset,
            config,
            seed=seed,
            flow_weights=weights,
            checkpoints=checkpoints,
            title=f"trial {int(name)}",
            verbose=0,
        )
        images, labels = search.dataset.validation_images, search.dataset.validation_labels
        found = accuracy(student, images, labels)
        checkpoints.clear()
        return found


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
