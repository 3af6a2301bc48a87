"""TensorFlow's oneDNN kernels are on for commands, on every processor, and records say so."""

import os
import platform
import subprocess
import sys

import pytest
from command_line import ROOT

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
# TensorFlow's own word, for its default depends on the processor.
PROGRAM = """
from skt_tf.utils.quiet import load_tensorflow

load_tensorflow()

from tensorflow.python.util._pywrap_util_port import IsMklEnabled

from skt_tf.utils.environment import environment

print(IsMklEnabled(), environment()["onednn"])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of other processors' builds")
@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "True 1"), ({VARIABLE: "0"}, "False 0")],
)
def test_onednn_is_on_unless_the_user_says_otherwise(given, says):
    others = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**others, "PYTHONPATH": str(ROOT), **given},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == says, done.stderr
