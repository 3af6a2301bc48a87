"""`--job=benchmark`: what each part of a stage costs, all measured in one run.

Machines are shared and noisy: the parts take turns, round by round, so that ratios within a round
hold where seconds would not.
"""

import contextlib
import importlib.metadata
import pathlib
import resource
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf

from skt_tf.benchmarks.peers import add_peers, has_torch
from skt_tf.benchmarks.step_costs import STEPS, WARM_UP, Parts, timed
from skt_tf.data.datasets import load_dataset
from skt_tf.models.cost import check_memory
from skt_tf.utils import failed_operations
from skt_tf.utils.document import NONE, Table, show
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import UserError
from skt_tf.utils.files import DRAFT, read_json, remove_drafts, write_json
from skt_tf.utils.locks import FolderLock
from skt_tf.utils.precision import set_policy

ROUNDS = 10
_RECORD, _SCRATCH = "benchmark.json", f"{DRAFT}benchmark-"
_FIT, _PASS_AND_TASK = ["fit_transfer_dense"], ["teacher_forward", "task"]
# (What a ratio says, the part whose time it has, over those of these parts, added up.)
RATIOS = (
    ("transfer to teacher's pass and task", "transfer_dense", _PASS_AND_TASK),
    (
        "the same, with the student's FSP matrices",
        "transfer_dense",
        [*_PASS_AND_TASK, "student_flows"],
    ),
    ("Keras' distiller, float32, to transfer by fit", "keras_distiller_float32", _FIT),
    ("the same, to kept targets", "keras_distiller_float32", ["fit_transfer_dense_kept"]),
    ("PyTorch, float32, to transfer by fit", "torch_transfer_dense_float32", _FIT),
    ("PyTorch, bfloat16, to transfer by fit", "torch_transfer_dense_bfloat16", _FIT),
    ("Keras' fit on arrays to task by fit", "keras_fit_task", ["fit_task"]),
    ("pipeline to transfer by fit", "pipeline", _FIT),
)


def run(config):
    """Measures all parts for the networks, batch and precision of `config`.

    Args:
        config: a `skt_tf.configuration.Config`.

    Returns:
        What is written to benchmark.json in the output folder.
    """
    folder = pathlib.Path(config.output_dir)
    other = _read(config.compare) if config.compare else None
    set_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    dataset = load_dataset(*config.images)
    check_memory(config, dataset.image_shape)
    with contextlib.ExitStack() as stack:
        stack.enter_context(failed_operations.said(config.batch_size, folder=folder))
        stack.enter_context(FolderLock(folder))
        # Of a benchmark that was killed; others may be at work in this folder, or below it.
        for left in (f"{_SCRATCH}*", f"{DRAFT}*-{_RECORD}"):
            remove_drafts(folder, left)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder))
        parts = Parts(config, dataset, pathlib.Path(scratch))
        if config.peers:
            add_peers(parts)
        dtypes = sorted({dtype for flops in parts.flops.values() for dtype in flops})
        peaks, seconds = dict.fromkeys(dtypes, 0.0), {name: [] for name in parts.calls}
        for name, call in parts.calls.items():
            print(f"warming up: {name}", flush=True)
            call(WARM_UP)
        for turn in range(ROUNDS):
            print(f"round {turn + 1} of {ROUNDS}", flush=True)
            for name, call in parts.calls.items():
                seconds[name].append(float(np.median(call(STEPS))))
            peaks = {dtype: max(peak, _matmul_peak(dtype)) for dtype, peak in peaks.items()}
    versions = {"torch": importlib.metadata.version("torch")} if has_torch(config) else {}
    results = {
        "environment": environment() | versions,
        "config": config.as_dict(),
        "peak_flops_per_second": peaks,
        "stages": {
            name: _row(
                float(np.median(times)),
                None if name == "checkpoint" else config.batch_size,
                parts.flops.get(name, {}),
                peaks,
            )
            for name, times in seconds.items()
        },
        "ratios": _ratios(seconds, parts.named),
        "peak_memory_bytes": _peak_memory(),
    }
    write_json(folder / _RECORD, results)
    _print(results, other)
    print(f"benchmark: {folder / _RECORD}")
    return results


