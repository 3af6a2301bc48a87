"""A batch over two devices gives the update that it gives on one."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from skt_tf.distribution import distribution_strategy

# In a process of its own: devices are set before TensorFlow starts.
PROGRAM = """
import json
import keras
import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import skt_tf
from skt_tf.distribution import distribution_strategy
from skt_tf.methods import TASK, stages

data = skt_tf.load_dataset("digits")
standard = data.mean, data.variance
kinds = {
    "transfer": stages("skt")[1], "hint": stages("hint")[0], "soft": stages("hint")[1], "task": TASK
}


def run(name, stage):
    strategy = distribution_strategy(name, 32)
    with strategy.scope():
        teacher, student = (
            skt_tf.resnet(8, 10, data.image_shape, 4, normalization=standard, seed=k)
            for k in (1, 2)
        )
        weights = skt_tf.normalized_flow_weights(
            teacher, skt_tf.dense_flows(), data.train_images[:100]
        )
        distiller = skt_tf.SequentialDistiller(
            teacher, student, stage, flow_weights=weights, weight_decay=1e-2, steps=10,
            hint_reduction="mean",
        )
        distiller.compile(keras.optimizers.SGD(0.02, momentum=0.9))
    start = [v.numpy() for v in student.variables]
    batches = skt_tf.training_batches(data, 32, 0, 10)
    distiller.fit(batches, steps_per_epoch=10, verbose=0, shuffle=False)
    return strategy.num_replicas_in_sync, start, [v.numpy() for v in student.variables]


found = {}
for kind, stage in kinds.items():
    (one, start, alone), (two, _, shared) = run("none", stage), run("mirrored", stage)
    moved = max(float(np.abs(a - b).max()) for a, b in zip(start, alone))
    apart = max(float(np.abs(a - b).max()) for a, b in zip(alone, shared))
    found[kind] = [one, two, moved, apart]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ["transfer", "hint", "soft", "task"])
def test_ten_steps_over_two_devices_end_where_one_device_ends(found, kind):
    one, two, moved, apart = found[kind]
    assert (one, two) == (1, 2)
    assert apart < 1e-4 < 1e-2 < moved


def test_auto_is_one_device_where_there_are_no_gpus():
    if not tf.config.list_physical_devices("GPU"):
        assert distribution_strategy("auto", 7) is tf.distribute.get_strategy()
