"""What a benchmark is compared with."""

from types import SimpleNamespace

import numpy as np
import pytest
from command_line import SLOW
from sentences import refused

from skt_tf.benchmarks import benchmark
from skt_tf.benchmarks.step_costs import Parts
from skt_tf.configuration import Config
from skt_tf.data.datasets import load_dataset
from skt_tf.methods.fsp import flow_model


@pytest.mark.parametrize("content", [None, "[]", '{"stages": 3}', "{"])
def test_what_is_no_benchmark_cannot_be_compared_with(content, tmp_path):
    other = tmp_path / "other.json"
    if content is not None:
        other.write_text(content)
    config = Config(job="benchmark", compare=str(other), output_dir=str(tmp_path / "new"))
    with refused("^--compare=.*other.json .*benchmark.json"):
        benchmark.run(config)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "networks",
    [
        {"teacher_depth": 110},
        {"teacher_network": "wrn_40_2", "student_network": "wrn_16_2"},
        # Of the first one's family.
        pytest.param({"teacher_network": "resnet56", "student_network": "resnet20"}, marks=SLOW),
    ],
    ids=lambda networks: next(iter(networks.values())),
)
def test_a_deep_untrained_teacher_has_targets_that_can_be_kept(networks):
    config = Config(job="benchmark", **networks)
    dataset = load_dataset(*config.images)
    teacher = Parts.teacher(SimpleNamespace(config=config, dataset=dataset))
    for matrices in flow_model(teacher, config.flows)(dataset.train_images[:64], training=False):
        assert 0 < np.abs(matrices).max() < np.finfo("float16").max / 8
