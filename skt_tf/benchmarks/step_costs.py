"""The parts of a stage whose cost is measured."""

import itertools
import time

import keras
import tensorflow as tf

from skt_tf.data.batches import training_batches
from skt_tf.methods.catalogue import TASK, is_sequence
from skt_tf.methods.flow_weights import normalized_flow_weights
from skt_tf.methods.fsp import flow_model, fsp_matrix
from skt_tf.methods.losses import Transfer
from skt_tf.methods.objectives.simkd import with_classifier_of
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.building import build
from skt_tf.models.cost import flops_by_dtype
from skt_tf.models.maps import point_output
from skt_tf.training.checkpoints import Checkpoints, stage_variables
from skt_tf.training.history import Progress
from skt_tf.training.kept_targets import keep_targets
from skt_tf.training.sequential_distiller import SequentialDistiller

STEPS = 5
WARM_UP = 4
# Kept targets of this many images tell the speed of all.
KEPT_IMAGES = 5_120


class Parts:
    """The parts of a stage.

    Attributes:
        calls: {name: a function of a number of steps that returns the seconds of each}.
        flops: {name: {dtype: FLOPs of a step}}, of the parts that are counted.
        named: the stages of the sequences in --methods, each a part of its text.
    """

    def __init__(self, config, dataset, scratch):
        self.config, self.dataset = config, dataset
        self.flops, self.calls = {}, {}
        plans = [config.stages(method) for method in config.methods if is_sequence(method)]
        self.named = list({str(stage): stage for plan in plans for stage in plan}.values())
        self.flows, teacher = config.flows, self.teacher()
        self.weights = normalized_flow_weights(teacher, self.flows, dataset.train_images[:512])
        frozen = fold_batch_norm(teacher, config.teacher_precision)
        disjoint, dense, _ = config.stages("skt", even=True)
        hint = config.stages("hint")[0]
        self.batch = batch = next(iter(self.batches()))

        forward = flow_model(frozen, self.flows)
        self._timed("teacher_forward", lambda: forward(batch[0], training=False))
        self._student_flows(forward(batch[0], training=False))
        self.steps("task", self._distiller(TASK, None), batch)
        self.steps("transfer_disjoint", self._distiller(disjoint, frozen), batch)
        trained = self._distiller(dense, frozen)
        self.steps("transfer_dense", trained, batch)
        self.steps("hint", self._distiller(hint, frozen), batch)
        for stage in self.named:
            self._named(stage, frozen)
        self._pipeline()
        self._checkpoint(trained, scratch / "checkpoints")
        self._fit("fit_task", self._distiller(TASK, None), self.batches)
        self._fit("fit_transfer_dense", self._distiller(dense, frozen), self.batches)
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
            lambda: self.batches(kept.dataset, kept=kept, flows=dense.flows),
        )

    def teacher(self):
        teacher = build(self.config, "teacher", self.dataset, seed=0)
        # Untrained, its maps grow from block to block, in deep ones beyond float16.
        for layer in teacher.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.assign(layer.gamma / 2)
        return teacher

    def student(self):
        return build(self.config, "student", self.dataset, seed=1)

    def batches(self, dataset=None, **options):
        return training_batches(
            dataset or self.dataset, self.config.batch_size, 0, 10**9, **options
        )

    def _named(self, stage, teacher):
        """A stage of a sequence, with what its losses ask for beside images and labels."""
        student = self.student()
        if any(loss.name == "simkd" for loss in stage.losses):
            student = with_classifier_of(teacher, student)
        distiller = self._distiller(stage, teacher, student)
        beside = dict.fromkeys(getattr(distiller.objective, "beside", ()), True)
        self.steps(str(stage), distiller, next(iter(self.batches(**beside))))

    def _distiller(self, stage, teacher, student=None):
        distiller = SequentialDistiller(
            teacher,
            student or self.student(),
            stage,
            flow_weights=self.weights,
            hint_reduction="mean",
            weight_decay=self.config.weight_decay,
            steps=1000,
            number=self.dataset.number,
        )
        return self.compiled(distiller)

    def compiled(self, model, **options):
        # A rate that moves nothing: what is measured must not depend on what was learned.
        optimizer = keras.optimizers.SGD(1e-6, momentum=0.9)
        model.compile(optimizer, jit_compile=self.config.jit_compile, **options)
        return model

    def _timed(self, name, function):
        function = tf.function(function, jit_compile=self.config.jit_compile)
        self.flops[name] = flops_by_dtype(function.get_concrete_function().graph)
        self.calls[name] = lambda steps: timed(function, steps)

    def _student_flows(self, targets):
        """The student's FSP matrices alone, and their gradients, of maps that lie ready."""
        student, objective = self.student(), Transfer(self.flows, self.weights)
        points = sorted({point for flow in self.flows for point in flow})
        view = keras.Model(student.inputs[0], [point_output(student, p) for p in points])
        maps = view(self.batch[0], training=True)

        def step():
            with tf.GradientTape() as tape:
                tape.watch(maps)
                shown = dict(zip(points, maps))
                outputs = [fsp_matrix(*(shown[point] for point in flow)) for flow in self.flows]
                loss = tf.add_n([*objective.losses(None, targets, outputs, None).values()])
            # One number of each, for whole maps would be copied.
            return [gradient[0, 0, 0, 0] for gradient in tape.gradient(loss, maps)]

        self._timed("student_flows", step)

    def steps(self, name, model, batch):
        """Adds a step of `model`, on a batch that lies ready."""
        model.make_train_function()
        iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
        self.calls[name] = lambda steps: timed(lambda: model.train_function(iterator), steps)
        step = tf.function(model.train_step)
        self.flops[name] = flops_by_dtype(step.get_concrete_function(batch).graph)

    def _pipeline(self):
        iterator = iter(self.batches())

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
        self.calls[name] = lambda steps: timed_fit(
            model, batches(), steps_per_epoch=steps + WARM_UP, shuffle=False
        )
        self.flops[name] = self.flops[name.removeprefix("fit_").removesuffix("_kept")]
        if name.endswith("_kept"):
            self.flops[name] = self.flops[name] - self.flops["teacher_forward"]


class _Clock(keras.callbacks.Callback):
    """Notes when each batch has ended."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        _wait_for(logs)
        self.ends.append(time.perf_counter())


def timed_fit(model, *data, **options):
    """Seconds from the end of a batch to the end of the next."""
    clock = _Clock()
    model.fit(*data, verbose=0, callbacks=[clock], **options)
    return [end - before for before, end in itertools.pairwise(clock.ends)][WARM_UP - 1 :]


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
