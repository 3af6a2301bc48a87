"""TensorFlow's oneDNN kernels are on for commands, on every processor, and records say so."""

import os
import platform
import subprocess
import sys

import pytest
from command_line import ROOT

# TensorFlow's own word, for its default depends on the processor.
PROGRAM = """
from skt_tf.utils.quiet import load_tensorflow

load_tensorflow()

from tensorflow.python.util._pywrap_util_port import IsMklEnabled

from skt_tf.utils.environment import environment

print(IsMklEnabled(), environment()["onednn"])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of other processors' builds")
@pytest.mark.parametrize(("given", "says"), [(None, "True 1"), ("0", "False 0"), ("1", "True 1")])
def test_onednn_is_on_unless_the_user_says_otherwise(given, says):
    variables = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    variables |= {"PYTHONPATH": str(ROOT)} | (
        {} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given}
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=variables, capture_output=True, text=True
    )
    assert done.stdout.strip() == says, done.stderr
