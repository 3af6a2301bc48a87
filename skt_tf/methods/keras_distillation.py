"""Flows inside `keras.distillation.Distiller`, beside Keras' own distillation losses.

Keras lets a loss see one layer of each network. So the FSP matrices become layers: `with_flows`
adds them to a network, and `FSPDistillation` compares one of them. What Keras' distiller cannot
do is train in stages, leave out the head, or run the student once: `SequentialDistiller` does.
"""

import keras

from skt_tf.methods.fsp import flow_model
from skt_tf.models.checks import check_network
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
    # In the outputs' own dtype, which Keras compares with the other network's.
    beside = _First(name="with_flows", dtype=model.outputs[0].dtype)
    outputs = beside([model.outputs[0], *matrices])
    return keras.Model(model.inputs[0], outputs, name=model.name)


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
