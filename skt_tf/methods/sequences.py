"""Sequences of stages, as one writes them: `flows>task+soft`, `flows:0.2>dkd*8+task:0.8`.

`>` puts stages in order, `+` adds losses in one stage, `*` gives a loss a weight, `:` a stage its
share of the transfer and task iterations together. Pure Python, without TensorFlow.
"""

import numbers
import re
import zlib
from fractions import Fraction

from skt_tf.methods.sequence_text import Reader, is_defined, loss_names
from skt_tf.methods.stage import BUILT_IN, Loss, Stage, plain_number
from skt_tf.models.points import RESNET, dense_flows, disjoint_flows
from skt_tf.utils.errors import UserError


class Sequence(tuple):
    """The stages of a sequence, which print as the text that makes them."""

    def __str__(self):
        from skt_tf.methods.catalogue import METHOD_NAMES

        shares = [stage.iterations["task"] for stage in self]
        even = all(share == Fraction(1, len(self)) for share in shares)
        text = ">".join(
            str(stage) + ("" if even else f":{_share_text(share)}")
            for stage, share in zip(self, shares)
        )
        # The name alone is the method's, which has other stages.
        return f"{text}:1" if text in METHOD_NAMES else text

    def __repr__(self):
        return f"sequence('{self}')"


def sequence(given, shares=None, *, overlap="span", layout=RESNET, section_flows="ends", own=False):
    """The stages of a sequence.

    Args:
        given: its text; or a list of stages, each a `Loss`, a `Stage` of another sequence, a list
            of `Loss`es, or the text of one of them.
        shares: with a list, the share of each stage of the transfer and task iterations together,
            None for those that are to share evenly what the others leave. Without it each `Stage`
            keeps its own.
        overlap: which flows are dense, as in `dense_flows`.
        layout: the `Layout` of the networks' points.
        section_flows: which flow a section has, as in `disjoint_flows`.
        own: whether names that are unknown here are taken for objectives of the user's own, which
            are looked for when the stage begins.

    Returns:
        A `Sequence`, a tuple of `Stage`s, whose `str` is its text.

    Raises:
        ValueError: a text that is mistyped, with the place; shares that cannot be; what is
            neither a text nor a list of stages; a stage of a method, which no text can hold.

    Example:
        >>> str(sequence("flows : 0.2 > dkd * 8 + task"))
        'flows:0.2>dkd*8+task:0.8'
        >>> str(sequence([[Loss("flows")], [Loss("task"), Loss("at", 500)]]))
        'flows>task+at*500'
    """
    given = _as_text(given, shares)
    stages = Reader(given, own).stages()
    flows = {
        "flows": disjoint_flows(layout.sections, section_flows),
        "dense": dense_flows(overlap, layout.sections, section_flows) if layout.middles else None,
    }
    names, found = [], []
    for (losses, anchor, _), share in zip(stages, _shares(given, [s[2] for s in stages])):
        called = "+".join(loss.name for loss in losses)
        names.append(called)
        name = called if names.count(called) == 1 else f"{called}_{names.count(called)}"
        found.append(_stage(name, losses, anchor, share, flows, layout))
    return Sequence(found)


def is_text(text):
    """Whether a text is written as a sequence, or is the name of a single loss."""
    return bool(re.search(r"[>+*:(]", text)) or text in loss_names() or is_defined(text)


def folder_name(method):
    """The name of the folder of a method's or a sequence's networks, which any disk takes."""
    if re.fullmatch(r"\w+", method):
        return method
    words = {">": "_then_", "+": "_and_", "*": "x", ":": "_share"}
    plain = re.sub(r"[>+*:]", lambda sign: words[sign[0]], method)
    plain = re.sub(r"[^\w.]+", "-", plain)[:80]
    # What was left out of the name may be all that two of them differ in.
    return f"{plain}-{zlib.crc32(method.encode()):08x}"


