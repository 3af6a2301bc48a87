"""What a transfer step costs as the work grows: measured curves, and what they predict.

    python -m docs.results.costs

From one setting (26 layers teach 8, 32×32 images, batch 128, five dense flows, ten classes), one
quantity grows at a time. Writes docs/results/costs.md and costs.png. Images are random.
"""

import pathlib
import time
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import skt_tf
from skt_tf.methods.catalogue import Stage
from skt_tf.models.cost import step_flops
from skt_tf.reports import figures
from skt_tf.utils.environment import environment

HERE = pathlib.Path(__file__).parent
BASE = {"batch": 128, "teacher": 26, "student": 8, "width": 16}
BASE |= {"size": 32, "flows": 5, "classes": 10}
# `task` is the student's step on the labels: classes change nothing of a transfer.
CURVES = {
    "batch": ("transfer", (16, 32, 64, 128, 256)),
    "teacher": ("transfer", (8, 14, 26, 50)),
    "student": ("transfer", (8, 14, 26)),
    "width": ("transfer", (8, 16, 32)),
    "size": ("transfer", (16, 32, 64)),
    "flows": ("transfer", (1, 2, 3, 4, 5)),
    "classes": ("task", (10, 100, 1000)),
}
AXES = {
    "batch": "images a batch",
    "teacher": "layers of the teacher",
    "student": "layers of the student",
    "width": "channels of the first section",
    "size": "height and width of the images",
    "flows": "dense flows",
    "classes": "classes (task step)",
}
CHECK = {"batch": 8, "size": 224}
ROUNDS, STEPS = 6, 4
# Of one NVIDIA A100 (40 GB), its maker's numbers: TF32 products, bytes of memory and of NVLink
# a second.
GPU_FLOPS, GPU_MEMORY, GPU_LINK, GPUS = 156e12, 1555e9, 600e9, 8
# An assumption: seconds of one all-reduce of a few numbers.
LATENCY = 20e-6
IMAGENET = 1_281_167
# They move nothing.
FREE = {"Identity", "Reshape", "Const", "ReadVariableOp", "Placeholder", "NoOp", "Shape", "Cast"}


class Step:
    """One kind of step of one setting."""

    def __init__(self, kind, **changed):
        self.setting = {**BASE, **changed}
        size, classes = self.setting["size"], self.setting["classes"]
        random = np.random.default_rng(0)
        shape = (self.setting["batch"], size, size, 3)
        batch = (
            tf.constant(random.integers(0, 256, shape), tf.uint8),
            tf.constant(random.integers(0, classes, shape[0]), tf.int32),
        )
        teacher, self.student = (
            skt_tf.resnet(
                self.setting[name],
                classes,
                shape[1:],
                self.setting["width"],
                normalization=([125.0] * 3, [4000.0] * 3),
                seed=1,
            )
            for name in ("teacher", "student")
        )
        stage = Stage(kind, kind, {}, skt_tf.dense_flows()[: self.setting["flows"]])
        distiller = skt_tf.SequentialDistiller(
            skt_tf.fold_batch_norm(teacher), self.student, stage, weight_decay=1e-4
        )
        distiller.compile(keras.optimizers.SGD(1e-12, momentum=0.9))
        graph = tf.function(distiller.train_step).get_concrete_function(batch).graph
        self.flops, self.traffic = step_flops(graph), traffic(graph)
        distiller.make_train_function()
        data = iter(tf.data.Dataset.from_tensors(batch).repeat())
        self._run = lambda: distiller.train_function(data)
        self.seconds = []
        for _ in range(2):
            self._run()

    def measure(self):
        """Adds the times of some steps."""
        for _ in range(STEPS):
            started = time.perf_counter()
            keras.tree.map_structure(float, self._run())
            self.seconds.append(time.perf_counter() - started)

    @property
    def milliseconds(self):
        return 1000 * float(np.median(self.seconds))


