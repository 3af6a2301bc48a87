"""Measures the choices that docs/method.md makes where the papers leave them open.

    python -m docs.results.choices runs/cifar10_short/teacher/model.keras > docs/results/choices.md

One seed, 300 iterations of transfer or hint and 500 of the task each; the control spends all 800
on the task. Differences of one or two points are noise.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import skt_tf
from skt_tf.methods.catalogue import TASK
from skt_tf.models.evaluation import probabilities
from skt_tf.training.schedules import OneCycle, learning_rate
from skt_tf.utils.environment import environment

TRANSFER_STEPS, TASK_STEPS, BATCH, SEED = 300, 500, 128, 1


def train(teacher, student, data, stage, schedule, steps, **settings):
    """Runs one stage; returns the loss, averaged over its first and over its last fifth."""
    distiller = skt_tf.SequentialDistiller(
        teacher, student, stage, weight_decay=0.0005, steps=steps, **settings
    )
    distiller.compile(optimizer=keras.optimizers.SGD(schedule, momentum=0.9))
    batches = skt_tf.training_batches(data, BATCH, SEED, steps)
    history = distiller.fit(
        batches, epochs=5, steps_per_epoch=steps // 5, shuffle=False, verbose=0
    ).history["loss"]
    return history[0], history[-1]


def main(path):
    """Prints a table: each choice, its losses, and the accuracy after the same task stage."""
    data = skt_tf.load_dataset("cifar10")
    teacher = keras.models.load_model(path)
    flows = skt_tf.dense_flows()
    normalized = skt_tf.normalized_flow_weights(teacher, flows, data.train_images[:10_000])
    hint, fsp = skt_tf.stages("hint")[0], skt_tf.stages("fsp")[0]
    machine = environment()
    print("# Choices, measured\n")
    print("```\npython -m docs.results.choices runs/cifar10_short/teacher/model.keras\n```\n")
    print(
        f"One seed, {TRANSFER_STEPS} iterations of transfer or hint and {TASK_STEPS} of the task "
        f"each; the control spends all {TRANSFER_STEPS + TASK_STEPS} on the task. Differences of "
        "one or two points are noise.\n"
    )
    print(
        f"CIFAR-10, an 8-layer student; every task stage is one cycle to 0.3 on the labels alone. "
        f"{machine['processor']}, {machine['cores']} cores, TensorFlow {machine['tensorflow']}.\n"
    )
    print(
        "| before the task | loss, first fifth | loss, last fifth | norm of the stem | accuracy % |"
    )
    print("|---|---:|---:|---:|---:|")
    for name, stage, schedule, settings in (
        ("nothing", None, None, {}),
        ("nothing, the control", None, None, {"task_steps": TRANSFER_STEPS + TASK_STEPS}),
        ("hint, sum over entries, 0.0001", hint, "steps", {"rate": 1e-4}),
        (
            "hint, mean over entries, 0.0001",
            hint,
            "steps",
            {"rate": 1e-4, "hint_reduction": "mean"},
        ),
        ("fsp, normalized, 0.1, steps", fsp, "steps", {"rate": 0.1, "flow_weights": normalized}),
        (
            "fsp, normalized, 0.1, one cycle",
            fsp,
            "cycle",
            {"rate": 0.1, "flow_weights": normalized},
        ),
        (
            "fsp, normalized, 0.1, steps, moving statistics",
            fsp,
            "steps",
            {"rate": 0.1, "flow_weights": normalized, "transfer_batch_norm": "inference"},
        ),
        ("fsp, equal, 0.001, steps", fsp, "steps", {"rate": 0.001}),
    ):
        task_steps = settings.pop("task_steps", TASK_STEPS)
        normalization = (data.mean, data.variance)
        student = skt_tf.resnet(8, 10, data.image_shape, normalization=normalization, seed=SEED)
        losses = ("-", "-")
        if stage is not None:
            rate = settings.pop("rate")
            if schedule == "cycle":
                rates = OneCycle(rate, TRANSFER_STEPS)
            else:
                rates = learning_rate("steps", stage.objective, rate, TRANSFER_STEPS)
            measured = train(teacher, student, data, stage, rates, TRANSFER_STEPS, **settings)
            losses = tuple(f"{loss:.4g}" for loss in measured)
        stem = next(layer for layer in student.layers if isinstance(layer, keras.layers.Conv2D))
        norm = float(tf.norm(stem.kernel))
        train(None, student, data, TASK, OneCycle(0.3, task_steps), task_steps)
        right = probabilities(student, data.test_images).argmax(1) == data.test_labels
        print(
            f"| {name} | {losses[0]} | {losses[1]} | {norm:.1f} | {100 * np.mean(right):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1])
