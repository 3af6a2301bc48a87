"""What a search may change: hyperparameters of keras-tuner, and the configuration they make."""

import dataclasses

from skt_tf.methods.catalogue import TEACHERS, transfers
from skt_tf.models.points import flow_name

TUNABLE = (
    "learning_rate",
    "transfer_learning_rate",
    "flow_weights",
    "transfer_split",
    "hint_learning_rate",
    "temperature",
)
# Rates are searched a factor so far to both sides, weights of flows, and shares of stages.
_RATES, _WEIGHTS, _SHARES = 30.0, 10.0, 9.0
_TEMPERATURES = 1.0, 20.0


def searchable(config):
    """The flags that the one method of `config` uses and that a search may change."""
    (method,) = config.methods
    unused = config.unused()
    if method == TEACHERS:
        unused.add("learning_rate")
    if len(transfers(config.stages(method))) < 2:
        unused.add("transfer_split")
    return tuple(name for name in TUNABLE if name not in unused)


def hyperparameters(config):
    """A `keras_tuner.HyperParameters` of the flags in --tune, around their values in `config`."""
    import keras_tuner

    space = keras_tuner.HyperParameters()

    def around(name, value, factor):
        ends = value / factor, value * factor
        space.Float(name, *ends, sampling="log", default=value)

    for name in config.tune:
        if name == "flow_weights":
            for flow in _flows(config):
                around(f"flow_weight_{flow_name(flow)}", 1.0, _WEIGHTS)
        elif name == "transfer_split":
            for number in range(1, len(_transfers(config))):
                around(f"transfer_part_{number}", 1.0, _SHARES)
        elif name == "temperature":
            space.Float(name, *_TEMPERATURES, sampling="log", default=config.temperature)
        else:
            kind = name.removesuffix("learning_rate").rstrip("_") or "task"
            around(name, config.rate(kind), _RATES)
    return space


def configured(config, values, weights):
    """`config` with the values of a trial.

    Args:
        config: the search's `Config`.
        values: {hyperparameter: value} of `hyperparameters(config)`.
        weights: {flow: λ} that factors of flows are of, or None where nothing is transferred.
    """
    changes = {}
    for name in config.tune:
        if name == "flow_weights":
            factors = {flow: values[f"flow_weight_{flow_name(flow)}"] for flow in _flows(config)}
            # What no stage of the method transfers keeps its weight.
            changes[name] = tuple(_rounded(λ * factors.get(f, 1.0)) for f, λ in weights.items())
        elif name == "transfer_split":
            parts = [values[f"transfer_part_{k}"] for k in range(1, len(_transfers(config)))]
            changes[name] = (*map(_rounded, parts), 1.0)
        else:
            changes[name] = _rounded(values[name])
    if "transfer_learning_rate" in searchable(config):
        # Its default depends on the weights, which are numbers now.
        changes.setdefault("transfer_learning_rate", config.rate("transfer"))
    return dataclasses.replace(config, **changes)


def _rounded(value):
    """Six digits, so that a flagfile says what was tried."""
    return float(f"{value:.6g}")


def _transfers(config):
    return transfers(config.stages(config.methods[0]))


def _flows(config):
    used = {flow for stage in _transfers(config) for flow in stage.flows}
    return [flow for flow in config.flows if flow in used]
