"""What a search may change: hyperparameters of keras-tuner, and the configuration they make."""

import dataclasses
from fractions import Fraction

from skt_tf.methods.catalogue import TEACHERS, transfers
from skt_tf.methods.objective_names import made
from skt_tf.methods.sequence_text import ANCHOR
from skt_tf.methods.sequences import Sequence
from skt_tf.methods.stage import BUILT_IN, Loss
from skt_tf.models.points import flow_name

TUNABLE = (
    "learning_rate",
    "transfer_learning_rate",
    "flow_weights",
    "transfer_split",
    "hint_learning_rate",
    "temperature",
    "loss_weights",
    "stage_shares",
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
    plan = config.stages(method)
    if len(transfers(plan)) < 2 or isinstance(plan, Sequence):
        unused.add("transfer_split")
    if not _weighed(plan):
        unused.add("loss_weights")
    if not isinstance(plan, Sequence) or len(plan) < 2:
        unused.add("stage_shares")
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
        elif name == "loss_weights":
            for key, loss in _weighed(_plan(config)).items():
                around(key, _weight(loss, config), _WEIGHTS)
        elif name == "stage_shares":
            *shares, last = (stage.iterations["task"] for stage in _plan(config))
            for number, share in enumerate(shares, start=1):
                around(f"stage_part_{number}", float(share / last), _SHARES)
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
        elif name in ("loss_weights", "stage_shares"):
            changes["methods"] = (str(_changed(_plan(config), values)),)
        else:
            changes[name] = _rounded(values[name])
    if "transfer_learning_rate" in searchable(config):
        # Its default depends on the weights, which are numbers now.
        changes.setdefault("transfer_learning_rate", config.rate("transfer"))
    return dataclasses.replace(config, **changes)


def _plan(config):
    return config.stages(config.methods[0])


def _weighed(plan):
    """{hyperparameter: `Loss`} of the losses that have others beside them, and of anchors.

    Nothing but names, since losses of one's own may not be imported yet.
    """
    found = {}
    for number, stage in enumerate(plan, start=1):
        losses = list(stage.losses) if len(stage.losses) > 1 else []
        if stage.anchor:
            losses.append(Loss(ANCHOR, stage.anchor))
        found |= {f"weight_{number}_{loss.name}": loss for loss in losses}
    return found


def _weight(loss, config):
    """The factor of a loss, the recipe's where none is given."""
    if loss.weight is not None:
        return loss.weight
    if loss.name in BUILT_IN:
        return config.temperature**2 if loss.name == "soft" else 1.0
    return made(loss).weight


def _changed(plan, values):
    """A sequence with the weights and the shares of a trial."""
    stages, parts = [], []
    for number, stage in enumerate(plan, start=1):
        losses = tuple(
            dataclasses.replace(loss, weight=_rounded(values[key])) if key in values else loss
            for loss in stage.losses
            for key in [f"weight_{number}_{loss.name}"]
        )
        anchor = _rounded(values.get(f"weight_{number}_{ANCHOR}", stage.anchor))
        stages.append(dataclasses.replace(stage, losses=losses, anchor=anchor))
        parts.append(Fraction(str(_rounded(values.get(f"stage_part_{number}", 0)))))
    spent = sum(stage.iterations["task"] for stage in plan)
    shares = [stage.iterations["task"] for stage in plan]
    if any(parts):
        parts[-1] = Fraction(1)
        shares = [Fraction(f"{float(spent * part / sum(parts)):.4f}") for part in parts[:-1]]
        shares.append(spent - sum(shares))  # Four digits, so that a flagfile can be read.
    return Sequence(
        dataclasses.replace(stage, iterations={"transfer": share, "task": share})
        for stage, share in zip(stages, shares)
    )


def _rounded(value):
    """Six digits, so that a flagfile says what was tried."""
    return float(f"{value:.6g}")


def _transfers(config):
    return transfers(_plan(config))


def _flows(config):
    used = {flow for stage in _transfers(config) for flow in stage.flows}
    return [flow for flow in config.flows if flow in used]
