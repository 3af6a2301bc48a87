"""keras-tuner's oracles, made to last: whole files, and nothing lost where a process was killed."""

import json
import pathlib

import keras_tuner
from keras_tuner.src.engine import trial as trials

from skt_tf.utils.errors import UserError
from skt_tf.utils.files import write_text

# Of Hyperband: trials begin with a ninth of the iterations, and a third of them go on to three.
EPOCHS, _FACTOR = 9, 3
OBJECTIVE = "val_accuracy"


class _Lasting:
    """An oracle that writes each file whole or not at all, and comes back as it was."""

    def save(self):
        write_text(self._get_oracle_fname(), json.dumps(self.get_state()))

    def _save_trial(self, trial):
        path = pathlib.Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        write_text(path, json.dumps(trial.get_state()))

    def reload(self):
        try:
            # keras-tuner would take a bracket in the folder's name for a pattern.
            for path in pathlib.Path(self._project_dir).glob("trial_*/trial.json"):
                trial = trials.Trial.load(str(path))
                for one in self.hyperparameters.space:
                    value = trial.hyperparameters.values.get(one.name, one.default)
                    if isinstance(one.default, str) != isinstance(value, str):
                        raise ValueError(f"{one.name} is {value}")
                self.trials[trial.trial_id] = trial
            super().reload()
            # A trial of which the oracle has no record was killed as it was made: it is made again.
            known = {*self.start_order, *self._retry_queue}
            self.trials = {name: self.trials[name] for name in sorted(known)}
        # keras-tuner passes on what TensorFlow, json and its own constructors raise.
        except Exception as error:
            raise UserError(
                f"{self._project_dir} holds a search that is damaged, or of another version of "
                "keras-tuner: start over with --fresh"
            ) from error
        for name in self._retry_queue:
            self.trials[name].status = trials.TrialStatus.RUNNING


def oracle(config, space):
    """The oracle of --tuner for a `keras_tuner.HyperParameters`."""
    objective = keras_tuner.Objective(OBJECTIVE, "max")
    shared = {
        "objective": objective,
        "hyperparameters": space,
        "allow_new_entries": False,
        "seed": 1 + config.seed,  # keras-tuner draws one where it is 0.
        # A trial that diverges says something too.
        "max_consecutive_failed_trials": config.trials + 1,
    }
    if config.tuner == "hyperband":
        shared |= {"max_epochs": EPOCHS, "factor": _FACTOR, "hyperband_iterations": config.trials}
    kind = {
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        "hyperband": keras_tuner.oracles.HyperbandOracle,
        "random": keras_tuner.oracles.RandomSearchOracle,
    }[config.tuner]
    found = type("Lasting", (_Lasting, kind), {})(**shared)
    found.max_trials = config.trials
    return found


def share(values):
    """The share of the iterations that a trial has: less than one in Hyperband's early rounds."""
    return values.get("tuner/epochs", EPOCHS) / EPOCHS
