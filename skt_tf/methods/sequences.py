"""Sequences of stages, as one writes them: `flows>task+soft`, `flows:0.2>dkd*8+task:0.8`.

`>` puts stages in order, `+` adds losses in one stage, `*` gives a loss a weight, `:` a stage its
share of the transfer and task iterations together. Pure Python, without TensorFlow.
"""

import ast
import numbers
import re
import sys
import zlib
from fractions import Fraction

from skt_tf.methods.objective_names import objective_names
from skt_tf.methods.stage import BUILT_IN, Loss, Stage, plain_number
from skt_tf.models.points import RESNET, dense_flows, disjoint_flows
from skt_tf.utils.errors import UserError, close_to, option

ANCHOR = "anchor"
_NUMBER = r"(?:\d{1,12}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE]-?\d{1,2})?"
_MOST_STAGES, _MOST_LOSSES = 100, 20


class Sequence(tuple):
    """The stages of a sequence, which print as the text that makes them."""

    def __str__(self):
        shares = [stage.iterations["task"] for stage in self]
        even = all(share == Fraction(1, len(self)) for share in shares)
        return ">".join(
            str(stage) + ("" if even else f":{_share_text(share)}")
            for stage, share in zip(self, shares)
        )

    def __repr__(self):
        return f"sequence('{self}')"


def sequence(given, shares=None, *, overlap="span", layout=RESNET, section_flows="ends", own=False):
    """The stages of a sequence.

    Args:
        given: its text; or a list of stages, each a `Loss`, a `Stage` of another sequence, a list
            of `Loss`es, or the text of one of them.
        shares: with a list, the share of each stage of the transfer and task iterations together,
            None for those that are to share evenly what the others leave.
        overlap: which flows are dense, as in `dense_flows`.
        layout: the `Layout` of the networks' points.
        section_flows: which flow a section has, as in `disjoint_flows`.
        own: whether names that are unknown here are taken for objectives of the user's own, which
            are looked for when the stage begins.

    Returns:
        A `Sequence`, a tuple of `Stage`s, whose `str` is its text.

    Raises:
        ValueError: a text that is mistyped, with the place; shares that cannot be; what is
            neither a text nor a list of stages.

    Example:
        >>> str(sequence("flows : 0.2 > dkd * 8 + task"))
        'flows:0.2>dkd*8+task:0.8'
        >>> str(sequence([[Loss("flows")], [Loss("task"), Loss("at", 500)]]))
        'flows>task+at*500'
    """
    given = _as_text(given, shares)
    stages = _Reader(given, own).stages()
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
    return bool(re.search(r"[>+*:(]", text)) or text in _names() or _is_defined(text)


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
        return ">".join(parts)
    if not isinstance(shares, list | tuple) or len(shares) != len(parts):
        raise UserError(f"shares={shares!r}: expected a list of {len(parts)}, one for each stage")
    written = ["" if share is None else f":{_share_text(_share(share))}" for share in shares]
    return ">".join(part + share for part, share in zip(parts, written))


def _stage_text(stage):
    if isinstance(stage, str | Loss | Stage):
        return str(stage)
    if isinstance(stage, list | tuple) and all(isinstance(loss, str | Loss) for loss in stage):
        return "+".join(map(str, stage))
    raise UserError(f"a stage is {stage!r}: expected a list of Loss or of their texts")


def _share(given):
    if isinstance(given, numbers.Real) and not isinstance(given, bool) and 0 < given <= 1:
        return Fraction(str(given))
    raise UserError(f"a share is {given!r}: expected a number above 0 and at most 1, or None")


def _names():
    return [*BUILT_IN, *objective_names()]


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


