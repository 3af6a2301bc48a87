"""Measures what each thing that makes a step faster does to the student.

    python -m docs.results.levers speed runs/cifar10_short/teacher/model.keras
    python -m docs.results.levers views runs/cifar10_short/teacher/model.keras

CIFAR-10, `skt` of an 8-layer student. `speed` takes the levers away one by one, with the same
seeds; `views` compares numbers of kept views with new crops in every epoch. Each writes a table,
docs/results/levers_<what>.md, and the curves beside it.
"""

import contextlib
import dataclasses
import pathlib
import sys
import tempfile
from unittest import mock

import keras
import numpy as np
from matplotlib.figure import Figure

import skt_tf
from skt_tf.configuration import Config
from skt_tf.models.evaluation import probabilities
from skt_tf.reports import figures
from skt_tf.training.kept_targets import keep_targets
from skt_tf.training.stage_loop import run_stages
from skt_tf.utils.environment import environment

HERE = pathlib.Path(__file__).parent
COMMON = {"weight_decay": 0.0005, "schedule": "onecycle", "learning_rate": 0.3, "evaluations": 20}
SPEED = {"transfer_steps": 400, "task_steps": 400}
VIEWS = {"transfer_steps": 2000, "task_steps": 1000}
PLAN, FLOWS = skt_tf.stages("skt"), skt_tf.dense_flows()


def train(data, teacher, weights, config, seed, kept=None, jolt=0.0):
    """Runs `skt`; returns its records, the loss of all flows on test images, the accuracy."""
    student = skt_tf.resnet(
        8, 10, data.image_shape, normalization=(data.mean, data.variance), seed=seed
    )
    for variable in student.trainable_variables:
        variable.assign(variable * (1 + jolt))
    settings = {"seed": seed, "flow_weights": weights, "kept": kept}
    records = run_stages(PLAN[:2], student, teacher, data, config, **settings)
    stage = skt_tf.methods.losses.objective(PLAN[1], flow_weights=weights)
    views = stage.views(teacher, student)
    losses = []
    for start in range(0, 5000, 500):
        images = data.test_images[start : start + 500]
        matrices = [view(images, training=False) for view in views]
        losses.append(sum(map(float, stage.losses(None, *matrices, None).values())))
    blind = dataclasses.replace(config, evaluations=1)
    records += run_stages(PLAN[2:], student, None, data, blind, seed=seed)
    right = probabilities(student, data.test_images).argmax(1) == data.test_labels
    return records, float(np.mean(losses)), 100 * float(np.mean(right))


def compare(data, teacher, weights):
    """{name: a function of the seed} of the runs with and without each lever."""
    config = Config(**COMMON, **SPEED)
    folded = skt_tf.fold_batch_norm(teacher)
    half = skt_tf.fold_batch_norm(teacher, "bfloat16")
    unfused = mock.patch(
        "skt_tf.training.sequential_distiller.fuse_batch_norm", lambda model: model
    )
    for name, network, patch, jolt in (
        ("all levers", folded, contextlib.nullcontext(), 0.0),
        ("all, weights changed by 10⁻⁶", folded, contextlib.nullcontext(), 1e-6),
        ("teacher not folded", teacher, contextlib.nullcontext(), 0.0),
        ("student's normalisation not fused", folded, unfused, 0.0),
        ("teacher in bfloat16", half, contextlib.nullcontext(), 0.0),
    ):
        for seed in (1, 2):
            with patch:
                yield name, seed, train(data, network, weights, config, seed, jolt=jolt)


def views(data, teacher, weights):
    """The same for numbers of kept views, 0 for new crops in every epoch."""
    config = Config(**COMMON, **VIEWS)
    folded = skt_tf.fold_batch_norm(teacher)
    for number in (0, 1, 4):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "targets"
            kept = number and keep_targets(folded, FLOWS, data, number, 0, path)
            for seed in (1, 2):
                name = f"{number} view{'s' * (number > 1)} kept" if number else "new crops"
                yield name, seed, train(data, folded, weights, config, seed, kept or None)


def main(what, path):
    """Runs all, then writes the table and draws the losses."""
    data = skt_tf.load_dataset("cifar10")
    teacher = keras.models.load_model(path)
    teacher.trainable = False
    weights = skt_tf.normalized_flow_weights(teacher, FLOWS, data.train_images[:10_000])
    steps = SPEED if what == "speed" else VIEWS
    machine = environment()
    lines = [
        f"# {'Each lever taken away' if what == 'speed' else 'Kept views'}\n",
        f"```\npython -m docs.results.levers {what} runs/cifar10_short/teacher/model.keras\n```\n",
        f"CIFAR-10, `skt`, 26 layers teach 8, {steps['transfer_steps']:,} iterations of transfer "
        f"and {steps['task_steps']:,} of the task (one cycle to 0.3), seeds 1 and 2. "
        f"{machine['processor']}, {machine['cores']} cores, TensorFlow {machine['tensorflow']}.\n",
        "| run | seed | transfer, first interval | last | on test images | accuracy % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    figure = Figure(figsize=(9, 4))
    axes = figure.subplots(1, 2, sharey=True)
    names = []
    for name, seed, (records, loss, accuracy) in (compare if what == "speed" else views)(
        data, teacher, weights
    ):
        first, last = records[0].rows[0]["loss"], records[1].final_loss
        lines += [f"| {name} | {seed} | {first:.6f} | {last:.4f} | {loss:.4f} | {accuracy:.2f} |"]
        (HERE / f"levers_{what}.md").write_text("\n".join(lines) + "\n")
        names += [name] * (name not in names)
        before, points = 0, []
        for record in records[:2]:
            points += [(before + row["step"], row["loss"]) for row in record.rows]
            before += record.steps
        axes[seed - 1].plot(
            *zip(*points),
            color=figures.COLOURS[2 + names.index(name)],
            linestyle=("-", "--", ":", "-.", (0, (1, 3)))[names.index(name)],
            label=name,
        )
    for seed, axis in enumerate(axes, 1):
        axis.set(title=f"seed {seed}", xlabel="iterations of transfer", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("loss of all active flows")
    axes[1].legend(frameon=False)
    figure.savefig(HERE / f"levers_{what}.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