def _row(seconds, batch_size, flops, peaks):
    """What is noted of a part.

    Args:
        seconds: of a step.
        batch_size: None where no images pass through it.
        flops: {dtype: FLOPs of a step}; empty where they are not counted.
        peaks: {dtype: FLOP/s}.
    """
    least = sum(number / peaks[dtype] for dtype, number in flops.items())
    return {
        "images_per_second": batch_size and batch_size / seconds,
        "milliseconds": 1000 * seconds,
        "flops_per_image": {dtype: number / batch_size for dtype, number in flops.items()},
        "share_of_peak": least / seconds if flops else None,
    }


def _ratios(seconds, named):
    """{what: the median over the rounds} of `RATIOS` whose parts were measured, {part: seconds}.

    And of each stage of a sequence, `named`, to a pass of the teacher and a step of the task.
    """
    found = {}
    stages = [(f"{s} to teacher's pass and task", str(s), _PASS_AND_TASK) for s in named]
    for what, above, below in (*RATIOS, *stages):
        if seconds.keys() >= {above, *below}:
            total = np.sum([seconds[name] for name in below], axis=0)
            found[what] = float(np.median(np.divide(seconds[above], total)))
    return found


def _matmul_peak(dtype, size=2048, times=4):
    """FLOP/s of the fastest of several matrix products in `dtype`."""
    matrix = tf.cast(tf.random.normal([size, size]), dtype)
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    timed(product, 2)
    return 2 * size**3 / min(timed(product, times))


def _peak_memory():
    """Bytes of the largest resident set so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _read(path):
    try:
        other = read_json(path)
        milliseconds = {name: float(row["milliseconds"]) for name, row in other["stages"].items()}
        return milliseconds, {**other["config"], **other["environment"]}
    except OSError as error:
        raise UserError(
            f"--compare={path} cannot be read ({error.strerror}): expected a benchmark.json"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"--compare={path} is not a benchmark.json of this project") from None


def _print(results, other):
    header = ["part", "images/s", "ms", "precision", "GFLOP/step", "% of peak"]
    header += ["times other's ms"] if other else []
    milliseconds, settings = other or ({}, {})
    rows = []
    for name, row in results["stages"].items():
        flops, speed = row["flops_per_image"], row["images_per_second"]
        giga = sum(flops.values()) * results["config"]["batch_size"] / 1e9
        cells = [name, f"{speed:,.0f}" if speed else NONE, f"{row['milliseconds']:.1f}"]
        cells += [_precision(flops), f"{giga:.1f}" if flops else NONE]
        cells += [f"{row['share_of_peak']:.0%}" if flops else NONE]
        if other:
            known = milliseconds.get(name)
            cells += [f"{row['milliseconds'] / known:.2f}" if known else NONE]
        rows.append(tuple(cells))
    show("one step of each part, median", Table(tuple(header), tuple(rows)))
    ratios = tuple((what, f"{ratio:.2f}") for what, ratio in results["ratios"].items())
    show("ratios of milliseconds, median of rounds", Table(("of what", "ratio"), ratios))
    for dtype, peak in results["peak_flops_per_second"].items():
        print(f"matrix products: {peak / 1e9:,.0f} GFLOP/s in {dtype}")
    share = results["stages"]["checkpoint"]["milliseconds"] / 60_000
    print(f"a checkpoint a minute, the default: {share:.3%} of a stage")
    print(f"peak memory: {results['peak_memory_bytes'] / 1e6:,.0f} MB")
    for name, value in {**results["config"], **results["environment"]}.items():
        if other and settings.get(name) != value:
            print(f"the other's {name}: {settings.get(name)}, here {value}")


def _precision(flops):
    """What a part multiplies in: the dtypes of its FLOPs, with their shares where several."""
    total = sum(flops.values())
    shares = {dtype: number / total for dtype, number in flops.items() if number}
    # A head of a few products says nothing of the whole.
    shares = {dtype: share for dtype, share in shares.items() if share >= 0.01}
    if len(shares) < 2:
        return next(iter(shares), NONE)
    return ", ".join(f"{share:.0%} {dtype}" for dtype, share in shares.items())
