"""What TensorFlow says where an operation fails, as sentences that say what to do."""

import contextlib
import errno
import os

import tensorflow as tf

from skt_tf.utils.distribution import several_workers
from skt_tf.utils.errors import UserError, one_line, option


@contextlib.contextmanager
def by_workers(strategy):
    """Within the block, what fails as another worker of `strategy` is gone says that it is."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError):
        if not several_workers(strategy):
            raise
        raise UserError(
            "a worker of the cluster is gone: see what it printed, and start all of them again "
            "with the same commands"
        ) from None


@contextlib.contextmanager
def said(batch_size=None, networks="these networks", folder=None):
    """Within the block, an operation that this machine cannot do ends in a `UserError`.

    Args:
        batch_size: images a batch, which may be too many; None where users do not choose it.
        networks: words for what may be too large beside them.
        folder: path of the output, whose disk may be full.
    """
    try:
        yield
    except (tf.errors.AbortedError, tf.errors.UnavailableError) as error:
        # As which oneDNN's failures are passed on.
        raise UserError(
            f"an operation of TensorFlow failed ({one_line(error)}): the environment variable "
            "TF_ENABLE_ONEDNN_OPTS=0 makes it do without oneDNN"
        ) from None
    except tf.errors.ResourceExhaustedError as error:
        # TensorFlow's word for a full disk too, which TensorBoard's logs may meet.
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number), folder) from None
        if batch_size is None:
            needed = "the networks and a batch of images: run this where there is more"
        else:
            needed = f"{option('batch_size')}={batch_size} and {networks}: give less"
        raise UserError(f"a device has not enough memory for {needed}") from None
