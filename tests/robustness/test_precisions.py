"""Every precision under every distribution is run once."""

import json

import pytest
from command_line import cluster, together

# In processes of their own: devices and clusters are set before TensorFlow starts.
PROGRAM = """
import sys
import tensorflow as tf
from skt_tf.utils.quiet import load_tensorflow

name, folder = sys.argv[1:]
if name == "mirrored":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
load_tensorflow(name)

from skt_tf.configuration import Config
from skt_tf.experiments import experiment

for precision, teacher_precision in (
    ("float32", "bfloat16"), ("mixed_bfloat16", "float16"), ("mixed_float16", "float32")
):
    experiment.run(
        Config(
            dataset="digits", distribution=name, precision=precision,
            teacher_precision=teacher_precision, methods=("kd",), teacher_depth=8,
            width=2, batch_size=16, teacher_steps=2, task_steps=2, evaluations=1,
            output_dir=f"{folder}/{precision}",
        )
    )
sys.exit()
"""


@pytest.mark.parametrize("name", ["none", "mirrored", "multi_worker"])
def test_every_precision_of_both_networks_is_trained(name, tmp_path):
    arguments = name, tmp_path
    if name == "multi_worker":
        done = cluster(arguments, arguments, preludes=(PROGRAM, PROGRAM), cwd=tmp_path)
    else:
        done = together((arguments, PROGRAM, {}), cwd=tmp_path)
    assert {code for _, _, code in done} == {0}, [error[-2000:] for _, error, _ in done]
    for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
        results = json.loads((tmp_path / precision / "results.json").read_text())
        assert len(results["methods"]["kd"]["accuracies"]) == 1
