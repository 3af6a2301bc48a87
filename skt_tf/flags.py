"""The command line's flags: one for each field of `Config`."""

import contextlib
import dataclasses
import typing

from absl import flags

from skt_tf.configuration import Config
from skt_tf.configuration_checks import unread
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


def define_flags(flag_values=flags.FLAGS):
    """Defines one absl flag for each field of `Config`, which become key flags of this module."""
    for field in dataclasses.fields(Config):
        kind = kinds(field)[0]
        define = _DEFINE[typing.get_origin(kind) or kind]
        define(field.name, field.default, explanation(field), flag_values=flag_values)
    flag_values.set_gnu_getopt(True)


def explanation(field):
    """The sentence that a flag is explained by, with its choices."""
    choices = field.metadata["choices"]
    return field.metadata["help"] + (f": {', '.join(choices)}." if choices else ".")


def without_effect(config, flag_values=flags.FLAGS):
    """The flags that were given and that the job of `config` does not read, as `--name`."""
    return [f"--{name}" for name in unread(config) if flag_values[name].present]


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
