"""Watches a stage while it is trained."""

import time

import keras
import numpy as np
import tensorflow as tf

from skt_tf.models.points import flow_name
from skt_tf.training.checkpoints import stage_variables, student_variables
from skt_tf.training.history import StageRecord
from skt_tf.utils.distribution import total_over_workers
from skt_tf.utils.errors import Diverged, option, warn
from skt_tf.utils.signals import asked_to_stop, stop

# More than there are workers.
_STOP = 2**20
# No scale of images; marks of pixels without data are.
_LARGE = 1e6


class Guard(keras.callbacks.Callback):
    """Logs a stage's intervals, saves its state, and stops it at a bad loss or a signal.

    Args:
        progress: the net's `Progress`, which is brought up to date.
        steps: iterations of the stage.
        interval: iterations between two rows of the log.
        rate: the stage's learning-rate schedule.
        rate_name: name of the setting of the first or highest rate.
        accuracy: what the log calls the accuracy that Keras measures after each interval.
        checkpoints: the net's `Checkpoints`, or None.
        title: what errors call the net.

    Attributes:
        matrices: what the stage's record says of the student's FSP matrices.
        batches: a function of an iteration that returns the stage's batches from there on, to
            find the cause of a bad loss; None where it cannot be looked for.
    """

    batches = None

    def __init__(
        self, progress, steps, interval, rate, rate_name, accuracy, checkpoints=None, title=""
    ):
        super().__init__()
        self.progress, self.steps, self.interval = progress, steps, interval
        self.rate, self.rate_name, self.accuracy = rate, rate_name, accuracy
        self.checkpoints, self.title, self.matrices = checkpoints, title, None
        self.first_loss = None  # Of the stage's first iteration, where it is seen.
        self._resumes = progress.step > 0
        self._began = time.monotonic() - progress.seconds

    def on_epoch_begin(self, epoch, logs=None):
        if self._resumes:
            self._resumes = False
            # Only here, since Keras has just reset the means of an interval that goes on.
            self.checkpoints.restore(stage_variables(self.model))
            if self.progress.step % self.interval == 0:
                self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.progress.step += 1
        if not np.isfinite(logs["loss"]).all():
            self._diverge({name: float(np.mean(value)) for name, value in logs.items()})
        if self.progress.step == 1:
            self.first_loss = float(np.mean(logs["loss"]))
        # At the end of an interval its row belongs to what is saved.
        if self.progress.step % self.interval and self.progress.step < self.steps:
            self._save_or_stop()

    def on_epoch_end(self, epoch, logs=None):
        step = self.progress.step
        row = {"stage": self.model.stage.name, "step": step, "learning_rate": self._rate()}
        values = {name: float(value) for name, value in logs.items() if name != "val_loss"}
        if "val_accuracy" in values:
            values[self.accuracy] = values.pop("val_accuracy")
        self.progress.rows.append({**row, **values})
        if step < self.steps:
            self._save_or_stop()

    def finish(self):
        """Closes the stage: its record is added to the progress and saved with the student."""
        if not self._is_finite():
            self._diverge({"loss": float("nan")})
        self._say_growth()
        self.progress.records.append(self._record())
        self.progress.step, self.progress.seconds, self.progress.rows = 0, 0.0, []
        if self.checkpoints:
            variables = student_variables(self.model.student, self.model.projections)
            self.checkpoints.save(self.progress, variables)

    def _say_growth(self):
        """Warns where transfer has left the student further from the teacher than it was."""
        last = self.progress.rows[-1]["loss"] if self.progress.rows else 0.0
        if self.model.stage.flows and self.first_loss and last > 2 * self.first_loss:
            warn(
                f"{self.title or self.model.name}: the loss of stage {self.model.stage.name} has "
                f"grown from {self.first_loss:.3g} to {last:.3g}, and the student with it: give a "
                f"smaller {option(self.rate_name)}"
            )

    def _save_or_stop(self):
        # Asked once: a signal that comes later is answered after the next iteration, and saved.
        asked = asked_to_stop()
        due = asked or bool(self.checkpoints and self.checkpoints.due(self.progress))
        # Workers save and stop together: each has a part of the metrics' values, and those that
        # went on would wait for one that is gone. One signal outweighs all that are merely due.
        votes = total_over_workers(self.model.distribute_strategy, due + _STOP * asked)
        # After the update of a bad step nothing is worth saving: the next loss will tell.
        if votes and self.checkpoints and self._is_finite():
            self.progress.seconds = time.monotonic() - self._began
            self.checkpoints.save(self.progress, stage_variables(self.model))
        if votes >= _STOP:
            stop()

    def _is_finite(self):
        return all(np.isfinite(v.numpy()).all() for v in self.model.student.variables)

    def _rate(self):
        return float(self.rate(self.progress.step - 1))

    def _record(self):
        name, seconds = self.model.stage.name, time.monotonic() - self._began
        rows = tuple(self.progress.rows)
        return StageRecord(name, self.progress.step, seconds, rows, self.matrices)

    def _diverge(self, losses):
        stage, step, rate = self.model.stage, self.progress.step, self._rate()
        bad = [flow_name(f) for f in stage.flows if not np.isfinite(losses.get(flow_name(f), 0.0))]
        flow = bad[0] if bad else None
        parts = [name for name in losses if name not in ("loss", "accuracy")]
        broken = [name for name in parts if not np.isfinite(losses[name])]
        lies_in = stage.objective == "losses" and 0 < len(broken) < len(parts)
        advice = self._advice()
        if lies_in:  # Not in the student, of which the others are made too.
            advice = f"the other losses are finite: give {' and '.join(broken)} a smaller weight"
        name = f"flow {flow}" if flow else broken[0] if lies_in else "the loss"
        raise Diverged(
            f"{self.title or self.model.name}: {name} is {losses[flow or 'loss']} at iteration "
            f"{step} of stage {stage.name}, learning rate {rate:g}: {advice}",
            stage.name,
            step,
            flow,
            rate,
            [*self.progress.records, self._record()],
        )

    def _advice(self):
        """What is at fault, as far as it can be told, and what to do about it."""
        teacher, images = self.model.teacher_view, None
        if self.batches:
            images = next(iter(self.batches(self.progress.step - 1)))[0]
            largest = float(tf.reduce_max(tf.abs(tf.cast(images, tf.float32))))
            if largest > _LARGE:
                return (
                    f"an image of this iteration has a pixel of {largest:.3g}: give images of a "
                    "scale such as 0…255, and a number for what is no data"
                )
        if teacher is not None and images is not None:
            found = keras.tree.flatten(teacher(images, training=False))
            if not all(np.isfinite(tf.cast(part, tf.float32)).all() for part in found):
                if any(layer.compute_dtype == "float16" for layer in teacher.layers):
                    return (
                        "the teacher's outputs for these images are too large for float16: give "
                        f"{option('teacher_precision')}=float32 or bfloat16"
                    )
                return "the teacher's outputs for these images are not finite: give another teacher"
        more = f", or a {option('precision', 'dtype policy')} of more digits"
        if "float16" not in self.model.compute_dtype:  # Nor bfloat16.
            more = ""
        if self.progress.step == 1 and not self.progress.records:
            scale = f", or smaller {option('flow_weights')}" if self.model.stage.flows else ""
            return (
                "no step was taken yet, so the student's own numbers are too large, or none: give "
                f"images or weights of a smaller scale{scale}{more}"
            )
        return f"give a smaller {option(self.rate_name)}{more}"
