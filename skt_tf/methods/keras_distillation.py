"""Flows and objectives inside `keras.distillation.Distiller`, beside Keras' own losses.

Keras lets a loss see one layer of each network, and nothing else. So the FSP matrices become
layers: `with_flows` adds them to a network, and `FSPDistillation` compares one of them.
`ObjectiveDistillation` is any objective that one layer is enough for. What Keras' distiller cannot
do is train in stages, leave out the head, or run the student once: `SequentialDistiller` does.
"""

import keras
import tensorflow as tf

from skt_tf.methods.fsp import flow_model
from skt_tf.methods.objective import Batch, Seen
from skt_tf.methods.objective_names import find
from skt_tf.models.checks import check_logits, check_network
from skt_tf.models.nested import unnested
from skt_tf.models.points import flow_name
from skt_tf.utils.errors import UserError


@keras.saving.register_keras_serializable(package="skt_tf")
class _First(keras.layers.Layer):
    """Passes the first of its inputs on; the others are only computed beside it."""

    def call(self, inputs):
        return keras.ops.convert_to_tensor(inputs[0])

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def with_flows(model, flows, points=None):
    """`model` with a layer for the FSP matrix of each flow, named as the flow is: `p0_p1`.

    Args:
        model: a functional or Sequential `keras.Model`, whose layers are shared: training one
            trains both.
        flows: tuple of (point, point), such as `skt_tf.dense_flows()`.
        points: {point: layer name}; None where layers have the points' names.

    Returns:
        A functional `keras.Model` with the inputs and outputs of `model`.

    Raises:
        ValueError: no flows, or a point that `model` has no layer for.

    Example:
        >>> flows = skt_tf.dense_flows()
        >>> distiller = keras.distillation.Distiller(
        ...     skt_tf.with_flows(teacher, flows),
        ...     skt_tf.with_flows(student, flows),
        ...     [skt_tf.FSPDistillation(flow) for flow in flows]
        ...     + [keras.distillation.LogitsDistillation()],
        ... )
    """
    check_network(model)
    matrices = flow_model(model, flows, points).outputs
    # An inner model's layers are called one by one, as by the matrices: twice would train twice.
    graph = unnested(model).model
    # In the outputs' own dtype, which Keras compares with the other network's.
    beside = _First(name="with_flows", dtype=graph.outputs[0].dtype)
    outputs = beside([graph.outputs[0], *matrices])
    return keras.Model(graph.inputs[0], outputs, name=model.name)


