"""Reads the text of a sequence; what is mistyped is pointed at. Pure Python, without TensorFlow."""

import ast
import re
import sys
from fractions import Fraction

from skt_tf.methods.objective_names import objective_names
from skt_tf.methods.stage import BUILT_IN, Loss
from skt_tf.utils.errors import UserError, close_to, option

ANCHOR = "anchor"
_NUMBER = r"(?:\d{1,12}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE]-?\d{1,2})?"
_MOST_STAGES, _MOST_LOSSES = 100, 20


class Reader:
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
            number = self._take(rf"\d{{1,200}}/0*[1-9]\d{{0,199}}|{_NUMBER}")
            share = Fraction(number) if number else None
            if not share or share > 1:
                raise self._wrong(began, "a share is expected, above 0 and at most 1")
        return losses, anchor, share

    def _loss(self):
        began = self._skip()
        name = self._take(r"[A-Za-z_]\w*")
        if not name:
            raise self._wrong(began, "the name of a loss is missing")
        if name not in loss_names() and name != ANCHOR and not (self.own or is_defined(name)):
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
            if not equals or not name.strip().isidentifier():
                raise self._wrong(began, "parameters are written (name=value; name=value)")
            try:
                found[name.strip()] = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                raise self._wrong(
                    began,
                    f"{value.strip()!r} is no value: expected a number, True, False, None, or a "
                    "text in quotes",
                ) from None
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
        losses = ", ".join(loss_names())
        return UserError(
            f"'{self.text}', character {place + 1}, {rest!r}: {what}: a sequence is losses, joined "
            f"by + within a stage and by > between stages, of {losses}"
        )


def loss_names():
    return [*BUILT_IN, *objective_names()]


def _no_loss(name):
    """What is said of a name that is none of a loss."""
    from skt_tf.methods.catalogue import METHOD_NAMES

    if name in METHOD_NAMES:
        return f"'{name}' is a method, which stands alone"
    modules = option("import_modules", "a class of skt_tf.Objective")
    return f"'{name}' is no loss{close_to(name, loss_names())}, nor known by {modules}"


def is_defined(name):
    """Whether a class of the user's own has this name; what is not loaded defines none."""
    module = sys.modules.get("skt_tf.methods.objective")
    return bool(module and module.defined(name))
