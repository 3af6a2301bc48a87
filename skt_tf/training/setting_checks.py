"""What the settings of a training must be: every refusal of a value in one sentence."""

import itertools
import json
import re
from fractions import Fraction

from skt_tf.methods.catalogue import METHOD_NAMES, stage_steps, transfers
from skt_tf.models.points import flow_name
from skt_tf.utils.errors import UserError, about, close_to, option
from skt_tf.utils.fields import check_fields

OPTIMIZERS = ("sgd", "adamw")
# A rate that was divided by ten so often is none.
_MOST_BOUNDARIES = 20


def check(settings):
    """Raises a ValueError where the values of `Settings` are not possible."""
    check_fields(settings)
    if not re.fullmatch(r"[1-9][0-9]{0,8}s?", settings.checkpoint_every):
        raise UserError(
            f"{option('checkpoint_every')}={settings.checkpoint_every} is not understood: expected "
            "a number of iterations, such as 500, or of seconds, such as 60s"
        )
    # Of an optimizer of a user's own, `distill` writes down how to make it.
    if not _is_written_down(settings.optimizer):
        check_optimizer(settings.optimizer)
    if settings.nesterov and settings.optimizer != "sgd":
        raise UserError(
            f"{option('nesterov')} is of sgd: leave it out beside {option('optimizer')}="
            f"{settings.optimizer}"
        )
    _check_points(settings)
    _check_methods(settings)
    _check_flow_weights(settings)


def check_optimizer(given):
    """Raises a ValueError where what a user gave is the name of no optimizer."""
    if given not in OPTIMIZERS:
        raise UserError(
            f"{option('optimizer')}={given} is unknown{close_to(given, OPTIMIZERS)}: expected sgd "
            "or adamw, or in Python one that is made, such as keras.optimizers.Adam(0.001)"
        )


def _is_written_down(optimizer):
    try:
        return json.loads(optimizer)["config"]["learning_rate"] > 0
    except (ValueError, TypeError, KeyError):
        return False


def _check_points(settings):
    named = [
        side for side in ("teacher", "student") if getattr(settings, f"{side}_points") is not None
    ]
    for side in named:
        names = getattr(settings, f"{side}_points")
        if not names or not all(name.strip() for name in names):
            raise UserError(
                f"{option(side + '_points')}={','.join(names)} has an empty name: expected "
                "names of layers in order of depth"
            )
    if named and settings.section_flows == "within":
        raise UserError(
            f"{option('section_flows')}=within begins flows at the first layer inside of each "
            f"section, which {option(named[0] + '_points')} does not name: leave out one of them"
        )
    with about(", ".join(map(option, ("teacher_points", "student_points", "sections")))):
        settings.layout  # noqa: B018 – it is checked as it is made


def _check_methods(settings):
    methods = f"{option('methods')}={','.join(map(str, settings.methods))}"
    if not settings.methods or not all(isinstance(n, str) and n for n in settings.methods):
        empty = "" if any(settings.methods) else " is empty"
        raise UserError(f"{methods}{empty}: expected one method or more, such as skt")
    if len(set(settings.methods)) < len(settings.methods):
        raise UserError(f"{methods} names a method twice")
    known = {}
    for method in settings.methods:
        with about(methods):
            plan = settings.stages(method, even=True)
        # A sum is the same in any order.
        losses = tuple((frozenset(s.losses), s.anchor, *s.iterations.values()) for s in plan)
        other = known.setdefault(losses if all(s.losses for s in plan) else method, method)
        if other != method:
            raise UserError(f"{methods}: '{method}' is '{other}' once more: leave out one of them")
    _check_split(settings, methods)
    for name in ("transfer_boundaries", "task_boundaries"):
        _check_boundaries(settings, name)
    for method in settings.methods:
        plan = settings.stages(method)
        for stage, steps in zip(plan, stage_steps(plan, settings.iterations)):
            if steps < 1:
                raise UserError(
                    f"{_spent(settings, stage)} leaves no iteration for stage '{stage.name}' of "
                    f"{method}: raise one of them"
                )


