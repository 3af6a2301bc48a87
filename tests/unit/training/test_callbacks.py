"""A loss that is no finite number stops its stage at that step, and nothing else."""

import types

import numpy as np
import pytest

from skt_tf.methods.catalogue import stages
from skt_tf.training.callbacks import Guard
from skt_tf.training.history import Progress
from skt_tf.utils.errors import Diverged


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ({"loss": np.nan, "p0_p1": 1.0, "p1_p2": np.inf, "p2_p3": np.nan}, "flow p1_p2 is inf"),
        ({"loss": np.nan, "p0_p1": np.nan, "p1_p2": np.nan, "p2_p3": 1.0}, "flow p0_p1 is nan"),
        ({"loss": np.inf, "p0_p1": 1.0, "p1_p2": 1.0, "p2_p3": 1.0}, "the loss is inf"),
        # One entry for each device.
        ({"loss": np.array([1.0, np.nan])}, "the loss is nan"),
    ],
)
def test_the_flow_that_is_not_finite_is_named(losses, named):
    stage = stages("fsp")[0]
    progress = Progress(step=6)
    guard = Guard(
        progress, 20, 5, lambda step: 0.5, "transfer_learning_rate", "test_accuracy", title="net"
    )
    model = {"stage": stage, "name": "student", "teacher_view": None, "compute_dtype": "float32"}
    guard.set_model(types.SimpleNamespace(**model))
    with pytest.raises(Diverged, match=f"^net: {named} at iteration 7 of stage transfer") as stop:
        guard.on_train_batch_end(6, losses)
    assert stop.value.facts["step"] == 7
    assert stop.value.facts["learning_rate"] == 0.5
    assert (stop.value.facts["flow"] or "the loss") in named


def test_finite_losses_pass():
    progress = Progress()
    guard = Guard(progress, 20, 5, lambda step: 0.5, "learning_rate", "test_accuracy")
    guard.set_model(types.SimpleNamespace(distribute_strategy=None))
    guard.on_train_batch_end(0, {"loss": np.float32(3e38)})
    assert progress.step == 1
