"""Stages, and how they share the iterations of a training. Pure Python, without TensorFlow."""

import dataclasses
import decimal
import math
import numbers
from fractions import Fraction

from skt_tf.utils.errors import UserError

# What the losses of a sequence that this project has of its own are in terms of objectives.
BUILT_IN = {
    "task": "task", "soft": "soft_task", "hint": "hint", "flows": "transfer", "dense": "transfer",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Loss:
    """One of the losses that a stage of a sequence adds up.

    Attributes:
        name: `task` (cross-entropy with the labels), `soft` (softened outputs), `hint`, `flows`
            (disjoint) or `dense`; or that of an objective, such as `dkd` (docs/methods.md).
        weight: its factor; None: the recipe's, which is 1 for those of this project, but τ² for
            `soft`.
        parameters: {argument: value} of an objective where they are not the recipe's; values are
            numbers, words, None, or tuples of them.

    Raises:
        ValueError: what cannot be written as a text of a sequence.
    """

    name: str
    weight: float | None = None
    parameters: tuple = ()

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise UserError(f"a loss has the name {self.name!r}: expected a word, such as 'task'")
        if self.weight is not None:
            object.__setattr__(self, "weight", checked_weight(self.name, self.weight))
        try:
            given = sorted(dict(self.parameters).items())
        except (TypeError, ValueError):
            raise UserError(
                f"parameters={self.parameters!r} of '{self.name}': expected a dictionary, such as "
                "{'temperature': 4}"
            ) from None
        plain = tuple((name, _plain_value(self.name, name, value)) for name, value in given)
        object.__setattr__(self, "parameters", plain)

    def __str__(self):
        given = "; ".join(f"{name}={value!r}" for name, value in self.parameters)
        weight = "" if self.weight is None else f"*{plain_number(self.weight)}"
        return self.name + (f"({given})" if given else "") + weight


@dataclasses.dataclass(frozen=True)
class Stage:
    """One optimisation with a fresh optimizer, from the last stage's weights.

    Attributes:
        name: its name in logs and results.
        objective: `"transfer"`, `"hint"`, `"task"`, `"soft_task"`, or `"losses"`: the sum of
            `losses`.
        iterations: which budgets it spends and what share of each, as
            {"transfer" | "hint" | "task" | "teacher": share}.
        flows: the active flows of a transfer stage; all others are masked out,
            which here means that they are not computed.
        soft_weight: weight of the softened outputs at the first and at the last
            iteration of a soft task, linear in between; None stands for τ², which
            keeps the two gradients of one size whatever the temperature [KD, section 2].
        point: the point of a hint stage, in both networks.
        shared: whether it is trained once, and all nets of a method go on from its weights.
        start: `"teacher"` where a first stage begins with the teacher's weights; None: with
            the student's own.
        losses: the `Loss`es of a stage of a sequence; empty for those of the papers' methods.
        anchor: factor of the squared distance, summed over all weights, from those that the
            stage begins with.
    """

    name: str
    objective: str
    iterations: dict = dataclasses.field(hash=False)
    flows: tuple = ()
    soft_weight: tuple | None = None
    point: str | None = None
    shared: bool = False
    start: str | None = None
    losses: tuple = ()
    anchor: float = 0.0

    def __str__(self):
        anchor = [f"anchor*{plain_number(self.anchor)}"] if self.anchor else []
        return "+".join([*map(str, self.losses), *anchor]) or self.name

    @property
    def kind(self):
        """The objective whose learning rate and schedule it has."""
        if self.objective != "losses":
            return self.objective
        uses = self.uses
        if uses <= {"transfer", "hint"}:
            return "transfer" if self.flows else "hint"
        return "task"

    @property
    def uses(self):
        """The objectives that its losses are of; `"objective"` stands for any of the field's."""
        if self.objective != "losses":
            return {self.objective}
        return {BUILT_IN.get(loss.name, "objective") for loss in self.losses}

    def as_dict(self):
        """Plain JSON values, from which `from_dict` makes the stage again."""
        shares = {kind: str(share) for kind, share in self.iterations.items()}
        values = {**dataclasses.asdict(self), "iterations": shares}
        # Records of older versions know nothing of them.
        return {k: v for k, v in values.items() if v or k not in ("losses", "anchor")}

    @classmethod
    def from_dict(cls, values):
        """The stage that `as_dict` was asked of."""
        values = dict(values)
        values["iterations"] = {k: Fraction(share) for k, share in values["iterations"].items()}
        values["flows"] = tuple(tuple(flow) for flow in values["flows"])
        if values["soft_weight"] is not None:
            values["soft_weight"] = tuple(values["soft_weight"])
        values["losses"] = tuple(Loss(**loss) for loss in values.get("losses", ()))
        return cls(**values)


def checked_weight(name, given):
    """The weight of a loss as a float; raises a ValueError where it cannot be one."""
    if isinstance(given, numbers.Real) and not isinstance(given, bool) and 0 < given < 1e9:
        return float(given)
    raise UserError(f"'{name}' has the weight {given!r}: expected a number above 0 and below 10⁹")


def _plain_value(loss, name, value):
    """A value of a parameter that a text can hold: of Python's own types, lists as tuples."""
    value = value.tolist() if hasattr(value, "tolist") else value  # NumPy's.
    if isinstance(value, list | tuple):
        return tuple(_plain_value(loss, name, part) for part in value)
    fits = value is None or isinstance(value, bool | int | str)
    fits = fits or (isinstance(value, float) and math.isfinite(value))
    # A text of a sequence ends parameters at these signs.
    if not fits or set(str(value)) & set(";()") or not str(name).isidentifier():
        raise UserError(
            f"'{loss}' has the parameter {name!r} with the value {value!r}: expected a word, and a "
            "number, a text without ; ( ), None, or several of them"
        )
    return value


def stage_steps(stages, budget):
    """The iterations of each stage: its shares of the `budget` {kind: iterations}.

    Rounded so that the stages together spend exactly what their shares add up to.
    """
    spent, steps = Fraction(0), []
    for stage in stages:
        before = spent
        spent += sum(budget[kind] * share for kind, share in stage.iterations.items())
        steps.append(int(spent) - int(before))
    return steps


def plain_number(value):
    """A number as text without an exponent, whose sign would look like a sum."""
    text = format(decimal.Decimal(str(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
