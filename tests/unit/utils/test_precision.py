"""What is set, and what is slow here."""

import keras
import pytest

from skt_tf.utils import precision


@pytest.mark.parametrize(
    ("name", "gpus", "units", "says"),
    [
        ("float32", [], [], None),
        ("mixed_bfloat16", [], ["AMX"], None),
        ("mixed_bfloat16", [], [], "slower than float32 here, since the processor"),
        ("mixed_float16", [], ["AMX"], "a hundred times slower than float32"),
        ("mixed_float16", [{"compute_capability": (7, 0)}], [], None),
        ("mixed_bfloat16", [{"compute_capability": (8, 0)}], [], None),
        ("mixed_bfloat16", [{"compute_capability": (7, 0)}], ["AMX"], "since not all GPUs"),
    ],
)
def test_a_precision_that_is_slow_here_is_warned_of(name, gpus, units, says, monkeypatch, capsys):
    monkeypatch.setattr(precision, "bfloat16_units", lambda: units)
    monkeypatch.setattr(precision.sys, "platform", "linux")
    monkeypatch.setattr(precision.platform, "machine", lambda: "x86_64")
    config = precision.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(config.experimental, "get_device_details", dict)
    before = keras.config.dtype_policy()
    try:
        precision.set_policy(name)
        assert keras.config.dtype_policy().name == name
    finally:
        keras.config.set_dtype_policy(before)
    said = capsys.readouterr().err
    assert says in said if says else not said
