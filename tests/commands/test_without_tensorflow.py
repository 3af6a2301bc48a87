"""The methods as data: stages, their flows and what they spend."""

import subprocess
import sys


def test_methods_load_without_tensorflow():
    code = "import sys, skt_tf.methods; print(*{'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
