"""What libraries print as they load and work, held back; TensorFlow, loaded so."""

import contextlib
import os
import re
import sys
import tempfile

from skt_tf.utils.errors import UserError
from skt_tf.utils.signals import supervise


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


# Notes about the build, and the error that every machine without a GPU prints. TensorFlow
# writes them before its own log level counts.
_GREETING = re.compile(
    r"WARNING: All log messages before absl|I\d{4} |E\d{4} .*failed call to cuInit"
)


def set_variables():
    """Sets what TensorFlow and Keras read as they are loaded, where the user has not."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # TensorFlow's default on processors with AVX512-VNNI or later alone; elsewhere, too, the
    # gradients of convolutions are several times faster so.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def load_tensorflow(distribution="none", deterministic=False):
    """Imports TensorFlow and looks for devices; prints of it only what may need an answer.

    Args:
        distribution: as the flag; a cluster must be joined before anything else is done, in a
            child process that a signal ends.
        deterministic: whether each operation must give the same bytes every time.
    """
    if distribution == "multi_worker":
        supervise()
    set_variables()
    with filtered_stderr():
        import tensorflow as tf

        # Every stage is a graph of its own: traced once, and meant to be.
        tf.get_logger().addFilter(lambda record: "retracing" not in record.getMessage())
        for gpu in tf.config.list_physical_devices("GPU"):
            # Others use the same GPU; TensorFlow would take all of its memory.
            tf.config.experimental.set_memory_growth(gpu, True)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        if distribution == "multi_worker":
            from skt_tf.utils.distribution import join_cluster

            join_cluster()
        tf.constant(0)


@contextlib.contextmanager
def filtered_stderr():
    """Holds back what is written to stderr; at the end prints what is no greeting."""
    lines = []
    try:
        with caught_stderr() as lines:
            yield
    finally:
        sys.stderr.writelines(line for line in lines if not _GREETING.match(line))
