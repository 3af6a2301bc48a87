"""What the project raises when the person who called it can mend it."""


class UserError(ValueError):
    """A mistake in what was given: one sentence that says what, and what is expected.

    The command line prints the sentence without a traceback and exits with code 2.
    """
