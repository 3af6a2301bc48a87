"""Arguments of the command line as a configuration."""

from absl import flags

from skt_tf.flags import define_flags, from_flags


def parse(*arguments):
    """The `Config` of `arguments`, without a process."""
    values = flags.FlagValues()
    define_flags(values)
    values(["skt_tf", *arguments])
    return from_flags(values)
