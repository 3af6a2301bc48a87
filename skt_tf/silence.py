"""What the C++ side of libraries writes to stderr, held back."""

import contextlib
import os
import sys
import tempfile

from skt_tf.errors import UserError


@contextlib.contextmanager
def caught_stderr():
    """Holds back what is written to stderr; yields a list that has its lines after the block."""
    lines = []
    # The C++ side writes to the file descriptor: replacing sys.stderr would not catch it.
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            lines += caught


@contextlib.contextmanager
def silence():
    """Drops what the block writes to stderr, unless it ends in an error nobody expects."""
    lines = []
    try:
        with caught_stderr() as lines:
            yield
    except (UserError, OSError):
        raise
    except Exception:
        sys.stderr.writelines(lines)
        raise
