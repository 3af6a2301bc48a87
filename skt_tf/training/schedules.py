"""Learning rates over one stage: the papers' steps, and one cycle for short budgets."""

import math

import keras

from skt_tf.training.settings import BOUNDARIES, TASK_BOUNDARIES


@keras.saving.register_keras_serializable(package="skt_tf")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Linearly up to `peak` within the first fifth of `steps`, then linearly to zero.

    Args:
        peak: the highest learning rate.
        steps: iterations of the stage. The rate would be zero just after the last.
    """

    def __init__(self, peak, steps):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = max(1, round(self.steps / 5))
        upwards = (step + 1) / rise
        downwards = (self.steps - step) / max(1, self.steps + 1 - rise)
        return self.peak * keras.ops.minimum(upwards, downwards)

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps}


def learning_rate(schedule, objective, rate, steps, boundaries=None):
    """The learning-rate schedule of one stage, from its own step 0.

    Args:
        schedule: `"steps"` (the papers': `rate`, then a tenth and a hundredth of it
            from the boundaries of `objective` on, scaled to `steps`) or `"onecycle"`,
            which is for stages that train the task: transfer and hint stages keep the
            steps (docs/method.md, *Short budgets*).
        objective: a stage's objective; it decides the boundaries.
        rate: the first rate (`"steps"`) or the highest one (`"onecycle"`).
        steps: iterations of the stage.
        boundaries: shares of the stage, rising, at which the rate falls to a tenth; those of
            the papers for `objective` if None.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`.
    """
    if schedule == "onecycle" and objective in ("task", "soft_task"):
        return OneCycle(rate, steps)
    # Keras keeps a value up to and including its boundary, counted from 0; ours are
    # the first iteration of the next value.
    shares = boundaries or BOUNDARIES.get(objective, TASK_BOUNDARIES)
    boundaries = [math.ceil(share * steps) - 1 for share in shares]
    values = [rate / 10**k for k in range(len(boundaries) + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
