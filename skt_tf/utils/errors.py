"""What the project raises when the person who called it can mend it."""

import contextlib
import copyreg
import difflib
import re
import sys

_flags = False


@contextlib.contextmanager
def named_as_flags():
    """Within the block, errors call what was given by its flag, where Python has an argument."""
    global _flags
    before, _flags = _flags, True
    try:
        yield
    finally:
        _flags = before


def option(name, argument=None):
    """What an error calls an option: `--name`, or in Python `argument`, `name` if not given."""
    return f"--{name}" if _flags else argument or name


def close_to(word, names, prefix="", most=1):
    """` (did you mean …?)`, for a word that is none of `names` but nearly one; else nothing."""
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=most)
    return meant(prefix + by_lower[name] for name in close)


def meant(names):
    """` (did you mean … or …?)` of names that may have been meant; nothing of none."""
    said = " or ".join(names)
    return f" (did you mean {said}?)" if said else ""


def unknown(what, word, names, some=False):
    """The sentence on a `word` that is none of `names`.

    Args:
        what: what it calls the word.
        word: the word, with which close ones are looked for.
        names: all that it could be.
        some: whether several may be given.
    """
    number = "some" if some else "one"
    return f"{what} is unknown{close_to(word, names)}: expected {number} of {', '.join(names)}"


def check_one_of(name, given, words):
    """Raises a ValueError where what was given as `name` is none of `words`."""
    if given not in words:
        raise UserError(unknown(f"{name}={given}", given, words))


def start_over():
    """How the one who is told of the error starts over."""
    return "give another folder, or start over with --fresh" if _flags else "give another folder"


def warn(sentence):
    """Says on stderr what the one who called may want to mend, though the work goes on."""
    print(f"skt_tf: warning: {sentence}", file=sys.stderr)


@contextlib.contextmanager
def about(what):
    """Within the block, the sentence of a `UserError` begins with `what` it is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from None


def behind(error, failure):
    """`failure`, a `UserError` of a reader, where it is what another library's error tells of."""
    return failure if failure and str(failure) in str(error) else None


class UserError(ValueError):
    """A mistake in what was given: one sentence that says what, and what is expected.

    The command line prints the sentence without a traceback and exits with code 2.
    """

    def __reduce__(self):
        # Past `__init__`, which is made of other things in those below.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)


class Diverged(UserError):
    """A stage was stopped at a loss that is not a finite number.

    Attributes:
        facts: what results.json says of it, a dict: `stage`, `step` (the iteration, counted
            from 1), `flow` (None where no single one is to blame), `learning_rate` of that
            iteration, and `message`.
        records: `StageRecord`s of what the net had done and logged, the failed stage included.
    """

    def __init__(self, message, stage, step=0, flow=None, rate=None, records=()):
        super().__init__(message)
        self.facts = {"stage": stage, "step": step, "flow": flow, "learning_rate": rate}
        self.facts["message"] = message
        self.records = records


class UnfitTeacher(UserError):
    """The FSP matrices of a teacher cannot be transferred: they are zero, or too large."""


def one_line(error, wrapped=False):
    """The first sentence of another library's error, for a sentence of ours.

    Where it is `wrapped`, lines end within sentences.
    """
    # TensorFlow and Keras begin with where in the graph and in the code it was, Keras in bold.
    place = (
        r"\s*$|Exception encountered|Graph execution error|Detected at node|  File |<stack traces"
    )
    text = " ".join(str(error).split()) if wrapped else str(error)
    text = re.sub(r"\x1b\[\d*m", "", text)
    # Of several errors at once it counts them, and then lists them.
    place += r"|.*\d+ root error\(s\) found"
    lines = [line for line in text.splitlines() if not re.match(place, line)]
    line = (lines or [type(error).__name__])[0].strip()
    # Without its names for nodes of the graph and operations, and words round a sentence of ours.
    line = re.sub(r"assertion failed: \[(.*?)\] \[.*", r"\1", line)
    noise = (
        r"^\(0\) \w+: *|Error in user-defined .*? iterator: \S+: |\{\{.*?\}\} ?| \[Op:.*"
        r"| : Tensor had .*"
    )
    line = re.sub(noise, "", line)
    return line.split(". ")[0].rstrip(".")[:200]
