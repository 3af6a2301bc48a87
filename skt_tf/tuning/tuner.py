"""keras-tuner's tuner: each trial trains one net, on validation images alone."""

import dataclasses
import json
import pathlib
import sys
import zlib

import grpc
import keras_tuner

from skt_tf.experiments.nets import net_seed, new_student
from skt_tf.models.evaluation import accuracy
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.training.stage_loop import run_stages
from skt_tf.tuning.chief import SILENCE, is_worker, no_answer
from skt_tf.tuning.oracles import OBJECTIVE, oracle, share
from skt_tf.tuning.search_report import FLAGFILE
from skt_tf.tuning.search_space import configured, hyperparameters
from skt_tf.utils.errors import Diverged, UserError
from skt_tf.utils.files import write_json


class _Impossible(Exception):
    """The values of a trial make no configuration."""


class Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Trains one net a trial."""

    def __init__(self, search, teacher, weights):
        self.of, self.teacher, self.weights = search, teacher, weights
        super().__init__(
            oracle(search.config, hyperparameters(search.config)),
            directory=str(search.folder),
            project_name="search",
        )
        self.oracle.verbose = 0
        if is_worker():  # keras-tuner waits for an hour.
            sys.modules[type(self.oracle).__module__].TIMEOUT = SILENCE
        keras_tuner.src.config.DEBUG = False  # A trial that fails has said why.

    def _populate_initial_space(self):
        # keras-tuner goes on where it finds a file of this tuner's name, which holds nothing.
        place = pathlib.Path(self.project_dir)
        names = "trials.json", "report.md", FLAGFILE  # Of a search that has ended.
        ends = [self.of.folder / name for name in names]
        # The first trial lies there before the oracle knows of it.
        several = len(list(place.glob("trial_*"))) > 1
        if several or any(path.exists() for path in ends) or (place / "oracle.json").exists():
            self.reload()

    def reload(self):
        if not is_worker():
            self.oracle.reload()

    def save(self):
        """As keras-tuner's, but whole or not at all."""
        if not is_worker():
            self.oracle.save()
        write_json(self._get_tuner_fname(), self.get_state())

    def _run_and_update_trial(self, trial):
        try:
            super()._run_and_update_trial(trial)
        except grpc.RpcError as error:
            raise keras_tuner.errors.FatalError from no_answer(error)

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
        student = new_student(config, search.dataset, config.methods[0], seed, search.teacher_path)
        # By its values too, since a trial that was killed as it was made may get others.
        mark = zlib.crc32(json.dumps(values, sort_keys=True).encode())
        folder = search.folder / "trials" / f"{name}-{mark:08x}"
        checkpoints = Checkpoints(folder, config.checkpoint_every)
        weights = self.weights
        if "flow_weights" in base.tune:
            weights = dict(zip(config.flows, config.flow_weights))
        run_stages(
            config.stages(config.methods[0]),
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
        found = accuracy(student, *search.dataset.watched)
        checkpoints.clear()
        return found
