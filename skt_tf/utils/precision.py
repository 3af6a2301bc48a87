"""What networks compute in, and what this machine computes in fast."""

import contextlib
import platform
import sys

import keras
import tensorflow as tf

from skt_tf.utils.environment import bfloat16_units
from skt_tf.utils.errors import option, warn


def has_bfloat16():
    """Whether this machine multiplies in bfloat16: on its GPUs, or on its processor."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(gpu.get("compute_capability", (0, 0)) >= (8, 0) for gpu in details)
    return bool(bfloat16_units())


def precision_of_teacher(precision):
    """What a frozen teacher computes in here, where that may be `"auto"`."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16() else "float32"


@contextlib.contextmanager
def policy(name):
    """Layers that are made in the block have Keras' dtype policy of this name."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def set_policy(precision):
    """Sets Keras' dtype policy of networks that are built, and warns of one that is slow here.

    Args:
        precision: its name, as of `--precision`.
    """
    keras.config.set_dtype_policy(precision)
    gpus = tf.config.list_physical_devices("GPU")
    # What is not multiplied in is converted there and back for each operation, or worse: on
    # processors float16's convolutions run on one value at a time.
    told = bool(gpus) or (sys.platform, platform.machine()) == ("linux", "x86_64")
    slow = {"mixed_float16": not gpus, "mixed_bfloat16": told and not has_bfloat16()}
    if slow.get(precision):
        times = "a hundred times slower" if precision == "mixed_float16" else "slower"
        warn(
            f"{option('precision')}={precision} is {times} than float32 here, since "
            f"{'not all GPUs multiply' if gpus else 'the processor does not multiply'} in "
            f"{precision.removeprefix('mixed_')}"
        )
