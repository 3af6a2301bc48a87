"""Versions and machine, as results carry them."""

import os
import pathlib
import platform

import keras
import numpy as np
import tensorflow as tf

import skt_tf

# What multiplies in bfloat16, by the flags of /proc/cpuinfo.
_UNITS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}


def cores():
    """How many cores this process may use, which in a container is fewer than the machine has."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()


def bfloat16_units():
    """Names of what this processor multiplies in bfloat16 with; empty where nothing tells."""
    try:
        flags = set(pathlib.Path("/proc/cpuinfo").read_text().split())
    except OSError:  # Not Linux.
        return []
    return [name for flag, name in _UNITS.items() if flag in flags]


def environment():
    """A dict of versions, processor, cores, GPUs, and how many devices share a batch."""
    processor = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        pass  # Not Linux, or not x86: the platform's word stands.
    return {
        "skt_tf": skt_tf.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        # Names alone do not tell processors apart that multiply at other speeds.
        "processor": ", ".join([processor, *bfloat16_units()]),
        "cores": cores(),
        # Its kernels round otherwise than TensorFlow's own.
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "TensorFlow's default"),
        "gpus": [gpu.name for gpu in tf.config.list_physical_devices("GPU")],
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
    }
