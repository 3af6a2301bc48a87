"""The optimizer of a stage: the papers' SGD, AdamW, or one of a user's own, made anew for each."""

import json

import keras
import numpy as np

from skt_tf.utils.errors import UserError, one_line

# Of these, weight decay is not meant to hold: what scales and shifts.
_NOT_DECAYED = ["bias", "gamma", "beta"]


def stage_optimizer(config, rate):
    """An optimizer for one stage.

    Args:
        config: the `Settings`.
        rate: the stage's `keras.optimizers.schedules.LearningRateSchedule`.
    """
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=config.nesterov)
    if config.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
        return optimizer
    optimizer = keras.optimizers.deserialize(json.loads(config.optimizer))
    return type(optimizer).from_config({**optimizer.get_config(), "learning_rate": rate})


def loss_decay(config):
    """The factor of half the squared norm of the kernels in the loss; AdamW decays by itself."""
    return 0.0 if config.optimizer == "adamw" else config.weight_decay


def as_setting(optimizer):
    """What `Settings.optimizer` says of a `keras.optimizers` one, from which each stage makes its.

    Raises:
        ValueError: one that cannot be made anew, or whose weights or rate depend on more than a
            stage.
    """
    name = type(optimizer).__name__
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise UserError(
            f"optimizer is a {name}: give the one within, whose loss is scaled where the student "
            "computes in float16"
        )
    try:
        written = keras.optimizers.serialize(optimizer)
        written["config"].pop("name", None)  # Keras counts what a process has made.
        rate = written["config"].get("learning_rate")
        if isinstance(rate, float):
            written["config"]["learning_rate"] = float(str(np.float32(rate)))  # As it was given.
        setting = json.dumps(written, sort_keys=True)
        made = keras.optimizers.deserialize(json.loads(setting))
        if type(made) is not type(optimizer):
            raise TypeError("Keras does not know its class")
    except Exception as error:  # An optimizer of one's own raises whatever it does.
        raise UserError(
            f"the optimizer {name} cannot be made anew for each stage "
            f"({one_line(error, wrapped=True)}): write it a get_config, and register its class"
        ) from error
    if not isinstance(rate, int | float):
        raise UserError(
            f"the optimizer {name} has a schedule of its own, and so has each stage: give it a "
            "number as learning_rate, and schedule"
        )
    if not 0 < rate < 1e9:
        raise UserError(f"the optimizer {name} has learning_rate={rate:g}: expected one above 0")
    excluded = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    if any(getattr(optimizer, attribute, None) for attribute in excluded):
        raise UserError(
            f"the optimizer {name} excludes variables from its weight decay, which Keras does not "
            "write down: take optimizer='adamw', which decays kernels alone, or leave it out"
        )
    if written["config"].get("use_ema"):
        raise UserError(
            f"the optimizer {name} averages weights over one fit, and a stage may be several: "
            "leave out use_ema"
        )
    return setting