@keras.saving.register_keras_serializable(package="skt_tf")
class FSPDistillation(keras.distillation.DistillationLoss):
    """λ ‖Gᵀ(x) − Gˢ(x)‖²₂ of one flow, equations (1) and (2) of [SKT], for Keras' distiller.

    The squared error is summed over the matrix and averaged over the batch. Both networks need
    the flow's matrix as a layer: see `with_flows`.

    Args:
        flow: (point, point).
        weight: λ, such as `skt_tf.normalized_flow_weights` gives it.
    """

    def __init__(self, flow, weight=1.0):
        self.flow, self.weight = tuple(flow), float(weight)
        # By these names Keras takes the layers' outputs.
        self.teacher_layer_name = self.student_layer_name = flow_name(self.flow)

    def validate_model_compatibility(self, teacher, student):
        shapes = []
        for role, model in (("teacher", teacher), ("student", student)):
            layers = {layer.name: layer for layer in model.layers}
            if self.teacher_layer_name not in layers:
                raise UserError(
                    f"the {role} '{model.name}' has no layer '{self.teacher_layer_name}': expected "
                    "skt_tf.with_flows(model, flows) with this flow"
                )
            shapes.append(layers[self.teacher_layer_name].output.shape)
        if shapes[0] != shapes[1]:
            raise UserError(
                f"the FSP matrices of {self.teacher_layer_name} have shapes {shapes[0]} in the "
                f"teacher and {shapes[1]} in the student: expected points of the same channels"
            )

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss, a scalar, for FSP matrices [batch, m, n] of both networks."""
        error = keras.ops.square(teacher_outputs - student_outputs)
        return self.weight * keras.ops.mean(keras.ops.sum(error, axis=(1, 2)))

    def get_config(self):
        return {"flow": list(self.flow), "weight": self.weight}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="skt_tf")
class ObjectiveDistillation(keras.distillation.DistillationLoss):
    """An objective of a sequence, of one layer of each network, for Keras' distiller.

    Its loss is without the recipe's factor: give `objective.weight` as Keras'
    `distillation_loss_weights`. Of several points each takes an `ObjectiveDistillation` of its own.

    Args:
        objective: an `Objective`, or the name of one, which then has its default parameters.
        teacher_layer_name: the layer of the teacher that puts out what is compared: maps [batch,
            height, width, channels], or an embedding [batch, features]. None: the networks'
            outputs, logits [batch, classes].
        student_layer_name: likewise of the student.

    Raises:
        ValueError: an objective that needs more than Keras shows a loss: labels, numbers of
            images, a second view, two kinds of layers, or layers trained beside the student.

    Example:
        >>> distiller = keras.distillation.Distiller(
        ...     teacher,
        ...     student,
        ...     [skt_tf.ObjectiveDistillation("sp", "p3", "p3")],
        ...     distillation_loss_weights=[3000.0],
        ... )
    """

    def __init__(self, objective, teacher_layer_name=None, student_layer_name=None):
        self.objective = find(objective)() if isinstance(objective, str) else objective
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name
        beyond = self._beyond_keras()
        if beyond:
            raise UserError(
                f"the objective '{self.objective.name}' {beyond}, which keras.distillation shows "
                "no loss: train it with skt_tf.SequentialDistiller"
            )
        named = [name is not None for name in (teacher_layer_name, student_layer_name)]
        if named[0] != named[1] or (not named[0] and self._kind != "logits"):
            raise UserError(
                f"the objective '{self.objective.name}' compares {self._kind}: expected both "
                "teacher_layer_name and student_layer_name"
                + ", or neither"
                * (self._kind == "logits")
            )

    @property
    def _kind(self):
        return self.objective.looks_at[0]

    def _beyond_keras(self):
        """What of it Keras' distiller has no place for, or None."""
        objective = self.objective
        if objective.labels:
            return "compares with the labels"
        if objective.memory:
            return "remembers each training image by its number"
        if objective.views > 1:
            return "compares a second view of each image"
        if len(objective.looks_at) > 1:
            return f"looks at {' and '.join(objective.looks_at)} of a network at once"
        return None

    def validate_model_compatibility(self, teacher, student):
        roles = (
            ("teacher", teacher, self.teacher_layer_name),
            ("student", student, self.student_layer_name),
        )
        self.objective.build(*(self._seen(self._shape(*role)) for role in roles))
        for role, model, name in roles:
            if name is None:
                check_logits(model, role)
        if self.objective.heads:
            names = ", ".join(head.name for head in self.objective.heads)
            raise UserError(
                f"the objective '{self.objective.name}' trains layers beside the student ({names}),"
                " which keras.distillation would leave as they start: train it with "
                "skt_tf.SequentialDistiller"
            )

    def _shape(self, role, model, name):
        """The shape of what a layer puts out, without the batch."""
        layers = {layer.name: layer for layer in model.layers}
        if name is not None and name not in layers:
            raise UserError(
                f"the {role} '{model.name}' has no layer '{name}': expected one that puts out "
                f"{self._kind}"
            )
        output = layers[name].output if name is not None else model.outputs[0]
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) != (4 if self._kind == "maps" else 2) or None in shape[1:]:
            raise UserError(
                f"the layer '{name}' of the {role} '{model.name}' puts out shape {shape}: the "
                f"objective '{self.objective.name}' compares {self._kind} of a known size"
            )
        return shape[1:]

    def _seen(self, output):
        return Seen(**{self._kind: (output,) if self._kind == "maps" else output})

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss, a scalar, without its weight."""
        seen = (self._seen(tf.cast(x, tf.float32)) for x in (teacher_outputs, student_outputs))
        return tf.reduce_mean(self.objective.loss(*seen, Batch()))

    def get_config(self):
        parameters = self.objective.parameters()
        return {
            "objective": self.objective.name,
            "parameters": {k: [*v] if isinstance(v, tuple) else v for k, v in parameters.items()},
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        objective = find(config.pop("objective"))(**config.pop("parameters"))
        return cls(objective, **config)
