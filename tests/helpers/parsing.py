"""Arguments of the command line without a process: as a configuration, and done."""

import importlib

from absl import flags

from skt_tf.configuration import JOBS
from skt_tf.flags import define_flags, from_flags


def parse(*arguments):
    """The `Config` of `arguments`."""
    values = flags.FlagValues()
    define_flags(values)
    values(["skt_tf", *map(str, arguments)])
    return from_flags(values)


def here(*arguments):
    """Does the job of `arguments` in this process and its folder; what the job returns."""
    config = parse(*arguments)
    return importlib.import_module(f"skt_tf.{JOBS[config.job]}.{config.job}").run(config)
