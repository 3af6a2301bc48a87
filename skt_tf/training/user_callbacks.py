"""Keras callbacks that a user gives: what they see of a training in stages."""

import keras

from skt_tf.methods.losses import objective
from skt_tf.utils.errors import UserError

SETS_THE_RATE = (
    "sets the learning rate, of which each stage has a schedule: leave it out, and give schedule, "
    "learning_rate or transfer_learning_rate"
)
_REFUSED = {
    keras.callbacks.ReduceLROnPlateau: SETS_THE_RATE,
    keras.callbacks.LearningRateScheduler: SETS_THE_RATE,
    keras.callbacks.BackupAndRestore: "goes on with a single fit, and each stage is one: leave it "
    "out, and give output_dir, from which the same call goes on",
    keras.callbacks.SwapEMAWeights: "needs an optimizer that averages weights, and stages have "
    "none: leave it out",
}
# They keep files over `fit`.
_KEEPING = keras.callbacks.CSVLogger, keras.callbacks.ModelCheckpoint, keras.callbacks.TensorBoard


def checked(callbacks):
    """The list of `callbacks`, which are one, several or None as in `fit`.

    Raises:
        ValueError: one that cannot do its work where a training is several stages.
    """
    found = []
    for callback in keras.tree.flatten(callbacks or ()):
        several = isinstance(callback, keras.callbacks.CallbackList)
        found += checked(callback.callbacks) if several else [callback]
    for callback in found:
        name = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise UserError(f"callbacks has a {name}: expected Keras callbacks")
        for kind, reason in _REFUSED.items():
            if isinstance(callback, kind):
                raise UserError(f"the callback {name} {reason}")
    return found


class OneTraining(keras.callbacks.CallbackList):
    """Callbacks that see the several fits of a stage as one training; `finish` ends it.

    Args:
        callbacks: a list of them.
        plan: the stages to come, whose files are kept together; none, if there is one stage.
    """

    _began = False

    def __init__(self, callbacks, plan=()):
        for callback in callbacks:
            # Keras could not tell: it looks at the metrics of `compile` alone.
            monitor = getattr(callback, "monitor", None)
            if getattr(callback, "mode", "") == "auto" and isinstance(monitor, str):
                more = monitor.removeprefix("val_") == "accuracy"
                callback.mode = "max" if more else "min"
        self._kept = {
            index: _OverStages(callback, plan)
            for index, callback in enumerate(callbacks)
            if plan and isinstance(callback, _KEEPING)
        }
        super().__init__([self._kept.get(index, c) for index, c in enumerate(callbacks)])

    def follow(self, progress):
        """The next training is of the stage that `progress` has come to."""
        for callback in self._kept.values():
            callback.follow(progress)

    def on_train_begin(self, logs=None):
        if not self._began:
            self._began = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        self._last_logs = logs

    def finish(self):
        """The training is over, for all callbacks."""
        self._began = False
        super().on_train_end(self._last_logs)


class _OverStages:
    """In the place of a callback that keeps files: its epochs count on over the stages."""

    def __init__(self, callback, plan):
        self._callback, self._best = callback, getattr(callback, "best", None)
        self._epochs = self._steps = 0
        self._goes_on = False
        tasks = [objective(stage) for stage in plan]
        names = {name for task in tasks for name in task.names}
        if any(task.has_logits for task in tasks):
            names |= {"accuracy", "val_accuracy", "val_loss"}
        self._columns = ["stage", "loss", *sorted(names)]

    def __getattr__(self, name):
        return getattr(self._callback, name)

    def follow(self, progress):
        self._epochs = sum(len(record.rows) for record in progress.records)
        self._steps = sum(record.steps for record in progress.records)
        self._goes_on = progress.iterations > 0
        if isinstance(self._callback, keras.callbacks.ModelCheckpoint) and self._steps:
            self._callback.best = self._best  # Losses of another stage are no measure.

    def on_train_begin(self, logs=None):
        if isinstance(self._callback, keras.callbacks.CSVLogger):
            append = self._callback.append
            self._callback.append = append or self._goes_on  # Read as the file is opened.
            self._callback.append_header = True  # Left False by a training before.
            self._callback.on_train_begin(logs)
            self._callback.append = append
        else:
            self._callback.on_train_begin(logs)
        if isinstance(self._callback, keras.callbacks.TensorBoard):
            self._callback._global_train_batch = self._steps

    def on_epoch_begin(self, epoch, logs=None):
        self._callback.on_epoch_begin(self._epochs + epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        if isinstance(self._callback, keras.callbacks.CSVLogger):
            logs = {"stage": self._callback.model.stage.name, **(logs or {})}
            if self._callback.writer is None:  # Before its first line, which names the columns.
                more = [name for name in logs if name not in self._columns]
                self._callback.keys = [*self._columns, *more]
        self._callback.on_epoch_end(self._epochs + epoch, logs)
