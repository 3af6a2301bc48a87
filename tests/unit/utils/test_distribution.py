"""Over which devices a batch is spread."""

import json

import pytest
import tensorflow as tf
from sentences import refused

from skt_tf.utils.distribution import distribution_strategy


def test_auto_is_one_device_where_there_are_no_gpus():
    if not tf.config.list_physical_devices("GPU"):
        assert distribution_strategy("auto", 7) is tf.distribute.get_strategy()


def config(group, index):
    return json.dumps({"cluster": group, "task": {"type": "worker", "index": index}})


@pytest.mark.parametrize(
    "value",
    [
        None, "", "{", "[]", '{"cluster": {"worker": []}, "task": {"type": "worker"}}',
        config({"worker": ["host"]}, 0),
        config({"worker": ["host:1"]}, -1),
        config({"worker": ["host:1"], "ps": ["host:2"]}, 0),
    ],
)  # fmt: skip
def test_a_cluster_needs_tf_config(value, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    with refused("^distribution=multi_worker needs the environment variable TF_CONFIG"):
        distribution_strategy("multi_worker", 32)
