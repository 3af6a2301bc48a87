"""The parts of a stage whose cost is measured."""

import time

import keras
import numpy as np
import tensorflow as tf

from skt_tf.data.batches import training_batches
from skt_tf.methods.catalogue import TASK
from skt_tf.methods.flow_weights import normalized_flow_weights
from skt_tf.methods.fsp import flow_model
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.cost import step_flops
from skt_tf.models.points import SECTIONS
from skt_tf.models.resnet import resnet_for
from skt_tf.training.checkpoints import Checkpoints, stage_variables
from skt_tf.training.history import Progress
from skt_tf.training.kept_targets import keep_targets
from skt_tf.training.sequential_distiller import SequentialDistiller

STEPS = 10
WARM_UP = 4
# Kept targets of this many images tell the speed of all.
KEPT_IMAGES = 5_120


class Parts:
    """The parts of a stage.

    Attributes:
        calls: {name: a function of a number of steps that returns the seconds of each}.
        flops: {name: FLOPs of a step}, of the parts that are counted.
    """

    def __init__(self, config, dataset, scratch):
        self.config, self.dataset = config, dataset
        self.flops, self.calls = {}, {}
        teacher = resnet_for(dataset, config.teacher_depth, config.width, seed=0)
        self.student = lambda: resnet_for(dataset, config.student_depth, config.width, seed=1)
        self.flows = config.flows
        self.weights = normalized_flow_weights(teacher, self.flows, dataset.train_images[:512])
        frozen = fold_batch_norm(teacher, config.teacher_precision)
        disjoint, dense, _ = config.stages("skt", even=True)
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
        return self._compiled(distiller)

    def _compiled(self, model, **options):
        # A rate that moves nothing: what is measured must not depend on what was learned.
        optimizer = keras.optimizers.SGD(1e-6, momentum=0.9)
        model.compile(optimizer, jit_compile=self.config.jit_compile, **options)
        return model

    def _peer(self, teacher):
        """Keras' own distiller with three feature losses, on the same networks."""
        features = [
            keras.distillation.FeatureDistillation(
                teacher_layer_name=f"p{k}", student_layer_name=f"p{k}"
            )
            for k in range(1, SECTIONS + 1)
        ]
        peer = keras.distillation.Distiller(teacher, self.student(), features)
        return self._compiled(peer, loss=_entropy())

    def _forward(self, view, images):
        function = tf.function(
            lambda: view(images, training=False), jit_compile=self.config.jit_compile
        )
        self.flops["teacher_forward"] = step_flops(function.get_concrete_function().graph)
        self.calls["teacher_forward"] = lambda steps: timed(function, steps)

    def _steps(self, name, model, batch):
        model.make_train_function()
        iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
        self.calls[name] = lambda steps: timed(lambda: model.train_function(iterator), steps)
        step = tf.function(model.train_step)
        self.flops[name] = step_flops(step.get_concrete_function(batch).graph)

    def _pipeline(self):
        iterator = iter(self._batches())

        def call(steps):
            # So many that the batches that lie ready from before do not count.
            return [sum(timed(lambda: next(iterator), 20 * steps)) / (20 * steps)]

        self.calls["pipeline"] = call

    def _checkpoint(self, distiller, folder):
        checkpoints, progress = Checkpoints(folder), Progress()

        def save():
            progress.step += 1
            checkpoints.save(progress, stage_variables(distiller))

        def call(times):
            seconds = timed(save, times)
            checkpoints.clear()
            return seconds

        self.calls["checkpoint"] = call

    def _fit(self, name, model, batches):
        self.calls[name] = lambda steps: _timed_fit(
            model, batches(), steps_per_epoch=steps + WARM_UP, shuffle=False
        )
        self.flops[name] = self.flops[name.removeprefix("fit_").removesuffix("_kept")]
        if name.endswith("_kept"):
            self.flops[name] -= self.flops["teacher_forward"]

    def _bare_fit(self, name):
        """The student by Keras alone, on tensors that lie in memory."""
        model = self._compiled(self.student(), loss=_entropy(), metrics=["accuracy"])
        number = self.config.batch_size * (STEPS + WARM_UP)
        # A small dataset more than once.
        chosen = np.arange(number) % len(self.dataset.train_labels)
        data = self.dataset.train_images[chosen], self.dataset.train_labels[chosen]
        self.calls[name] = lambda steps: _timed_fit(
            model, *data, batch_size=self.config.batch_size, shuffle=True
        )
        self.flops[name] = self.flops["task"]


class _Clock(keras.callbacks.Callback):
    """Seconds from the end of a batch to the end of the next."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_begin(self, logs=None):
        self.last = None

    def on_train_batch_end(self, batch, logs=None):
        _wait_for(logs)
        now = time.perf_counter()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now


def _timed_fit(model, *data, **options):
    clock = _Clock()
    model.fit(*data, verbose=0, callbacks=[clock], **options)
    return clock.seconds[WARM_UP - 1 :]


def _entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def timed(function, times):
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        _wait_for(function())
        seconds.append(time.perf_counter() - started)
    return seconds


def _wait_for(numbers):
    """Until they are here: a GPU's kernels only begin when a call returns."""
    # NumPy has no bfloat16 of its own, which `asarray` would look for.
    keras.tree.map_structure(lambda n: n.numpy() if tf.is_tensor(n) else n, numbers)
