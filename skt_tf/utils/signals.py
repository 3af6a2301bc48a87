"""SIGTERM and Ctrl-C: the command line stops where nothing is lost."""

import contextlib
import ctypes
import os
import signal
import sys
import time

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds that a process of a cluster has to save and stop: less than any scheduler waits.
_PATIENCE = 8
# A terminal or scheduler may send it to every process of a job, of which one passes it on too.
_TWICE = 1


class Stopped(BaseException):
    """A signal asked the process to end; no `except Exception` may keep it from that.

    Attributes:
        signal: the `signal.Signals`.
    """

    def __init__(self, number):
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


class _Listener:
    """What the process knows of signals."""

    waiting = False  # Whether a signal waits until it is asked for.
    asked = None  # The signal that waits.
    heard = -_TWICE  # When the last one came.

    def answer(self, number, frame):
        del frame
        before, self.heard = self.heard, time.monotonic()
        if self.heard - before < _TWICE:
            return
        # Whoever asks a second time does not want to wait.
        if not self.waiting or self.asked is not None:
            raise Stopped(number)
        self.asked = number


_listener = _Listener()


def listen():
    """From now on SIGTERM and SIGINT raise `Stopped` in the main thread.

    A signal that is ignored stays so: a shell starts its background jobs without Ctrl-C.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _listener.answer)


def supervise():
    """Goes on in a child process, and ends as it does; seconds after a signal, whatever it does.

    TensorFlow waits for other workers where neither Python's threads nor its signals get a turn.
    """
    sys.stdout.flush()
    child = os.fork()
    if not child:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with this one.
        return
    try:
        code = _exit_code(child)
    except Stopped as first:
        os.kill(child, first.signal)
        try:
            code = _exit_code(child, _PATIENCE)
        except Stopped:  # A second one.
            code = None
        if code is None:
            os.kill(child, signal.SIGKILL)
        if code is None or code < 0:
            raise first from None
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _exit_code(child, seconds=float("inf")):
    """The exit code of a child, or minus its signal; None where it still runs after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    return None


@contextlib.contextmanager
def steps_in_peace():
    """Within the block a first signal waits for `stop`, or for the block's end."""
    _listener.waiting = True
    try:
        yield
    finally:
        _listener.waiting = False
    if asked_to_stop():
        stop()


def asked_to_stop():
    """Whether a signal waits."""
    return _listener.asked is not None


def stop():
    """Raises `Stopped`: for the signal that waits, or that another worker was sent."""
    raise Stopped(_listener.asked or signal.SIGTERM)


@contextlib.contextmanager
def ending_at_once():
    """Within the block a signal ends the process: for code that never comes back to Python."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
