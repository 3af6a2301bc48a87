"""The command line's flags: one for each field of `Config`."""

import contextlib
import dataclasses
import re
import typing

from absl import flags

from skt_tf.configuration import Config
from skt_tf.configuration_checks import unread
from skt_tf.experiments.chosen_networks import idle
from skt_tf.utils.errors import UserError
from skt_tf.utils.fields import kinds

# By the first type that a field may have.
_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    tuple: flags.DEFINE_list,
    bool: flags.DEFINE_boolean,
}


class _Methods(flags.ListParser):
    """A list whose elements may have lists of their own in parentheses."""

    def parse(self, argument):
        whole = re.fullmatch(r'\s*"([^"]*)"\s*', argument or "")
        text = whole[1] if whole else argument
        # What absl splits may quote its elements; here quotes are Python's.
        return text.split(",") if "(" in (text or "") else super().parse(argument)


def _define_methods(name, default, help, flag_values):
    serializer = flags.CsvListSerializer(",")
    flags.DEFINE(_Methods(), name, default, help, flag_values=flag_values, serializer=serializer)


def define_flags(flag_values=flags.FLAGS):
    """Defines one absl flag for each field of `Config`, which become key flags of this module."""
    for field in dataclasses.fields(Config):
        kind = kinds(field)[0]
        define = _DEFINE[typing.get_origin(kind) or kind]
        define = _define_methods if field.name == "methods" else define
        define(field.name, field.default, explanation(field), flag_values=flag_values)
    flag_values.set_gnu_getopt(True)


def explanation(field):
    """The sentence that a flag is explained by, with its choices."""
    choices = field.metadata["choices"]
    return field.metadata["help"] + (f": {', '.join(choices)}." if choices else ".")


def without_effect(config, flag_values=flags.FLAGS):
    """The flags that were given and that nothing reads, in sentences.

    Args:
        config: the `Config` that they make.
    """
    unused = unread(config)
    found = {
        f"in --job={config.job}": unused,
        "beside networks that are given by their paths": [
            name for name in idle(config) if name not in unused
        ],
    }
    given = {
        where: [f"--{name}" for name in names if flag_values[name].present]
        for where, names in found.items()
    }
    return [
        f"{', '.join(names)}: without effect {where}" for where, names in given.items() if names
    ]


def from_flags(flag_values=flags.FLAGS):
    """The `Config` that the parsed flags say; raises a ValueError of one sentence."""
    values = {field.name: flag_values[field.name].value for field in dataclasses.fields(Config)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if values["transfer_split"] is not None:
        try:
            values["transfer_split"] = tuple(float(part) for part in values["transfer_split"])
        except ValueError:
            raise UserError(
                f"--transfer_split={','.join(values['transfer_split'])} is not understood: "
                "expected numbers, such as 1,3"
            ) from None
    with contextlib.suppress(ValueError):  # A word: the configuration knows which ones there are.
        values["flow_weights"] = tuple(float(part) for part in values["flow_weights"].split(","))
    return Config(**values)
