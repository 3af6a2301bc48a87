"""A search that several processes share: who is its chief, where, and whether it lives.

keras-tuner's variables say who a process is. Before the chief listens, workers watch its folder.
"""

import contextlib
import os
import socket
import threading
import time

from skt_tf.utils.errors import UserError
from skt_tf.utils.locks import LOCK

# Seconds: between two signs of life; without one; and for a chief to come, as in keras-tuner.
_BEAT, SILENCE, _ABSENCE = 5, 60, 3600
_AGAIN = "see what it printed, start it again, and then this worker"


def is_shared():
    return "KERASTUNER_ORACLE_IP" in os.environ


def is_worker():
    return is_shared() and "chief" not in os.environ.get("KERASTUNER_TUNER_ID", "")


def _place():
    names = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
    return [os.environ.get(name, "") for name in names]


def check_place():
    """Raises a ValueError where keras-tuner's variables are no place for a chief to be at."""
    if not is_shared():
        return
    host, port = _place()
    if not os.environ.get("KERASTUNER_TUNER_ID"):
        raise UserError(
            "KERASTUNER_ORACLE_IP is set and KERASTUNER_TUNER_ID is not: expected chief, or a name "
            "for each worker, such as tuner0"
        )
    if not host:
        raise UserError("KERASTUNER_ORACLE_IP is empty: expected the address of the chief")
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(
            f"KERASTUNER_ORACLE_PORT={port} is no port: expected a number from 1 to 65535"
        )
    if is_worker():
        try:
            socket.getaddrinfo(host.strip("[]"), int(port))
        except OSError as error:
            raise UserError(
                f"KERASTUNER_ORACLE_IP={host} cannot be found ({error.strerror}): expected the "
                "address of the chief"
            ) from None
        return
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), int(port)), family=kind).close()
    except OSError as error:
        reason = error.strerror.partition(" (")[0]
        raise UserError(
            f"the chief cannot listen at port {port} of KERASTUNER_ORACLE_IP={host} "
            f"({reason}): expected an address of this machine and a free port"
        ) from None


@contextlib.contextmanager
def showing_life(folder):
    """Within the block the lock of `folder` is touched every few seconds, for workers to see."""
    ended = threading.Event()

    def touch():
        while not ended.wait(_BEAT):
            with contextlib.suppress(OSError):  # It gets another name with --fresh.
                os.utime(folder / LOCK)

    threading.Thread(target=touch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def wait_for_chief(folder, begun, ready):
    """Waits until the chief of the search in `folder` is ready.

    Args:
        folder: a `pathlib.Path`.
        begun, ready: functions without arguments, whether a chief has been there, and is ready.

    Raises:
        ValueError: it has shown no life for a minute, or never came.
    """
    seen, since = None, time.monotonic()
    if not ready():
        print("waiting for the chief's teacher, and an hour at most for the chief", flush=True)
    while not ready():
        sign = None
        with contextlib.suppress(OSError):
            sign = (folder / LOCK).stat().st_mtime_ns
        if sign not in (None, seen):
            seen, since = sign, time.monotonic()
        patience = SILENCE if seen or begun() else _ABSENCE
        if time.monotonic() - since > patience:
            raise UserError(
                f"the chief of the search in {folder} has shown no life for {patience} s: {_AGAIN}"
            )
        time.sleep(1)


def no_answer(error):
    """What a worker says of a `grpc.RpcError`."""
    host, port = _place()
    return UserError(
        f"the chief at {host}:{port} does not answer ({error.details()}): {_AGAIN}, unless the "
        "search has ended"
    )
