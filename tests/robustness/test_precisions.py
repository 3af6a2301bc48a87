"""Every precision is run once; with SKT_TF_LONG=1 one whose loss is scaled on two devices, too.

A cluster trains in one in test_distribution.py.
"""

import json

import pytest
from command_line import SLOW, WHOLE, together

from skt_tf.models.resnet import resnet

# In processes of their own: devices and clusters are set before TensorFlow starts.
PROGRAM = """
import sys
from command_line import devices
from skt_tf.utils.quiet import load_tensorflow

name, folder, *precisions = sys.argv[1:]
if name == "mirrored":
    devices(2)
load_tensorflow(name)

from skt_tf.configuration import Config
from skt_tf.experiments import experiment

taught = {"mixed_bfloat16": "float16", "mixed_float16": "bfloat16", "float32": "bfloat16"}
for precision in precisions:
    experiment.run(
        Config(
            dataset="digits", distribution=name, precision=precision,
            teacher_precision=taught[precision], methods=("kd",), teacher="teacher.keras",
            width=2, batch_size=16, task_steps=2, evaluations=1,
            output_dir=f"{folder}/{precision}",
        )
    )
sys.exit()
"""


@pytest.mark.parametrize(
    ("name", "precisions"),
    [
        ("none", ("mixed_bfloat16", "mixed_float16", "float32")),
        # Its loss is scaled, over all devices alike; test_devices.py has what is special about it.
        pytest.param("mirrored", ("mixed_float16",), marks=SLOW),
    ],
)
def test_every_precision_of_both_networks_is_trained(name, precisions, tmp_path):
    resnet(8, 10, (8, 8, 1), 2, seed=1).save(tmp_path / "teacher.keras")
    arguments = name, tmp_path, *precisions
    [(_, error, code)] = together((arguments, PROGRAM, {WHOLE: "1"}), cwd=tmp_path)
    assert code == 0, error[-2000:]
    for precision in precisions:
        results = json.loads((tmp_path / precision / "results.json").read_text())
        assert len(results["methods"]["kd"]["accuracies"]) == 1
