"""Fields of settings: beside each its meaning, and what it may be, which is checked by it."""

import dataclasses
import math
import os
import types
import typing

from skt_tf.utils.errors import UserError, option, unknown


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
        known = kinds(field)
        if not any(_is_of(value, kind) for kind in known):
            lists = [kind for kind in known if isinstance(value, typing.get_origin(kind) or ())]
            said = _EXPECTED[(lists or known)[0]]
            shown = ",".join(map(str, value)) if lists else repr(value)
            raise UserError(f"{option(field.name)}={shown} is {said}")
        check_choice(field, value)
        if field.metadata["limits"] and value is not None:
            check_limits(field.name, value, field.metadata["limits"])


_EXPECTED = {
    int: "no integer: expected one",
    float: "no number: expected one",
    bool: "neither True nor False",
    str: "no text: expected some",
    tuple[float, ...]: "no list of numbers: expected one",
    tuple[str, ...]: "no list of names: expected one",
}


def kinds(field):
    """The types that a value of a field may have."""
    return typing.get_args(field.type) if isinstance(field.type, types.UnionType) else [field.type]


def _is_of(value, kind):
    """Whether `value` is of the type of a field; integers are numbers, True and False are not."""
    if typing.get_origin(kind) is tuple:
        each = typing.get_args(kind)[0]
        return isinstance(value, tuple) and all(_is_of(one, each) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def check_choice(field, value):
    """Raises a ValueError where a value of a field is none of its choices."""
    choices = field.metadata["choices"]
    if choices and value == ():
        raise UserError(f"{option(field.name)} is empty: expected some of {', '.join(choices)}")
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one is not None and one not in choices:
            some = isinstance(value, tuple)
            raise UserError(unknown(f"{option(field.name)}={one}", one, choices, some))


def check_limits(name, value, limits):
    """Raises a ValueError where a number that was given as `name` is out of its `Limits`."""
    # Not the other way round: of what is no number nothing holds.
    if not limits.least <= value <= limits.most:
        said = limits.said or f"{limits.least} to {limits.most}"
        shown = f"{value:g}" if isinstance(value, float) else value
        raise UserError(f"{option(name)}={shown} is out of range: expected {said}")


def as_path(name, path):
    """The value of a flag that is a path, checked, with its tilde resolved."""
    if not path.strip() or "\0" in path:
        raise UserError(f"--{name} is empty: expected a path")
    try:
        path.encode("utf-8")  # As it is written into results.json.
    except UnicodeEncodeError:
        raise UserError(f"--{name}={path!a} is not UTF-8: expected a path that is") from None
    return os.path.expanduser(path)


def as_words(fields, values, left_open):
    """The words of a command line that give `fields` the `values` of a record.

    Args:
        fields: those of a dataclass of settings.
        values: {name: plain JSON value}.
        left_open: {name: value} of what a field that is not given stands for.

    Returns:
        A list of `--name=value`; defaults are left out.
    """
    words = []
    for field in fields:
        value = values.get(field.name)
        if value in (None, field.default, left_open.get(field.name)):
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no'}{field.name}")
        else:
            parts = value if isinstance(value, list | tuple) else [value]
            text = ",".join(map(str, parts))
            words.append(f"--{field.name}={text}")
    return words