def _as_text(given, shares):
    """The text of what `sequence` is given."""
    if isinstance(given, str | Sequence):
        if shares is not None:
            raise UserError(
                f"shares={shares!r} beside '{given}': a text has its own, as flows:0.2>task"
            )
        return str(given)
    if not isinstance(given, list | tuple):
        raise UserError(
            f"a sequence is {given!r}: expected a text, such as 'flows>task', or a list of stages"
        )
    parts = [_stage_text(stage) for stage in given]
    if shares is None:
        own = [stage.iterations["task"] if isinstance(stage, Stage) else None for stage in given]
        return ">".join(
            part + ("" if share is None else f":{share}") for part, share in zip(parts, own)
        )
    if not isinstance(shares, list | tuple) or len(shares) != len(parts):
        raise UserError(f"shares={shares!r}: expected a list of {len(parts)}, one for each stage")
    written = ["" if share is None else f":{_share_text(_share(share))}" for share in shares]
    return ">".join(part + share for part, share in zip(parts, written))


def _stage_text(stage):
    if isinstance(stage, Stage) and not stage.losses:
        raise UserError(
            f"the stage '{stage.name}' is one of a method, which a sequence cannot hold: expected "
            "a stage of a sequence, or its losses, such as 'flows' or 'task+soft'"
        )
    if isinstance(stage, str | Loss | Stage):
        return str(stage)
    if isinstance(stage, list | tuple) and all(isinstance(loss, str | Loss) for loss in stage):
        return "+".join(map(str, stage))
    raise UserError(f"a stage is {stage!r}: expected a list of Loss or of their texts")


def _share(given):
    if isinstance(given, numbers.Real) and not isinstance(given, bool) and 0 < given <= 1:
        return Fraction(str(given))
    raise UserError(f"a share is {given!r}: expected a number above 0 and at most 1, or None")


def _stage(name, losses, anchor, share, flows, layout):
    """A `Stage`: where it is one of the papers' kinds, it is that, and else a sum of losses."""
    kinds = {loss.name: loss for loss in losses}
    if "dense" in kinds and flows["dense"] is None:
        n = layout.sections
        raise UserError(
            f"'dense' needs the middles of sections beside their ends, and {n + 1} points were "
            f"named: name {2 * n + 1} points, or take 'flows', which need ends alone"
        )
    objective, soft_weight, plain = "losses", None, all(_is_plain(loss) for loss in losses)
    if plain and len(kinds) == 1:
        objective = BUILT_IN[losses[0].name] if losses[0].name != "soft" else "losses"
    elif kinds.keys() == {"task", "soft"} and _is_plain(kinds["task"]):
        weight = kinds["soft"].weight
        objective, soft_weight = "soft_task", weight and (weight, weight)
    return Stage(
        name,
        objective,
        {"transfer": share, "task": share},
        flows=next((flows[name] for name in ("dense", "flows") if name in kinds), ()),
        soft_weight=soft_weight,
        point=layout.hint_point if "hint" in kinds else None,
        losses=tuple(losses),
        anchor=anchor,
    )


def _is_plain(loss):
    return loss.name in BUILT_IN and loss.weight in (None, 1) and not loss.parameters


def _share_text(share):
    """A share as a number where it is a short one, else as a fraction."""
    text = plain_number(float(share))
    return text if Fraction(text) == share else str(share)


def _shares(text, given):
    """The share of each stage; those that are None share evenly what is left."""
    spent, open_ones = sum(filter(None, given), Fraction(0)), given.count(None)
    if spent > 1 or (spent == 1 and open_ones):
        left = ", and leave nothing for the others" if open_ones and spent == 1 else ""
        raise UserError(
            f"the shares of '{text}' add up to {_share_text(spent)}{left}: expected "
            f"{'less than 1' if open_ones else '1 at most'}"
        )
    return [(1 - spent) / open_ones if share is None else share for share in given]
