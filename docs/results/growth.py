"""How a transfer step's time and memory grow with the work.

    python -m docs.results.growth

One quantity grows at a time from one setting (26 layers teach 8, 32×32 images, batch 128, five
dense flows), each value in a process of its own, which tells its peak of memory; then images grow
with MobileNetV2 teaching a narrower one. Everything is gone through twice,
and the faster time counts. Writes docs/results/growth.md and growth.png. Images are random.
"""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np

from docs.results.streaming import peak_memory

HERE = pathlib.Path(__file__).parent
BASE = {"batch": 128, "teacher": 26, "width": 16, "size": 32, "flows": 5}
CURVES = {
    "batch": (32, 128, 512, 1024),
    "teacher": (8, 14, 26, 56),
    "width": (16, 32, 64),
    "size": (32, 64, 128),
    "flows": (1, 2, 3, 4, 5),
}
# Of photographs, by networks made for them.
PHOTOS = {"batch": 16, "mobile": 1, "flows": 3}
SIZES = (32, 64, 128, 224)
AXES = {
    "batch": "images a batch",
    "teacher": "layers of the teacher",
    "width": "channels of the first section",
    "size": "height and width of the images",
    "flows": "flows",
    "photos": "height and width, MobileNetV2",
}
TURNS, WARM_UP, STEPS = 2, 2, 5


def networks(setting):
    """(teacher, student, flows, {point: layer} or None) of a setting."""
    import keras

    import skt_tf

    shape = (setting["size"], setting["size"], 3)
    if setting.get("mobile"):
        points = ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add")
        teacher, student = (
            keras.applications.MobileNetV2(
                shape, alpha=alpha, weights=None, classes=10, classifier_activation=None
            )
            for alpha in (1.0, 0.35)
        )
        layout = skt_tf.layout(points, points)
        return teacher, student, layout.flows(), layout.named(points)
    teacher, student = (
        skt_tf.resnet(depth, 10, shape, setting["width"], normalization=(125.0, 4000.0), seed=1)
        for depth in (setting["teacher"], 8)
    )
    return teacher, student, skt_tf.dense_flows()[: setting["flows"]], None


def measure(setting):
    """Prints the milliseconds and the FLOPs of a step, and this process' peak of memory."""
    import keras
    import tensorflow as tf

    import skt_tf
    from skt_tf.models.cost import step_flops

    teacher, student, flows, points = networks(setting)
    random = np.random.default_rng(0)
    shape = (setting["batch"], setting["size"], setting["size"], 3)
    images = random.integers(0, 256, shape, np.uint8)
    if points:
        images = images.astype(np.float32) / 127.5 - 1
    batch = tf.constant(images), tf.constant(random.integers(0, 10, shape[0]), tf.int32)
    distiller = skt_tf.SequentialDistiller(
        skt_tf.fold_batch_norm(teacher, "auto"),
        student,
        skt_tf.Stage("transfer", "transfer", {}, flows),
        weight_decay=1e-4,
        teacher_points=points,
        student_points=points,
        project=bool(points),
    )
    distiller.compile(keras.optimizers.SGD(1e-12, momentum=0.9))
    graph = tf.function(distiller.train_step).get_concrete_function(batch).graph
    distiller.make_train_function()
    data = iter(tf.data.Dataset.from_tensors(batch).repeat())
    seconds = []
    for _ in range(WARM_UP + STEPS):
        began = time.perf_counter()
        keras.tree.map_structure(float, distiller.train_function(data))
        seconds.append(time.perf_counter() - began)
    peak = peak_memory() / 2**20
    print(json.dumps([1000 * float(np.median(seconds[WARM_UP:])), step_flops(graph), peak]))


def settings():
    """{curve: [(value, setting)]}."""
    found = {n: [(v, {**BASE, n: v}) for v in values] for n, values in CURVES.items()}
    found["photos"] = [(size, {**PHOTOS, "size": size}) for size in SIZES]
    return found


def slope(values, measured):
    """The exponent by which `measured` grows: of the straight line through the logarithms."""
    return np.polyfit(np.log(values), np.log(measured), 1)[0]


def main():
    """Measures all settings and writes what was found."""
    from skt_tf.utils.environment import environment

    curves, found = settings(), {}
    for turn in range(TURNS):
        for said in dict.fromkeys(json.dumps(s) for points in curves.values() for _, s in points):
            print(f"turn {turn + 1} of {TURNS}: {said}", flush=True)
            done = subprocess.run(
                [sys.executable, "-m", "docs.results.growth", said],
                capture_output=True,
                text=True,
                check=True,
            )
            now = json.loads(done.stdout.splitlines()[-1])
            found[said] = min(found.get(said, now), now)
    rows = {
        name: [(value, *found[json.dumps(setting)]) for value, setting in points]
        for name, points in curves.items()
    }
    machine = environment()
    lines = [
        "```\npython -m docs.results.growth\n```\n",
        f"{machine['processor']}, {machine['cores']} cores, TensorFlow {machine['tensorflow']}, "
        f"Keras {machine['keras']}, float32, the teacher in `auto`; medians of {STEPS} steps, the "
        f"faster of {TURNS} turns. The "
        f"slope is the exponent by which a column grows with the "
        "value.\n",
        "| what grows | value | ms a step | GFLOP a step | peak memory, MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, curve in rows.items():
        lines += [
            f"| {AXES[name]} | {value} | {ms:.1f} | {flops / 1e9:.2f} | {peak:,.0f} |"
            for value, ms, flops, peak in curve
        ]
        values, *columns = zip(*curve)
        slopes = " | ".join(f"{slope(values, column):.2f}" for column in columns)
        lines.append(f"| | slope | {slopes} |")
    (HERE / "growth.md").write_text("\n".join(lines) + "\n")
    draw(rows)


def draw(rows):
    """Milliseconds and memory against each quantity, and what FLOPs alone would predict."""
    from matplotlib.figure import Figure

    from skt_tf.reports import figures

    figure = Figure(figsize=(12, 6))
    axes = figure.subplots(2, 3).ravel()
    for axis, (name, curve) in zip(axes, rows.items()):
        values, times, flops, peaks = zip(*curve)
        axis.plot(values, times, color=figures.COLOURS[7], marker="o", label="ms a step")
        scale = times[-1] / flops[-1]
        axis.plot(
            values,
            [scale * f for f in flops],
            color=figures.COLOURS[2],
            linestyle="--",
            label="in proportion to FLOPs (computed, from the largest)",
        )
        axis.plot(values, peaks, color=figures.COLOURS[4], marker="s", label="peak memory, MB")
        axis.set(xlabel=AXES[name], xscale="log", yscale="log")
        axis.minorticks_off()
        axis.set_xticks(values, values)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(HERE / "growth.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(json.loads(sys.argv[1]))
    else:
        main()
