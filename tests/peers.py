"""What our objectives give for what their peers' code gave: a row for each loss.

    python tests/peers.py [FOLDER]

FOLDER, by default tests/peers, holds `losses.json` and `losses.npz` as tests/peers/README.md says.
A row has the relative errors of the value, of the worst gradient and of the worst part, and which
of our objectives it is, with its parameters. The exit code is 1 where a value or a part is off by
more than 1e-5 or a gradient by more than 1e-4 of its norm, or where a loss is unknown here.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "peers"

if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent), str(HERE / "helpers")]
    from peer_values import check

    sys.exit(bool(check(*sys.argv[1:2] or [FOLDER])))
