"""Runs a method's stages in their order, each from the last one's weights."""

import dataclasses
import math
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from skt_tf.batches import training_batches
from skt_tf.distiller import SequentialDistiller
from skt_tf.errors import UserError
from skt_tf.methods import stage_steps
from skt_tf.schedules import learning_rate

EVALUATION_BATCH = 500


@dataclasses.dataclass(frozen=True)
class StageRecord:
    """What one stage did.

    Attributes:
        name: the stage's name.
        steps: its iterations.
        seconds: time it took, evaluations for the curves included.
        rows: one dict for each logged interval: `stage`, `step` (iterations done in
            this stage), `learning_rate` (at that step), `loss` and what else the
            progress bar showed, means over the interval; `test_accuracy` where the
            stage trains the whole network.
    """

    name: str
    steps: int
    seconds: float
    rows: tuple[dict, ...]

    @property
    def final_loss(self):
        """The loss, averaged over the last interval."""
        return self.rows[-1]["loss"]


def run_stages(
    plan, student, teacher, dataset, config, *, seed, flow_weights=None, kept=None, title=""
):
    """Trains `student` in place through the stages of `plan`.

    Args:
        plan: tuple of `Stage`s.
        student: the network to train.
        teacher: the frozen teacher, or None where no stage needs one.
        dataset: a `skt_tf.datasets.Dataset`.
        config: the run's `Config`.
        seed: of data order and augmentation.
        flow_weights: {flow: λ} for transfer stages.
        kept: `KeptTargets` for transfer stages, or None to compute them anew.
        title: what the lines on the terminal call this net.

    Returns:
        One `StageRecord` for each stage.

    Raises:
        ValueError: the loss of a stage is no longer a finite number.
    """
    records = []
    steps = stage_steps(plan, config.iterations)
    for number, (stage, length) in enumerate(zip(plan, steps)):
        print(f"\n{title}, stage {number + 1} of {len(plan)}: {stage.name}, {length} iterations")
        started = time.monotonic()
        distiller = SequentialDistiller(
            teacher,
            student,
            stage,
            flow_weights=flow_weights,
            temperature=config.temperature,
            hint_reduction=config.hint_reduction,
            weight_decay=config.weight_decay,
            transfer_batch_norm=config.transfer_batch_norm,
            steps=length,
        )
        rate = learning_rate(config.schedule, stage.objective, config.rate(stage.objective), length)
        distiller.compile(keras.optimizers.SGD(rate, momentum=0.9), jit_compile=config.jit_compile)
        # The task's batches are the same in every method, whatever stages came before:
        # nets of one seed are pairs.
        stream = 0 if distiller.objective.has_logits else 1 + number
        views = {"kept": kept, "flows": stage.flows} if kept and stage.flows else {}
        rows = _fit(distiller, dataset, config, length, seed, stream, views)
        rows = [
            {"stage": stage.name, "learning_rate": float(rate(r["step"] - 1)), **r} for r in rows
        ]
        records.append(StageRecord(stage.name, length, time.monotonic() - started, tuple(rows)))
    return records


def _fit(distiller, dataset, config, steps, seed, stream, views):
    """Fits for exactly `steps` iterations, in `config.evaluations` intervals or fewer."""
    interval = -(-steps // config.evaluations)
    full, rest = divmod(steps, interval)
    intervals = full + bool(rest)
    rows = []

    def check(epoch, logs):
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"the loss of {distiller.name} is {logs['loss']} after at most "
                f"{min((epoch + 1) * interval, steps)} iterations: give a smaller "
                f"--{config.rate_flag(distiller.stage.objective)}, or a --precision of more digits"
            )

    # Keras wants epochs of one length: a shorter last interval is a second fit, which
    # goes on with the same optimizer where the data of the first one ended.
    for first, last, length in ((0, full, interval), (full, intervals, rest)):
        if first == last:
            continue
        history = distiller.fit(
            training_batches(
                dataset,
                config.batch_size,
                seed,
                steps,
                stream=stream,
                start=first * interval,
                **views,
            ),
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=length,
            shuffle=False,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=check)],
            verbose=1 if sys.stdout.isatty() else 2,
            # Plotted only. Without the head's training, accuracy would say nothing.
            validation_data=(
                (dataset.test_images, dataset.test_labels)
                if distiller.objective.has_logits
                else None
            ),
            validation_batch_size=EVALUATION_BATCH,
        ).history
        for k, epoch in enumerate(range(first, last)):
            logs = {name: float(values[k]) for name, values in history.items()}
            logs.pop("val_loss", None)
            if "val_accuracy" in logs:
                logs["test_accuracy"] = logs.pop("val_accuracy")
            rows.append({"step": min((epoch + 1) * interval, steps), **logs})
    return rows


def probabilities(network, images):
    """Softmax outputs of `network` for images: [number, classes], float32, NumPy."""

    # A graph, since outside of one Keras holds the maps of all layers until the last is done.
    # And not that of `predict`, whose copies of the images would take as much again.
    @tf.function(autograph=False, reduce_retracing=True)
    def outputs(batch):
        return tf.nn.softmax(tf.cast(network(batch, training=False), tf.float32))

    batches = np.split(images, range(EVALUATION_BATCH, len(images), EVALUATION_BATCH))
    return np.concatenate([outputs(batch) for batch in batches])