class _Reader:
    """Reads the text of a sequence from left to right."""

    def __init__(self, text, own):
        self.text, self.own, self.place = text, own, 0

    def stages(self):
        """[(losses, anchor, share or None), …]."""
        found = []
        while True:
            found.append(self._stage())
            if self._end():
                break
            self._expect(">", "'>', '+', ':' or the end")
        if len(found) > _MOST_STAGES:
            raise UserError(f"a sequence of {len(found)} stages: expected {_MOST_STAGES} at most")
        return found

    def _stage(self):
        losses, anchor, share = [], 0.0, None
        while True:
            began = self.place
            loss = self._loss()
            if loss.name == ANCHOR:
                if loss.weight is None or loss.parameters:
                    raise self._wrong(began, "'anchor' needs a weight, such as anchor*0.001")
                if anchor:
                    raise self._wrong(began, "'anchor' stands twice in one stage")
                anchor = loss.weight
            elif loss.name in [other.name for other in losses]:
                raise self._wrong(began, f"'{loss.name}' stands twice in one stage")
            else:
                losses.append(loss)
            if not self._take(r"\+"):
                break
        names = [loss.name for loss in losses]
        if not names:
            raise self._wrong(began, "a stage needs a loss beside 'anchor'")
        if {"flows", "dense"} <= set(names):
            raise self._wrong(began, "'dense' has the disjoint flows already: leave out 'flows'")
        if len(names) > _MOST_LOSSES:
            raise UserError(f"a stage of {len(names)} losses: expected {_MOST_LOSSES} at most")
        if self._take(":"):
            began = self.place
            number = self._take(rf"\d{{1,30}}/0*[1-9]\d{{0,29}}|{_NUMBER}")
            share = Fraction(number) if number else None
            if not share or share > 1:
                raise self._wrong(began, "a share is expected, above 0 and at most 1")
        return losses, anchor, share

    def _loss(self):
        began = self._skip()
        name = self._take(r"[A-Za-z_]\w*")
        if not name:
            raise self._wrong(began, "the name of a loss is missing")
        if name not in _names() and name != ANCHOR and not (self.own or _is_defined(name)):
            raise self._wrong(began, _no_loss(name))
        parameters, weight = (), None
        if self._take(r"\("):
            parameters = self._parameters()
            if name in BUILT_IN and parameters:
                raise self._wrong(began, f"'{name}' takes no parameters here: flags give them")
        if self._take(r"\*"):
            place = self.place
            number = self._take(_NUMBER)
            weight = float(number) if number else 0
            if not 0 < weight < 1e9:
                raise self._wrong(place, "a weight is expected, above 0 and below 10⁹")
        return Loss(name, weight, parameters)

    def _parameters(self):
        began, found = self.place, {}
        inside = self._take(r"[^()]*(\([^()]*\)[^()]*)*")
        self._expect(r"\)", "')'")
        for part in filter(None, map(str.strip, inside.split(";"))):
            name, equals, value = part.partition("=")
            if name.strip() in found:
                raise self._wrong(began, f"'{name.strip()}' is given twice")
            try:
                found[name.strip()] = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError):
                equals = ""
            if not equals or not name.strip().isidentifier():
                raise self._wrong(began, "parameters are written (name=value; name=value)")
        return found

    def _skip(self):
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1
        return self.place

    def _take(self, pattern):
        """What stands here, if it is as `pattern` says."""
        self._skip()
        match = re.compile(pattern, re.ASCII).match(self.text, self.place)
        if not match:
            return None
        self.place = match.end()
        return match[0]

    def _end(self):
        return self._skip() == len(self.text)

    def _expect(self, pattern, said):
        if not self._take(pattern):
            raise self._wrong(self.place, f"{said} is expected")

    def _wrong(self, place, what):
        rest = self.text[place : place + 20] or "the end"
        losses = ", ".join(_names())
        return UserError(
            f"'{self.text}', character {place + 1}, {rest!r}: {what}: a sequence is losses, joined "
            f"by + within a stage and by > between stages, of {losses}"
        )


def _no_loss(name):
    """What is said of a name that is none of a loss."""
    from skt_tf.methods.catalogue import METHOD_NAMES

    if name in METHOD_NAMES:
        return f"'{name}' is a method, which stands alone"
    modules = option("import_modules", "a class of skt_tf.Objective")
    return f"'{name}' is no loss{close_to(name, _names())}, nor known by {modules}"


def _is_defined(name):
    """Whether a class of the user's own has this name; what is not loaded defines none."""
    module = sys.modules.get("skt_tf.methods.objective")
    return bool(module and module.defined(name))
