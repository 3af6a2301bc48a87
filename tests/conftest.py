"""Tiny networks and data that the tests share."""

import gc
import os
import shutil
import signal
import sys
import tempfile

# A shell starts its background jobs without Ctrl-C, which the tested commands would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# skt_tf looks at it as it is imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import hypothesis
import numpy as np
import pytest

from skt_tf.utils.quiet import set_variables

set_variables()  # As commands do.

# How long a draw takes says on a shared machine who else is at work.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")


# To trace a graph makes many objects that stay: looking through them costs a twentieth of the time.
gc.set_threshold(10_000, 20, 100)


def pytest_configure(config):
    # A folder for all of the processes that tests run in.
    if not hasattr(config, "workerinput"):
        os.environ["SKT_TF_SHARED"] = tempfile.mkdtemp(prefix="skt_tf-")


def pytest_sessionfinish():
    # Coverage that is measured (CONTRIBUTING.md): a worker that takes ten seconds to end is killed.
    if "COVERAGE_PROCESS_START" in os.environ:
        import coverage

        if measured := coverage.Coverage.current():
            measured.stop()
            measured.save()


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("SKT_TF_SHARED"))


@pytest.fixture(autouse=True, scope="module")
def graphs_as_they_are_traced():
    """Optimizing a graph takes longer than its few steps; see `command_line.WHOLE`."""
    optimizer = "tensorflow" in sys.modules and sys.modules["tensorflow"].config.optimizer
    if optimizer:
        optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    if optimizer:
        optimizer.set_experimental_options({"disable_meta_optimizer": False})


def _network(seed, *, depth=8, width=2, classes=4, shape=(8, 8, 1)):
    """A network whose every variable, batch-normalisation statistics included, is unusual."""
    from skt_tf.models.resnet import resnet

    network = resnet(depth, classes, shape, width, seed=seed)
    random = np.random.default_rng(seed)
    for variable in network.variables:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(random.uniform(-0.5, 0.5, variable.shape))
    return network


@pytest.fixture(scope="session")
def network():
    """Builds a tiny network: network(seed, depth=…, width=…, classes=…, shape=…)."""
    return _network


@pytest.fixture(scope="session")
def teacher():
    """An 8-layer teacher of 2 channels for 8×8 grey images and 4 classes, for reading only."""
    return _network(1)


@pytest.fixture
def student():
    """A fresh student of the teacher's shape, free to be trained."""
    return _network(2)


@pytest.fixture(scope="session")
def batch():
    """(images [8, 8, 8, 1] float32, labels [8] int32) of 4 classes."""
    images = np.random.default_rng(3).normal(size=(8, 8, 8, 1)).astype(np.float32)
    return images, np.arange(8, dtype=np.int32) % 4


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits as a dataset."""
    from skt_tf.data.datasets import load_dataset

    return load_dataset("digits")


@pytest.fixture
def policy():
    """Sets Keras' dtype policy for one test: policy(name)."""
    import keras

    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="session")
def reference_fsp():
    """FSP matrices of two maps in float64 NumPy; the larger must be a multiple of the smaller."""

    def shrink(maps, height, width):
        number, rows, columns, channels = maps.shape
        cells = (number, height, rows // height, width, columns // width, channels)
        return maps.reshape(cells).max(axis=(2, 4))

    def fsp(first, second):
        first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
        size = np.minimum(first.shape[1:3], second.shape[1:3])
        first, second = shrink(first, *size), shrink(second, *size)
        return np.einsum("bhwi,bhwj->bij", first, second) / size.prod()

    return fsp