def main():
    """Measures all settings, turn by turn, and writes what was found."""
    curves = {
        name: [Step(kind, **{name: value}) for value in values]
        for name, (kind, values) in CURVES.items()
    }
    check = Step("transfer", **CHECK)
    # Over several devices, batch normalisation is synchronised and not fused.
    with mock.patch("skt_tf.training.sequential_distiller.fuse_batch_norm", lambda model: model):
        shared = Step("transfer", **CHECK)
    steps = [step for curve in curves.values() for step in curve] + [check]
    for turn in range(ROUNDS):
        print(f"round {turn + 1} of {ROUNDS}", flush=True)
        for step in steps:
            step.measure()
    base = next(step for step in curves["batch"] if step.setting == BASE)
    machine = environment()
    lines = [
        "```\npython -m docs.results.costs\n```\n",
        f"{machine['processor']}, {machine['cores']} cores, TensorFlow {machine['tensorflow']}, "
        f"Keras {machine['keras']}, float32; medians of {ROUNDS * STEPS} steps.\n",
        "| what grows | value | ms a step | GFLOP a step | GFLOP/s |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, curve in curves.items():
        for step in curve:
            giga = step.flops / 1e9
            lines += [
                f"| {AXES[name]} | {step.setting[name]} | {step.milliseconds:.1f} | {giga:.2f} | "
                f"{1000 * giga / step.milliseconds:.0f} |"
            ]
    lines += predictions(base, check, shared)
    (HERE / "costs.md").write_text("\n".join(lines) + "\n")
    draw(curves)


def traffic(graph):
    """Bytes that the operations of `graph` read and write, each tensor once by each of them."""
    return sum(
        tensor.dtype.size * tensor.shape.num_elements()
        for op in graph.get_operations()
        if op.type not in FREE
        for tensor in (*op.inputs, *op.outputs)
        if tensor.dtype.is_floating and tensor.shape.is_fully_defined()
    )


def predictions(base, check, shared):
    """The lines that were computed, not measured, and the one that was measured to check them."""
    area = (CHECK["size"] / BASE["size"]) ** 2
    guess = base.milliseconds / BASE["batch"] * area * CHECK["batch"]
    found, images = check.milliseconds, CHECK["batch"]
    gradients = 4 * sum(int(np.prod(v.shape)) for v in check.student.trainable_variables)
    arithmetic, memory = shared.flops / GPU_FLOPS / images, shared.traffic / GPU_MEMORY / images
    reduction = 2 * (GPUS - 1) / GPUS * gradients / GPU_LINK
    normalizations = [
        layer
        for layer in check.student.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    # Three numbers of each in the forward pass and their gradients.
    waiting = 6 * len(normalizations) * LATENCY
    rate = GPUS / (max(arithmetic, memory) + (reduction + waiting) / BASE["batch"])
    return [
        "\n## Computed\n",
        f"- **Images of {CHECK['size']}×{CHECK['size']}**, the same networks: maps {area:.0f} "
        f"times as large, {check.flops / images / 1e9:.1f} GFLOP an image. {area:.0f} times the "
        f"base setting's cost an image is {guess:,.0f} ms for a batch of {images}, computed; "
        f"measured, as a check: {found:,.0f} ms.",
        f"- **An epoch of transfer on ImageNet** ({IMAGENET:,} such images) on this machine: "
        f"{IMAGENET * found / images / 3.6e6:,.0f} hours, computed.",
        f"- **Eight GPUs**, computed, for none was here: an A100 multiplies "
        f"{GPU_FLOPS / 1e12:.0f} TFLOP (TF32) and moves {GPU_MEMORY / 1e9:,.0f} GB a second. The "
        f"step of an image is {1e3 * arithmetic:.2f} ms of the first and {1e3 * memory:.2f} ms of "
        "the second, if each operation reads and writes its maps once: networks of so few "
        f"channels are bound by memory. The student's gradients, {gradients / 1e6:.2f} MB, go "
        f"around a ring at {GPU_LINK / 1e9:.0f} GB/s in {1e6 * reduction:.0f} µs a batch, which "
        f"is nothing; {6 * len(normalizations)} all-reduces of batch statistics, at an assumed "
        f"{1e6 * LATENCY:.0f} µs each, are {1e3 * waiting:.1f} ms a batch of {BASE['batch']}. "
        f"Together {rate:,.0f} images/s on eight and {IMAGENET / rate / 60:.1f} minutes an epoch, "
        "if a pipeline brings as many images; XLA, which joins operations, may be faster.",
    ]


def draw(curves):
    """Milliseconds against each quantity, and what FLOPs alone would predict."""
    figure = Figure(figsize=(12, 6))
    axes = figure.subplots(2, 4).ravel()
    for axis, (name, curve) in zip(axes, curves.items()):
        values = [step.setting[name] for step in curve]
        base = curve[values.index(BASE[name])]
        axis.plot(
            values,
            [s.milliseconds for s in curve],
            color=figures.COLOURS[7],
            marker="o",
            label="measured",
        )
        axis.plot(
            values,
            [base.milliseconds * s.flops / base.flops for s in curve],
            color=figures.COLOURS[2],
            linestyle="--",
            label="in proportion to FLOPs (computed)",
        )
        axis.set(xlabel=AXES[name], ylim=(0, None))
        axis.set_xticks(values, values)
        if name in ("batch", "classes"):
            axis.set_xscale("log")
            axis.minorticks_off()
            axis.set_xticks(values, values)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("ms a step")
    axes[4].set_ylabel("ms a step")
    axes[-1].axis("off")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center", frameon=False)
    figure.tight_layout()
    figure.savefig(HERE / "costs.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
