"""oneDNN's kernels are on for commands and scripts, on every processor, and records say so."""

import os
import platform
import subprocess
import sys

import pytest
from command_line import ROOT

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
COMMAND = "from skt_tf.utils.quiet import load_tensorflow; load_tensorflow()"
# TensorFlow's own word, for its default depends on the processor.
PROGRAM = """
{loads}

from tensorflow.python.util._pywrap_util_port import IsMklEnabled

from skt_tf.utils.environment import environment

print(IsMklEnabled(), environment()["onednn"])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of other processors' builds")
@pytest.mark.parametrize(
    ("loads", "given", "says"),
    [
        (COMMAND, {}, "True 1"),
        (COMMAND, {VARIABLE: "0"}, "False 0"),
        ("import docs.results.choices", {}, "True 1"),
    ],
)
def test_onednn_is_on_unless_the_user_says_otherwise(loads, given, says):
    others = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(loads=loads)],
        env={**others, "PYTHONPATH": str(ROOT), **given},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == says, done.stderr
