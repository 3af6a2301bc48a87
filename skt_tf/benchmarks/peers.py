"""What others take for the same work, measured beside this project's parts (`--peers`)."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np

from skt_tf.benchmarks.step_costs import STEPS, WARM_UP, timed_fit
from skt_tf.models.points import SECTIONS
from skt_tf.utils.errors import UserError
from skt_tf.utils.precision import policy


def add_peers(parts):
    """Adds Keras' own training and distiller and, where PyTorch is installed, a plain PyTorch one.

    Args:
        parts: the `Parts` that they take turns with.
    """
    precisions = dict.fromkeys(("float32", parts.config.precision))
    for precision in precisions:
        with policy(precision):
            parts.steps(f"keras_distiller_{precision}", _keras_distiller(parts), parts.batch)
    _keras_fit(parts)
    if not has_torch(parts.config):
        print("PyTorch is not installed: it is left out")
        return
    for precision in ("float32", "bfloat16"):
        name = f"torch_transfer_dense_{precision}"
        parts.calls[name] = _torch(parts, precision == "bfloat16")
        # The same networks and flows, in one precision alone.
        parts.flops[name] = {precision: sum(parts.flops["transfer_dense"].values())}


def _torch(parts, half):
    """A function of a number of steps that returns the seconds of each, in PyTorch."""
    config = parts.config
    work = {
        "depths": (config.teacher_depth, config.student_depth),
        "width": config.width,
        "shape": (config.batch_size, *parts.dataset.image_shape),
        "flows": [(*flow, parts.weights[flow]) for flow in parts.flows],
        "weight_decay": config.weight_decay,
        "half": half,
    }
    # It ends when this program does, whose end of the pipe is closed then.
    program = subprocess.Popen(
        [sys.executable, pathlib.Path(__file__).with_name("torch_peer.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(line):
        program.stdin.write(f"{line}\n")
        program.stdin.flush()

    ask(json.dumps(work))

    def seconds(steps):
        ask(steps)
        answer = program.stdout.readline()
        if not answer:
            raise UserError("PyTorch ended with an error, which stands above: leave out --peers")
        return json.loads(answer)

    return seconds


def has_torch(config):
    """Whether PyTorch is a peer that can be measured."""
    return config.peers and importlib.util.find_spec("torch") is not None


def _keras_distiller(parts):
    """Keras' own distiller with three feature losses, on the same networks."""
    features = [
        keras.distillation.FeatureDistillation(
            teacher_layer_name=f"p{k}", student_layer_name=f"p{k}"
        )
        for k in range(1, SECTIONS + 1)
    ]
    peer = keras.distillation.Distiller(parts.teacher(), parts.student(), features)
    return parts.compiled(peer, loss=_entropy())


def _keras_fit(parts):
    """The student by Keras alone, on tensors that lie in memory."""
    model = parts.compiled(parts.student(), loss=_entropy(), metrics=["accuracy"])
    batch_size, data = parts.config.batch_size, parts.dataset
    # A small dataset more than once.
    chosen = np.arange(batch_size * (STEPS + WARM_UP)) % len(data.train_labels)
    images, labels = data.train_images[chosen], data.train_labels[chosen]
    parts.calls["keras_fit_task"] = lambda steps: timed_fit(
        model, images, labels, batch_size=batch_size, shuffle=True
    )
    parts.flops["keras_fit_task"] = parts.flops["task"]


def _entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
