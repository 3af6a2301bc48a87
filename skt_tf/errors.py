"""What the project raises when the person who called it can mend it."""

import re


class UserError(ValueError):
    """A mistake in what was given: one sentence that says what, and what is expected.

    The command line prints the sentence without a traceback and exits with code 2.
    """


def one_line(error):
    """The first sentence of another library's error, for a sentence of ours."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # Without TensorFlow's name for the node of the graph.
    return re.sub(r"\{\{.*?\}\} ?", "", lines[0]).split(". ")[0][:200]
