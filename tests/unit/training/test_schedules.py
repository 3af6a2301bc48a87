"""Learning rates over one stage."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_tf.training.schedules import learning_rate

OBJECTIVES = ("task", "soft_task", "transfer", "hint")
# The papers' iterations at which the rate falls, and of how many.
PAPER = {
    "task": ([32_000, 48_000], 64_000),
    "soft_task": ([32_000, 48_000], 64_000),
    "transfer": ([11_000, 16_000], 21_000),
    "hint": ([25_000], 35_000),
}


def rates(schedule, objective, rate, steps, at):
    function = learning_rate(schedule, objective, rate, steps)
    return [float(function(step)) for step in at]


def close(values):
    return pytest.approx(values, rel=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
@settings(max_examples=40)
@given(steps=st.integers(1, 200_000) | st.integers(1, 12))
def test_boundaries_are_the_papers_share_of_any_budget(objective, steps):
    boundaries, whole = PAPER[objective]
    near = {0, steps - 1}
    for boundary in boundaries:
        middle = boundary * steps // whole
        near |= {middle - 1, middle, middle + 1}
    at = sorted(step for step in near if 0 <= step < steps)
    expected = [0.1 ** sum(step * whole >= b * steps for b in boundaries) for step in at]
    assert rates("steps", objective, 1.0, steps, at) == close(expected)


@pytest.mark.parametrize("objective", ["task", "soft_task"])
def test_one_cycle_rises_to_its_peak_in_a_fifth_and_falls_to_nearly_zero(objective):
    values = rates("onecycle", objective, 0.3, 500, range(500))
    assert int(np.argmax(values)) == 99
    assert values[99] == close(0.3)
    assert min(values) > 0
    assert values[-1] < 0.3 / 400
    assert values == close(np.interp(np.arange(500), [-1, 99, 500], [0, 0.3, 0]).tolist())


@settings(max_examples=25)
@given(steps=st.integers(1, 60))
def test_one_cycle_reaches_its_peak_and_never_zero_in_any_budget(steps):
    values = rates("onecycle", "task", 0.3, steps, range(steps))
    assert max(values) == close(0.3)
    assert min(values) > 0
    peak = int(np.argmax(values))
    assert peak <= math.ceil(steps / 5)
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)


@pytest.mark.parametrize("objective", ["transfer", "hint"])
def test_one_cycle_leaves_stages_before_the_task_their_steps(objective):
    at = range(0, 210, 7)
    assert rates("onecycle", objective, 0.1, 210, at) == rates("steps", objective, 0.1, 210, at)


@pytest.mark.parametrize("schedule", ["steps", "onecycle"])
def test_a_schedule_survives_an_optimizer_written_and_read_again(schedule):
    optimizer = keras.optimizers.SGD(learning_rate(schedule, "task", 0.3, 40), momentum=0.9)
    written = keras.saving.serialize_keras_object(optimizer)
    read = keras.saving.deserialize_keras_object(written, safe_mode=True)
    optimizer.build([keras.Variable(0.0)])
    read.build([keras.Variable(0.0)])
    seen = []
    for step in (0, 7, 8, 20, 39):
        for one in (optimizer, read):
            one.iterations.assign(step)
        seen.append((float(optimizer.learning_rate), float(read.learning_rate)))
    assert [a for a, _ in seen] == [b for _, b in seen]
    assert [a for a, _ in seen] == close(rates(schedule, "task", 0.3, 40, (0, 7, 8, 20, 39)))
