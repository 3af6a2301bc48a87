"""`--job=benchmark`: what each part of a stage costs, all measured in one run.

Machines are shared and noisy: the parts take turns, round by round, so that ratios of their
medians hold where their seconds would not.
"""

import contextlib
import json
import pathlib
import resource
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from skt_tf.batches import training_batches
from skt_tf.checkpoints import Checkpoints
from skt_tf.datasets import load_dataset
from skt_tf.distiller import SequentialDistiller
from skt_tf.environment import environment
from skt_tf.errors import UserError
from skt_tf.files import DRAFT, remove_drafts, write_json
from skt_tf.flops import step_flops
from skt_tf.flows import flow_model, normalized_flow_weights
from skt_tf.folding import fold_batch_norm
from skt_tf.guard import stage_variables
from skt_tf.locks import FolderLock
from skt_tf.memory import check_memory
from skt_tf.methods import TASK
from skt_tf.models import resnet
from skt_tf.points import SECTIONS
from skt_tf.progress import Progress
from skt_tf.targets import keep_targets

ROUNDS = 5
STEPS = 10
WARM_UP = 4
# Kept targets of this many images tell the speed of all.
KEPT_IMAGES = 5_120


def run(config):
    """Measures all parts for the networks, batch and precision of `config`.

    Args:
        config: a `skt_tf.config.Config`.

    Returns:
        What is written to benchmark.json in the output folder.
    """
    folder = pathlib.Path(config.output_dir)
    other = _read(config.compare) if config.compare else None
    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    dataset = load_dataset(*config.images)
    check_memory(config, dataset.image_shape)
    with contextlib.ExitStack() as stack:
        stack.enter_context(FolderLock(folder))
        remove_drafts(folder)  # Of a benchmark that was killed.
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=DRAFT, dir=folder))
        parts = _Parts(config, dataset, pathlib.Path(scratch))
        peak = _matmul_peak()
        seconds = {name: [] for name in parts.calls}
        for name, call in parts.calls.items():
            print(f"warming up: {name}", flush=True)
            call(WARM_UP)
        for turn in range(ROUNDS):
            print(f"round {turn + 1} of {ROUNDS}", flush=True)
            for name, call in parts.calls.items():
                seconds[name] += call(STEPS)
    results = {
        "environment": environment(),
        "config": config.as_dict(),
        "peak_flops_per_second": peak,
        "stages": {
            name: _row(
                float(np.median(times)),
                None if name == "checkpoint" else config.batch_size,
                parts.flops.get(name),
                peak,
            )
            for name, times in seconds.items()
        },
        "peak_memory_bytes": _peak_memory(),
    }
    write_json(folder / "benchmark.json", results)
    _print(results, other)
    print(f"benchmark: {folder / 'benchmark.json'}")
    return results


def _row(seconds, batch_size, flops, peak):
    return {
        "images_per_second": batch_size and batch_size / seconds,
        "milliseconds": 1000 * seconds,
        "flops_per_image": flops and flops / batch_size,
        "share_of_peak": flops and flops / seconds / peak,
    }


