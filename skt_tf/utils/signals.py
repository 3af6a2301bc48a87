"""SIGTERM and Ctrl-C: the command line stops where nothing is lost."""

import contextlib
import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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

    def answer(self, number, frame):
        del frame
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