def _spent(settings, stage):
    """What decides the iterations of a stage."""
    name = f"{next(iter(stage.iterations))}_steps"
    said = f"{option(name)}={getattr(settings, name)}"
    if hasattr(settings, "budget"):
        said += f" with {option('budget')}={settings.budget:g}"
    split = f", {_split(settings)}" if stage.flows and settings.transfer_split else ""
    return said + split


def _split(settings):
    given = ",".join(f"{part:g}" for part in settings.transfer_split)
    return f"{option('transfer_split')}={given}"


def _check_split(settings, methods):
    if settings.transfer_split is None:
        return
    if not settings.transfer_split or not all(0 < part < 1e9 for part in settings.transfer_split):
        raise UserError(f"{_split(settings)}: expected numbers above 0 and below 10⁹, such as 1,3")
    # A sequence has shares of its own.
    named = [method for method in settings.methods if method in METHOD_NAMES]
    plans = [settings.stages(method, even=True) for method in named]
    if all(len(transfers(plan)) < 2 for plan in plans):
        raise UserError(
            f"{_split(settings)} has nothing to split: none of {methods} has several transfer "
            "stages"
        )
    for method in settings.methods:
        try:
            settings.stages(method)
        except UserError as error:
            raise UserError(
                f"{_split(settings)} has {error}: give as many, or other methods"
            ) from None


def _check_boundaries(settings, name):
    given = getattr(settings, name)
    if given is None:
        return
    shares = [Fraction(0), *map(Fraction, given), Fraction(1)]
    falls = all(first < second for first, second in itertools.pairwise(shares))
    if not 1 <= len(given) <= _MOST_BOUNDARIES or not falls:
        raise UserError(
            f"{option(name)}={','.join(given)}: expected rising shares of a stage, above 0 and "
            "below 1, such as 1/2,3/4"
        )


def _check_flow_weights(settings):
    names = [flow_name(flow) for flow in settings.flows]
    flag = option("flow_weights")
    if isinstance(settings.flow_weights, str):
        words = ("normalized", "equal")
        if settings.flow_weights not in words:
            raise UserError(
                f"{flag}={settings.flow_weights} is not understood"
                f"{close_to(settings.flow_weights, words)}: expected normalized, equal, or "
                f"{len(names)} numbers for {', '.join(names)}"
            )
        return
    given = ",".join(f"{weight:g}" for weight in settings.flow_weights)
    if len(settings.flow_weights) != len(names):
        raise UserError(
            f"{flag}={given} has {len(settings.flow_weights)} numbers: expected {len(names)}, for "
            f"{', '.join(names)}"
        )
    # Beyond lies what float32 cannot hold.
    possible = all(0 <= weight < 1e30 for weight in settings.flow_weights)
    if not possible or not any(settings.flow_weights):
        raise UserError(
            f"{flag}={given}: expected finite numbers of 0 or more, below 10³⁰, not all 0"
        )
    weights = dict(zip(settings.flows, settings.flow_weights))
    for method in settings.methods:
        for stage in transfers(settings.stages(method)):
            if not any(weights[flow] for flow in stage.flows):
                raise UserError(
                    f"{flag}={given} leaves stage '{stage.name}' of {method} nothing to "
                    "transfer: expected a weight above 0 for one of "
                    + ", ".join(flow_name(flow) for flow in stage.flows)
                )


def shares(name, given):
    """Shares of a stage as fractions in lowest terms, which are equal however they are written.

    Args:
        name: of the setting.
        given: its value.
    """
    if not isinstance(given, str | tuple | list):
        raise UserError(f"{option(name)}={given!r} is no list of shares")
    texts = given.split(",") if isinstance(given, str) else given
    texts = [str(share).strip() for share in texts]
    # No exponents: a fraction of 1e999999999 would be written out.
    number = re.compile(r"\d{1,9}(/0*[1-9]\d{0,8})?|\d{0,9}\.\d{1,20}", re.ASCII)
    if not all(map(number.fullmatch, texts)):
        raise UserError(
            f"{option(name)}={','.join(texts)} is not understood: expected shares "
            "of a stage, such as 1/2,3/4"
        )
    return tuple(str(Fraction(text)) for text in texts)
