"""The model that is trained: a frozen teacher, a student, and one stage's comparison."""

import functools

import keras
import tensorflow as tf

from skt_tf.methods.catalogue import needs_teacher
from skt_tf.methods.heads import bridge
from skt_tf.methods.losses import objective
from skt_tf.methods.stage import Stage
from skt_tf.models.batch_norm import fuse_batch_norm
from skt_tf.models.checks import check_apart, check_network, check_same_images
from skt_tf.models.names import plain
from skt_tf.models.nested import inner_graph
from skt_tf.models.points import by_point
from skt_tf.models.saving import policy_of
from skt_tf.training.batch_parts import asked_for, parts_of, weighted_mean
from skt_tf.utils.distribution import (
    mark_of,
    one_image_or_more,
    several_workers,
    share_of,
    share_overflow,
)
from skt_tf.utils.errors import UserError, check_one_of


@keras.saving.register_keras_serializable(package="skt_tf")
class SequentialDistiller(keras.Model):
    """Runs one stage of a method: compile it, then `fit` it to (images, labels).

    Weights of images, `fit`'s `sample_weight` and `class_weight`, weigh what each adds to the loss
    of any stage.

    Each step is one forward pass of each network, as far as the stage looks: a
    transfer stage ends at the deepest active flow and computes neither head nor
    masked flows; a task stage does not run the teacher. Only the student's weights
    (and a hint's regressor, projections, layers of a loss) move. The teacher runs in
    inference mode and nothing of it changes, batch-normalisation statistics included.

    Args:
        teacher: a functional `keras.Model` with the points of `stage` as layers, from
            images to logits; None where the stage needs none.
        student: likewise; it is trained in place.
        stage: a `skt_tf.Stage`, such as `skt_tf.stages("skt")[0]`.
        flow_weights: {flow: λ} of the transfer loss, as from
            `normalized_flow_weights`; None stands for λ = 1, as the papers write it.
        temperature: τ of softened outputs.
        hint_reduction: `"sum"` or `"mean"` over the entries of the hinted map.
        weight_decay: factor of ½‖W‖² of the trained kernels, added to the loss (so
            it enters the momentum, as in the papers; Keras' own optimizers decay the
            weights apart from it).
        transfer_batch_norm: `"batch"` or `"inference"`: what the student's batch
            normalisation uses in transfer and hint stages.
        steps: iterations of the stage; only a weight that fades or grows needs it.
        teacher_points: {point: layer name} of the teacher, or the names in order of depth, as of
            `distill`; None where its layers have the points' names.
        student_points: likewise of the student.
        project: whether a trained 1×1 convolution on the student's side bridges channels that
            differ at a point; or {point: layer}, the `projections` of an earlier stage, to go
            on training these.
        number: of training images, where a loss remembers each of them, as `crd` does.

    Attributes:
        projections: {point: layer} of these convolutions, which are no part of the student.

    Raises:
        ValueError: networks that the stage cannot compare, with what differs.

    Example:
        >>> teacher, student = skt_tf.resnet(26, 10), skt_tf.resnet(8, 10)
        >>> for stage in skt_tf.stages("skt"):
        ...     distiller = skt_tf.SequentialDistiller(teacher, student, stage)
        ...     distiller.compile(optimizer=keras.optimizers.SGD(0.001, momentum=0.9))
        ...     distiller.fit(images_and_labels, epochs=10)
    """

    def __init__(
        self,
        teacher,
        student,
        stage,
        *,
        flow_weights=None,
        temperature=3.0,
        hint_reduction="sum",
        weight_decay=0.0,
        transfer_batch_norm="batch",
        steps=None,
        teacher_points=None,
        student_points=None,
        project=False,
        number=None,
    ):
        if not isinstance(stage, Stage):
            raise UserError(
                f"a stage is '{stage}': expected a Stage, as skt_tf.stages and skt_tf.sequence "
                "return them"
            )
        for network in (teacher, student):
            if network is not None:
                check_network(network)
        if teacher is student:
            raise UserError("the teacher and the student are the same model: expected two")
        # The student's policy decides whether the loss is scaled.
        super().__init__(name=plain(f"{student.name}_{stage.name}"), dtype=policy_of(student))
        check_one_of("transfer_batch_norm", transfer_batch_norm, ("batch", "inference"))
        self.objective = objective(
            stage,
            flow_weights=flow_weights,
            temperature=temperature,
            hint_reduction=hint_reduction,
            number=number,
        )
        if teacher is None and needs_teacher([stage]):
            raise UserError(f"stage '{stage.name}' needs a teacher and none was given")
        if teacher is not None and needs_teacher([stage]):
            check_same_images(teacher, student)
            check_apart(teacher, student)
        if getattr(self.objective, "fades", False) and not steps:
            raise UserError(
                f"a weight of stage '{stage.name}' changes on the way: give steps=…, its length"
            )
        self.teacher, self.student, self.stage, self.steps = teacher, student, stage, steps
        points = teacher_points, student_points = by_point(teacher_points), by_point(student_points)
        self.projections = dict(project) if isinstance(project, dict) else {}
        if project is True:
            self.projections = bridge(teacher, student, stage.flows, points)
        self.teacher_view, student_view = self.objective.views(
            teacher, student, points, self.projections
        )
        self._settings = {
            "temperature": temperature,
            "hint_reduction": hint_reduction,
            "weight_decay": weight_decay,
            "transfer_batch_norm": transfer_batch_norm,
            "steps": steps,
            "teacher_points": teacher_points,
            "student_points": student_points,
            "project": bool(project),
            "number": number,
        }
        self._flow_weights = flow_weights
        # What a call of a user's own does beside the layers would be lost.
        own = student_view is student and not inner_graph(student)
        self.student_view = student_view if own else fuse_batch_norm(student_view)
        # Trained beside the student; Keras looks for the variables of layers in lists.
        self.heads = list(getattr(self.objective, "heads", ()))
        # Not a regressor or a projection, which begin at random.
        own = {id(variable) for variable in student.variables if stage.anchor}
        moved = self.student_view.trainable_variables
        self._anchored = [variable for variable in moved if id(variable) in own]
        # The weights that the stage begins with; a checkpoint has them, to go on from others.
        self.anchors = [
            keras.Variable(v.numpy(), dtype=v.dtype, trainable=False, name="anchor")
            for v in self._anchored
        ]
        if not self.student_view.trainable_variables:
            raise UserError(
                f"no variable of the student '{student.name}' is trainable in stage "
                f"'{stage.name}': set student.trainable = True"
            )
        self.weight_decay = weight_decay
        self.normalizes_by_batch = self.objective.has_logits or transfer_batch_norm == "batch"
        names = ["loss", *self.objective.names, *["accuracy"] * self.objective.has_logits]
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    @property
    def metrics(self):
        return list(self.trackers.values())

    def get_metrics_result(self):
        """Over the images of all devices, where a step's logs average what each has seen."""
        seen = {name: t for name, t in self.trackers.items() if tf.convert_to_tensor(t.count) > 0}
        return {name: tracker.result() for name, tracker in seen.items()}

    @property
    def trainable_variables(self):
        """The variables that this stage moves: nothing of the teacher, no head that is not run."""
        heads = [v for head in self.heads for v in head.trainable_variables]
        return [*self.student_view.trainable_variables, *heads]

    def compile(self, optimizer, **kwargs):
        """As `keras.Model.compile`; XLA is off unless asked for, for it slows CPUs down."""
        super().compile(optimizer=optimizer, **{"jit_compile": False, **kwargs})
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        """What a saved distiller is made again from; both networks are a part of it."""
        weights = self._flow_weights
        return {
            "teacher": keras.saving.serialize_keras_object(self.teacher),
            "student": keras.saving.serialize_keras_object(self.student),
            "stage": self.stage.as_dict(),
            # A flow is a tuple, which JSON has no keys of.
            "flow_weights": weights and [[*flow, float(λ)] for flow, λ in weights.items()],
            **self._settings,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("teacher", "student"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        config["stage"] = Stage.from_dict(config["stage"])
        if config["flow_weights"]:
            config["flow_weights"] = {(a, b): λ for a, b, λ in config["flow_weights"]}
        return cls(**config)

    def compile_from_config(self, config):
        """As Keras', whose own builds the optimizer once more, which gives it new variables."""
        config = keras.saving.deserialize_keras_object(config)
        self.compile(config["optimizer"], jit_compile=config["jit_compile"])

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: all is built. Keras' own averages a batch over workers, which fails."""

    def call(self, images, training=False):
        """Logits of the student for images [batch, height, width, channels]."""
        return self.student(images, training=training)

    def train_step(self, data):
        images, labels, weights, targets, beside = parts_of(data)
        beside = asked_for(self.objective, beside, self.stage.name)
        if self.teacher_view is not None and targets is None:
            targets = self.teacher_view(images, training=False)
        progress = tf.minimum(1.0, self._iterations() / max(1, (self.steps or 1) - 1))
        mean = functools.partial(weighted_mean, weights)
        with tf.GradientTape() as tape:
            outputs = self.student_view(images, training=self.normalizes_by_batch)
            if "second" in beside:
                second = beside["second"]
                beside["second"] = (
                    self.teacher_view(second, training=False),
                    self.student_view(second, training=self.normalizes_by_batch),
                )
            losses = self.objective.losses(labels, targets, outputs, progress, mean, **beside)
            loss = tf.add_n(list(losses.values()))
            # What the student's own regularisers ask for, as in any `fit`.
            own = [tf.cast(part, tf.float32) for part in self.student_view.losses]
            minimized = tf.add_n([loss, *own])
            if self.weight_decay:
                kernels = [v for v in self.trainable_variables if v.name.endswith("kernel")]
                kernels = [tf.cast(kernel, tf.float32) for kernel in kernels]
                minimized += self.weight_decay * tf.add_n([tf.nn.l2_loss(v) for v in kernels])
            if self.anchors:
                pairs = zip(self._anchored, self.anchors)
                moved = [tf.cast(v.value - first.value, tf.float32) for v, first in pairs]
                minimized += self.stage.anchor * tf.add_n([2 * tf.nn.l2_loss(m) for m in moved])
            minimized *= share_of(images)  # Replicas add up their gradients.
            minimized = self.optimizer.scale_loss(minimized)
        gradients = tape.gradient(minimized, self.trainable_variables)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            gradients = share_overflow(gradients)
        else:
            loss += mark_of(gradients)  # A ReLU may hide a NaN from the loss.
        self.optimizer.apply(gradients, self.trainable_variables)
        logits = self.objective.logits(outputs) if self.objective.has_logits else None
        return self._track({"loss": loss, **losses}, labels, logits)

    def _iterations(self):
        """How many steps there were before, float32, each of which may be a part of an update."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return tf.cast(optimizer._iterations, tf.float32)  # Its iterations are its updates.

    def test_step(self, data):
        images, labels, weights, *_ = parts_of(data)
        # As in training: a loss of half precision would be rounded.
        logits = tf.cast(self.student(one_image_or_more(images), training=False), tf.float32)
        logits = logits[: tf.shape(labels)[0]]
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        if weights is not None:
            loss *= weights
        return self._track({"loss": loss}, labels, logits)

    def _track(self, losses, labels, logits):
        values = dict(losses)
        if self.objective.has_logits:
            hits = tf.argmax(logits, axis=1) == tf.cast(labels, tf.int64)
            values["accuracy"] = tf.cast(hits, tf.float32)
        # A mean over a batch stands for its images; batches of a fixed size are all alike.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        number = 1 / replicas if labels.shape[0] else tf.cast(tf.shape(labels)[0], tf.float32)
        for name, tracker in self.trackers.items():
            if name in values:
                tracker.update_state(values[name], None if values[name].shape.rank else number)
        results = {name: t.result() for name, t in self.trackers.items() if name in values}
        if several_workers(tf.distribute.get_strategy()):
            # Keras averages them over the workers along an axis, which a scalar lacks.
            results = {name: result[None] for name, result in results.items()}
        return results
