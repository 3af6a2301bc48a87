"""Kept targets: the teacher's FSP matrices, computed once for a fixed number of views.

Yim et al. store the teacher's FSP matrices instead of computing them in every iteration.
With random crops that means a number of crops that are drawn once for each image.
"""

import dataclasses
import functools
import itertools
import os
import pathlib
import shutil

import numpy as np
import tensorflow as tf

from skt_tf.data import batches
from skt_tf.data.datasets import Dataset
from skt_tf.methods.fsp import flow_model
from skt_tf.utils.errors import UnfitTeacher, UserError, option
from skt_tf.utils.files import whole

# FSP matrices of the networks here reach some hundreds; float16 ends at 65,504 and keeps
# three digits, more than bfloat16 of the same size.
_DTYPE = np.float16


@dataclasses.dataclass(frozen=True)
class KeptTargets:
    """A memory-mapped file of FSP matrices, one row for each view of each training image.

    Attributes:
        path: the file, float16, [views · images, entries of all matrices].
        shapes: {flow: (m, n)} in the order of a row.
        dataset: the `Dataset` of the images.
        views: drawn views of each image; epoch e shows the view e mod `views`.
        seed: integer below 2³¹ that the views are drawn from.
    """

    path: pathlib.Path
    shapes: dict
    dataset: Dataset
    views: int
    seed: int

    @property
    def shape(self):
        """(rows, entries of a row) of the file."""
        entries = sum(m * n for m, n in self.shapes.values())
        return self.views * len(self.dataset.train_labels), entries

    @property
    def size(self):
        """Bytes of the file."""
        return int(np.prod(self.shape)) * np.dtype(_DTYPE).itemsize

    def moves(self, images, epoch):
        """How the views of `images` (indices) in `epoch` are cropped: [batch, 3], int32."""
        return tf.gather(self._moves, self._rows(images, epoch))

    def matrices(self, images, epoch, flows):
        """The teacher's FSP matrices of those views: a tuple of [batch, m, n], float32."""
        # The file, mapped: only the pages of the rows that are asked for are read.
        file = tf.raw_ops.ImmutableConst(
            dtype=_DTYPE, shape=self.shape, memory_region_name=str(self.path)
        )
        rows = tf.cast(tf.gather(file, self._rows(images, epoch)), tf.float32)
        ends = list(itertools.accumulate(m * n for m, n in self.shapes.values()))
        parts = {
            flow: tf.reshape(rows[:, end - m * n : end], [-1, m, n])
            for (flow, (m, n)), end in zip(self.shapes.items(), ends)
        }
        return tuple(parts[flow] for flow in flows)

    def _rows(self, images, epoch):
        return (epoch % self.views) * len(self.dataset.train_labels) + images

    @functools.cached_property
    def _moves(self):
        number = len(self.dataset.train_labels)
        with tf.init_scope():  # Values, even where a graph asks first.
            views = [
                batches.draw_moves(number, self.dataset, [self.seed, k]) for k in range(self.views)
            ]
            return tf.concat(views, axis=0).numpy()


def keep_targets(
    teacher, flows, dataset, views, seed, path, batch_size=128, write=True, points=None
):
    """Computes the teacher's FSP matrices of all views.

    Args:
        teacher: a functional `keras.Model` with a layer for each point.
        flows: tuple of (point, point).
        dataset: a `Dataset`.
        views: views of each training image.
        seed: integer below 2³¹ that the views are drawn from.
        path: of the file, written whole or not at all.
        batch_size: images a forward pass.
        write: False where another process has just written the file.
        points: {point: layer name} of `teacher`; None where layers have the points' names.

    Returns:
        `KeptTargets`.

    Raises:
        ValueError: the file does not fit on its disk, or a matrix does not fit into float16.
    """
    view = flow_model(teacher, flows, points)
    kept = _planned(view, flows, dataset, views, seed, path)
    if not write:
        if not kept.path.exists():
            raise UserError(
                f"{path} does not exist: all workers must share one {option('output_dir')}"
            )
        return kept
    print(f"keeping the teacher's targets, {kept.size / 1e6:,.0f} MB: {path}")
    _check_room(kept)
    number = len(dataset.train_labels)

    @tf.function(autograph=False, reduce_retracing=True)
    def targets(batch):
        matrices = view(batch, training=False)
        return tf.concat([tf.reshape(m, [tf.shape(batch)[0], -1]) for m in matrices], axis=1)

    kept.path.unlink(missing_ok=True)  # Of a run that was killed: there may be no room for two.
    with whole(kept.path) as draft:
        # A disk that fills up while a mapped file is written to would kill the process.
        with open(draft, "wb") as file:
            if hasattr(os, "posix_fallocate"):  # Not on macOS.
                os.posix_fallocate(file.fileno(), 0, kept.size)
            file.truncate(kept.size)
        rows = np.memmap(draft, _DTYPE, "r+", shape=kept.shape)
        for start in range(0, kept.shape[0], batch_size):
            chosen = np.arange(start, min(start + batch_size, kept.shape[0]))
            with tf.device("CPU"):
                batch = batches.views(dataset, tf.constant(chosen % number), kept._moves[chosen])
            found = targets(batch).numpy()
            if np.abs(found).max(initial=0) > np.finfo(_DTYPE).max or not np.isfinite(found).all():
                raise UnfitTeacher(
                    "the teacher's FSP matrices are too large for float16, in which targets are "
                    f"kept: give {option('target_views')}=0, which computes them anew"
                )
            rows[chosen] = found
        rows.flush()
    return kept


def check_room(teacher, flows, dataset, views, path, points=None):
    """Raises a ValueError where `keep_targets` would find too little room on the disk."""
    _check_room(_planned(flow_model(teacher, flows, points), flows, dataset, views, 0, path))


def _planned(view, flows, dataset, views, seed, path):
    shapes = {flow: tuple(output.shape[1:]) for flow, output in zip(flows, view.outputs)}
    return KeptTargets(pathlib.Path(path).absolute(), shapes, dataset, views, seed)


def _check_room(kept):
    folder = next(parent for parent in kept.path.parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if kept.path.exists():
        free += kept.path.stat().st_blocks * 512  # It will make room for the new one.
    if kept.size > free:
        raise UserError(
            f"the targets of {kept.views} views need {kept.size / 1e6:,.0f} MB and the "
            f"disk of {folder} has {free / 1e6:,.0f} MB left: give fewer, or 0 to recompute them"
        )
