"""The command line: flags in, one job done.

python -m skt_tf.main --flagfile=flags/quickstart.flags
"""

import sys

from absl import app, flags, logging

from skt_tf import config as configuration
from skt_tf.errors import UserError
from skt_tf.startup import load_tensorflow

configuration.define_flags()
flags.adopt_module_key_flags(configuration)


def _refuse(error):
    """Ends the program with one sentence, without a traceback."""
    sentence = " ".join(str(error).removeprefix("ERROR:: ").split())
    print(f"skt_tf: {sentence}", file=sys.stderr)
    sys.exit(2)


def _parse(argv):
    try:
        rest = flags.FLAGS(argv)
        if rest[1:]:
            raise UserError(f"'{rest[1]}' is not a flag: expected --name=value")
        return rest
    except (flags.Error, UserError) as error:
        _refuse(error)


def main(argv):
    del argv
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # The libraries' notes on what they read.
    try:
        config = configuration.from_flags()
        # TensorFlow takes seconds to load: only for a configuration that holds.
        load_tensorflow()
        if config.job == "export":
            from skt_tf import exporting

            exporting.run(config)
        else:
            from skt_tf import experiments

            experiments.run(config)
    except UserError as error:
        _refuse(error)
    except OSError as error:
        place = error.filename or config.output_dir
        _refuse(f"{place} cannot be read or written: {error.strerror or error}")


def console():
    """The entry point of the installed command."""
    app.run(main, flags_parser=_parse)


if __name__ == "__main__":
    console()
