"""Over which devices a batch is spread."""

import json

import pytest
import tensorflow as tf
from command_line import is_one_sentence

from skt_tf.utils.distribution import distribution_strategy, join_cluster
from skt_tf.utils.errors import UserError


def test_auto_is_one_device_where_there_are_no_gpus():
    if not tf.config.list_physical_devices("GPU"):
        assert distribution_strategy("auto", 7) is tf.distribute.get_strategy()


CLUSTER = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


def changed(part, **values):
    return json.dumps({**CLUSTER, part: {**CLUSTER[part], **values}})


@pytest.mark.parametrize(
    ("text", "wrong"),
    [(None, "is not set"),
     ('{"cluster": {', "is no JSON at character 14"),
     ("{'cluster': 1}", "is no JSON at character 2: \"'cluster': 1}\""),
     ("[]", "is no JSON object"),
     ('{"task": {}}', "has no object 'cluster'"),
     ('{"cluster": {"worker": ["a:1"]}}', "has no object 'task'"),
     (changed("cluster", ps=["c:3"]), "has 'ps' in 'cluster', where only chief and worker work"),
     (changed("cluster", worker="a:1"), "has no list of addresses as 'worker'"),
     (changed("cluster", worker=["a:1", "b"]), "has the address 'b' of a worker"),
     (changed("cluster", worker=["a:1", "b:99999"]), "has the address 'b:99999' of a worker"),
     (changed("cluster", worker=["a:1", "b:0"]), "has the address 'b:0' of a worker"),
     (changed("cluster", chief=["c:1", "d:1"]), "has several addresses of chief"),
     (changed("cluster", worker=["a:1", 2]), "has the address 2 of a worker"),
     (changed("cluster", worker=["a:1", "a:1"]), "has the address 'a:1' twice"),
     (changed("task", type="chief"), "has the task type 'chief', which 'cluster' lacks"),
     (changed("task", index=2), "has the task index 2: there are 2 of worker, counted from 0"),
     (changed("task", index="1"), "has the task index '1'"),
     (changed("task", index=-1), "has the task index -1")],
)  # fmt: skip
def test_the_part_of_tf_config_that_is_wrong_is_named(text, wrong, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError) as refusal:
        join_cluster()
    assert f"TF_CONFIG, which {wrong}" in str(refusal.value)
    assert is_one_sentence(str(refusal.value))
