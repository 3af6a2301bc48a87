"""The command line: flags in, one job done.

python -m skt_tf.main --flagfile=flags/quickstart.flags
"""

import dataclasses
import importlib
import os
import re
import sys
import tempfile

from absl import app, flags, logging

from skt_tf import flags as project_flags
from skt_tf import help_page
from skt_tf.configuration import JOBS, Config
from skt_tf.methods.catalogue import stages
from skt_tf.utils.errors import UserError, close_to, named_as_flags, one_line, warn
from skt_tf.utils.fields import check_choice
from skt_tf.utils.files import undrafted, why
from skt_tf.utils.keras_settings import check_keras
from skt_tf.utils.quiet import load_tensorflow
from skt_tf.utils.signals import Stopped, listen
from skt_tf.utils.user_modules import import_modules

project_flags.define_flags()
_HELP = re.compile(r"--?(help|helpshort|\?)(=(true|t|1))?", re.IGNORECASE)


def _refuse(error):
    """Ends the program with one sentence, without a traceback."""
    sentence = " ".join(str(error).split())
    # Of a value of thousands of digits, its ends tell which one it is.
    sentence = re.sub(r"\S{300,}", lambda word: f"{word[0][:100]}…{word[0][-20:]}", sentence)
    print(f"skt_tf: {sentence}", file=sys.stderr)
    sys.exit(2)


def _parse(argv):
    """Parses flags as absl does, and says what is wrong with them in the project's words."""
    if {"--flagfile=", "-flagfile="} & set(argv):
        _refuse("--flagfile is empty: expected the path of a file of flags")
    try:
        # Of a flagfile, as its editor wrote it: with a mark of the byte order, or --name = value.
        lines = argv[1:]
        while True:
            lines = flags.FLAGS.read_flags_from_files(lines)
            lines = [line if line in argv else _tidied(line) for line in lines]
            if not any(re.match("--?flagfile=", line) for line in lines):
                break  # None was hidden behind such a mark.
        lines = list(filter(None, lines))
        if any(map(_HELP.fullmatch, lines)):
            _help(lines)
        rest = flags.FLAGS([argv[0], *lines])
    except SystemExit as end:
        # --helpfull: absl leaves with an error after it.
        sys.exit(end.code if end.code == 2 else 0)
    except flags.IllegalFlagValueError as error:
        parts = re.match(r"flag (--(\w+)=.*?): ", str(error), re.DOTALL)
        if parts is None:
            _refuse(error)
        given, name = parts.groups()
        expected = flags.FLAGS[name].parser.syntactic_help or "true or false"
        _refuse(f"{given} is not understood: expected {expected}")
    except flags.UnrecognizedFlagError as error:
        close = close_to(error.flagname, list(flags.FLAGS), prefix="--")
        _refuse(f"--{error.flagname} is not a flag{close}: --help lists all")
    except flags.CantOpenFlagFileError as error:
        cause = error.__context__
        given, more = {os.path.expanduser(word.partition("=")[2] or word) for word in argv}, ""
        if cause.filename not in given:
            more = "; another flagfile names it, and such paths begin at the current folder"
        _refuse(f"the flagfile {cause.filename} cannot be read: {cause.strerror}{more}")
    except UnicodeDecodeError:
        _refuse(f"a flagfile of {' '.join(argv[1:])} cannot be read: it is not UTF-8 text")
    # Of absl's further errors, some are its own and some are ValueErrors.
    except (flags.Error, ValueError) as error:
        _refuse(error)
    if rest[1:]:
        _refuse(f"'{rest[1]}' is not a flag: expected --name=value")
    return rest


def _help(lines):
    """Ends the program with the page of --help: of one job, where one is named."""
    job = None
    for line, after in zip(lines, [*lines[1:], ""]):
        if named := re.fullmatch(r"--?job(=(.*))?", line, re.DOTALL):
            job = after if named[1] is None else named[2]
    if job is not None:
        (field,) = (field for field in dataclasses.fields(Config) if field.name == "job")
        try:
            with named_as_flags():
                check_choice(field, job)
        except UserError as error:
            _refuse(error)
    try:
        print(help_page.page(job), flush=True)
    except BrokenPipeError:  # As of `| head`.
        _close_output()
    sys.exit(0)


def _close_output():
    """Where nobody reads it any more: Python would write once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tidied(line):
    """A line of a flagfile as absl takes it; nothing of a comment."""
    line = line.removeprefix("\ufeff").lstrip()
    return "" if line.startswith("#") else re.sub(r"^(--?\w+)(\s*=|\s)\s*", r"\1=", line)


def main(argv):
    del argv
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.ERROR)  # The libraries' notes on what they read.
    config = None
    try:
        listen()
        config = project_flags.from_flags()
        for sentence in project_flags.without_effect(config):
            warn(sentence)
        with named_as_flags():
            # TensorFlow takes seconds to load: only for a configuration that holds.
            if config.job != "report":
                load_tensorflow(config.distribution, config.deterministic)
            import_modules(config.import_modules or ())
            _check_losses(config)
            job = importlib.import_module(f"skt_tf.{JOBS[config.job]}.{config.job}")
            outcome = job.run(config)
        if config.job == "experiment":
            from skt_tf.reports.results import failures  # Loads NumPy.

            if failures(outcome):
                sys.exit(3)
        if config.job == "verify" and not outcome:
            sys.exit(1)
    except Stopped as stop:
        is_run = config is not None and config.job in ("experiment", "tune")
        again = "the same command" + (" without --fresh" if is_run and config.fresh else "")
        rest = f": {again} goes on from where it was saved last" if is_run else ""
        print(f"\nskt_tf: stopped by {stop.signal.name}{rest}", file=sys.stderr)
        sys.exit(128 + stop.signal)
    except UserError as error:
        _refuse(error)
    except BrokenPipeError:
        _close_output()
        _refuse("the output cannot be written: whatever read it has ended")
    except OSError as error:
        reason = why(error) or one_line(error)
        if error.filename:
            _refuse(f"{undrafted(error.filename)} cannot be read or written: {reason}")
        _refuse(
            f"a file cannot be written ({reason}): make room for --output_dir="
            f"{config.output_dir}, for temporary files in {tempfile.gettempdir()}, and for the "
            "output"
        )


def _check_losses(config):
    """Raises a ValueError for a loss that is not known now that all modules are imported."""
    for method in config.methods if config.import_modules else ():
        stages(method, config.dense_flows, None, config.layout, config.section_flows)


def console():
    """The entry point of the installed command."""
    # Where the terminal's encoding lacks a sign, a run of hours must not end at a minus.
    sys.stdout.reconfigure(errors="replace")
    sys.stderr.reconfigure(errors="replace")
    # As with python -m: modules of one's own may lie in the folder that the command is started in.
    sys.path.insert(0, os.getcwd())
    try:
        check_keras()
    except UserError as error:
        _refuse(error)
    app.run(main, flags_parser=_parse)


if __name__ == "__main__":
    console()