class _Parts:
    """{name: a function of a number of steps that returns the seconds of each}."""

    def __init__(self, config, dataset, scratch):
        self.config, self.dataset = config, dataset
        self.flops, self.calls = {}, {}
        self.scratch = scratch
        normalization = (dataset.mean.tolist(), dataset.variance.tolist())

        def network(depth, seed):
            return resnet(
                depth,
                dataset.num_classes,
                dataset.image_shape,
                config.width,
                normalization=normalization,
                seed=seed,
            )

        teacher = network(config.teacher_depth, 0)
        self.student = lambda: network(config.student_depth, 1)
        self.flows = config.flows
        self.weights = normalized_flow_weights(teacher, self.flows, dataset.train_images[:512])
        frozen = fold_batch_norm(teacher, config.teacher_precision)
        disjoint, dense, _ = config.unsplit_stages("skt")
        hint = config.stages("hint")[0]
        batch = next(iter(self._batches()))

        self._forward(flow_model(frozen, self.flows), batch[0])
        self._steps("task", self._distiller(TASK, None), batch)
        self._steps("transfer_disjoint", self._distiller(disjoint, frozen), batch)
        trained = self._distiller(dense, frozen)
        self._steps("transfer_dense", trained, batch)
        self._steps("hint", self._distiller(hint, frozen), batch)
        self._steps("keras_distiller", self._peer(teacher), batch)
        self._pipeline()
        self._checkpoint(trained, scratch / "checkpoints")
        self._fit("fit_task", self._distiller(TASK, None), self._batches)
        self._bare_fit("keras_fit_task")
        self._fit("fit_transfer_dense", self._distiller(dense, frozen), self._batches)
        kept = keep_targets(
            frozen,
            self.flows,
            dataset.first(KEPT_IMAGES),
            config.target_views or 1,
            config.seed,
            scratch / "targets.float16",
        )
        self._fit(
            "fit_transfer_dense_kept",
            self._distiller(dense, frozen),
            lambda: self._batches(kept.dataset, kept=kept, flows=dense.flows),
        )

    def _batches(self, dataset=None, **options):
        return training_batches(
            dataset or self.dataset, self.config.batch_size, 0, 10**9, **options
        )

    def _distiller(self, stage, teacher):
        distiller = SequentialDistiller(
            teacher,
            self.student(),
            stage,
            flow_weights=self.weights,
            hint_reduction="mean",
            weight_decay=self.config.weight_decay,
        )
        # A rate that moves nothing: what is measured must not depend on what was learned.
        distiller.compile(
            keras.optimizers.SGD(1e-6, momentum=0.9), jit_compile=self.config.jit_compile
        )
        return distiller

    def _peer(self, teacher):
        """Keras' own distiller with three feature losses, on the same networks."""
        peer = keras.distillation.Distiller(
            teacher,
            self.student(),
            [
                keras.distillation.FeatureDistillation(
                    teacher_layer_name=f"p{k}", student_layer_name=f"p{k}"
                )
                for k in range(1, SECTIONS + 1)
            ],
        )
        peer.compile(
            keras.optimizers.SGD(1e-6, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=self.config.jit_compile,
        )
        return peer

    def _forward(self, view, images):
        function = tf.function(
            lambda: view(images, training=False), jit_compile=self.config.jit_compile
        )
        self.flops["teacher_forward"] = step_flops(function.get_concrete_function().graph)
        self.calls["teacher_forward"] = lambda steps: _timed(function, steps)

    def _steps(self, name, model, batch):
        model.make_train_function()
        iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
        self.calls[name] = lambda steps: _timed(lambda: model.train_function(iterator), steps)
        step = tf.function(model.train_step)
        self.flops[name] = step_flops(step.get_concrete_function(batch).graph)

    def _pipeline(self):
        iterator = iter(self._batches())

        def call(steps):
            # So many that the batches that lie ready from before do not count.
            return [sum(_timed(lambda: next(iterator), 20 * steps)) / (20 * steps)]

        self.calls["pipeline"] = call

    def _checkpoint(self, distiller, folder):
        checkpoints, progress = Checkpoints(folder), Progress()

        def save():
            progress.step += 1
            checkpoints.save(progress, stage_variables(distiller))

        def call(times):
            seconds = _timed(save, times)
            checkpoints.clear()
            return seconds

        self.calls["checkpoint"] = call

    def _fit(self, name, model, batches):
        def call(steps):
            clock = _Clock()
            model.fit(
                batches(),
                steps_per_epoch=steps + WARM_UP,
                shuffle=False,
                verbose=0,
                callbacks=[clock],
            )
            return clock.seconds[WARM_UP - 1 :]

        self.calls[name] = call
        self.flops[name] = self.flops[name.removeprefix("fit_").removesuffix("_kept")]
        if name.endswith("_kept"):
            self.flops[name] -= self.flops["teacher_forward"]

    def _bare_fit(self, name):
        """The student by Keras alone, on tensors that lie in memory."""
        model = self.student()
        model.compile(
            keras.optimizers.SGD(1e-6, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=self.config.jit_compile,
        )
        number = self.config.batch_size * (STEPS + WARM_UP)
        # A small dataset more than once.
        chosen = np.arange(number) % len(self.dataset.train_labels)
        data = self.dataset.train_images[chosen], self.dataset.train_labels[chosen]

        def call(steps):
            clock = _Clock()
            model.fit(
                *data, batch_size=self.config.batch_size, verbose=0, callbacks=[clock], shuffle=True
            )
            return clock.seconds[WARM_UP - 1 :]

        self.calls[name] = call
        self.flops[name] = self.flops["task"]


class _Clock(keras.callbacks.Callback):
    """Seconds from the end of a batch to the end of the next."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_begin(self, logs=None):
        self.last = None

    def on_train_batch_end(self, batch, logs=None):
        keras.tree.map_structure(np.asarray, logs)  # As in `_timed`.
        now = time.perf_counter()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now


def _timed(function, times):
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        # Until the numbers are here: a GPU's kernels only begin when the call returns.
        keras.tree.map_structure(np.asarray, function())
        seconds.append(time.perf_counter() - started)
    return seconds


def _matmul_peak(size=2048, times=12):
    """FLOP/s of the fastest of several matrix products in the policy's dtype."""
    matrix = tf.random.normal([size, size])
    matrix = tf.cast(matrix, keras.config.dtype_policy().compute_dtype)
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    _timed(product, 2)
    return 2 * size**3 / min(_timed(product, times))


def _peak_memory():
    """Bytes of the largest resident set so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _read(path):
    try:
        other = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        milliseconds = {name: float(row["milliseconds"]) for name, row in other["stages"].items()}
        return milliseconds, {**other["config"], **other["environment"]}
    except OSError as error:
        raise UserError(
            f"--compare={path} cannot be read ({error.strerror}): expected a benchmark.json"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"--compare={path} is not a benchmark.json of this project") from None


def _print(results, other):
    from rich import console, table

    header = ["part", "images/s", "ms", "GFLOP/step", "% of peak"]
    header += ["times other's ms"] if other else []
    milliseconds, settings = other or ({}, {})
    shown = table.Table(box=None, title="one step of each part, median")
    for k, name in enumerate(header):
        shown.add_column(name, justify="right" if k else "left")
    for name, row in results["stages"].items():
        flops = row["flops_per_image"]
        speed = row["images_per_second"]
        cells = [name, f"{speed:,.0f}" if speed else "-", f"{row['milliseconds']:.1f}"]
        cells += [f"{flops * results['config']['batch_size'] / 1e9:.1f}" if flops else "-"]
        cells += [f"{row['share_of_peak']:.0%}" if flops else "-"]
        if other:
            known = milliseconds.get(name)
            cells += [f"{row['milliseconds'] / known:.2f}" if known else "-"]
        shown.add_row(*cells)
    print()
    console.Console(width=None if sys.stdout.isatty() else 200).print(shown)
    print(
        f"matrix products: {results['peak_flops_per_second'] / 1e9:,.0f} GFLOP/s in "
        f"{keras.config.dtype_policy().compute_dtype}"
    )
    share = results["stages"]["checkpoint"]["milliseconds"] / 60_000
    print(f"a checkpoint a minute, the default: {share:.3%} of a stage")
    print(f"peak memory: {results['peak_memory_bytes'] / 1e6:,.0f} MB")
    for name, value in {**results["config"], **results["environment"]}.items():
        if other and settings.get(name) != value:
            print(f"the other's {name}: {settings.get(name)}, here {value}")
