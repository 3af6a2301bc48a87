"""Fields of settings: beside each its meaning, and what it may be, which is checked by it."""

import dataclasses
import math
import os

from skt_tf.utils.errors import UserError, option


@dataclasses.dataclass(frozen=True)
class Limits:
    """The numbers that a setting may have: from `least` to `most`, both included.

    Attributes:
        said: what an error says that it expected; the numbers, if not given.
    """

    least: float
    most: float
    said: str | None = None


COUNT = Limits(1, 2**30 - 1, "1 to 2³⁰ − 1")
NATURAL = Limits(0, 2**30 - 1, "0 to 2³⁰ − 1")
POSITIVE = Limits(5e-324, math.nextafter(1e9, 0), "above 0 and below 10⁹")
DECAY = Limits(0, math.nextafter(1, 0), "0 or more, below 1")
# Logits divided by less leave float32; divided by more, what tells them apart is rounding.
TEMPERATURE = Limits(0.001, math.nextafter(1e4, 0), "0.001 or more, below 10⁴")


def setting(default, help, choices=None, limits=None, jobs=None):
    """A field: its default, what it means, what it may be, and the only jobs that it is for."""
    metadata = {"help": help, "choices": choices, "limits": limits, "jobs": jobs}
    return dataclasses.field(default=default, metadata=metadata)


def check_fields(settings):
    """Raises a ValueError where a field has none of its choices, or lies out of its limits."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        whole = isinstance(value, int | None) and not isinstance(value, bool)
        if field.type in (int, int | None) and not whole:
            raise UserError(f"{option(field.name)}={value} is no integer: expected one")
        if field.type in (float, float | None) and not whole and not isinstance(value, float):
            raise UserError(f"{option(field.name)}={value} is no number: expected one")
        if field.type in (bool, bool | None) and not isinstance(value, bool | None):
            raise UserError(f"{option(field.name)}={value} is neither True nor False")
        _check_choice(field, value)
        _check_limits(field, value)


def _check_choice(field, value):
    choices = field.metadata["choices"]
    if choices and value == ():
        raise UserError(f"{option(field.name)} is empty: expected some of {', '.join(choices)}")
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one is not None and one not in choices:
            raise UserError(
                f"{option(field.name)}={one} is unknown: expected "
                f"{'some' if isinstance(value, tuple) else 'one'} of {', '.join(choices)}"
            )


def _check_limits(field, value):
    limits = field.metadata["limits"]
    # Not the other way round: of what is no number nothing holds.
    if limits and value is not None and not limits.least <= value <= limits.most:
        said = limits.said or f"{limits.least} to {limits.most}"
        shown = f"{value:g}" if isinstance(value, float) else value
        raise UserError(f"{option(field.name)}={shown} is out of range: expected {said}")


def as_path(name, path):
    """The value of a flag that is a path, checked, with its tilde resolved."""
    if not path.strip() or "\0" in path:
        raise UserError(f"--{name} is empty: expected a path")
    try:
        path.encode("utf-8")  # As it is written into results.json.
    except UnicodeEncodeError:
        raise UserError(f"--{name}={path!a} is not UTF-8: expected a path that is") from None
    return os.path.expanduser(path)
