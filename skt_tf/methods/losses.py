"""What a stage minimises.

An objective says which part of each network it looks at (its *views*, Keras models
that share the networks' layers) and compares their outputs. Views are asked for with both
networks' {point: layer name}, or None where layers have the points' names, and with the
{point: layer} of projections on the student's side. It knows no optimizer, no files and no
flags. `losses` compares what the views put out for one batch, the teacher's `targets` and the
student's `outputs`, beside the `labels` [batch], integers, at the `progress` of the stage, 0…1;
it returns {name: scalar, float32}, whose sum is minimised, each a `mean` of what it finds for the
images, [batch]. Its `names` are the parts that logs
show beside the sum, `alone` names the loss of one that needs no parts, `has_logits` says that
`logits(outputs)` finds logits, whose accuracy is logged too, and `fades` that it needs to know how
long the stage is. What an objective needs beside labels it names in `beside`, and is given by these
names; `heads` are layers of its own that are trained beside the student.
"""

import keras
import tensorflow as tf

from skt_tf.methods.composition import Compared, Sum
from skt_tf.methods.fsp import flow_model, max_pool_to, smaller_size
from skt_tf.methods.numerics import check_temperature
from skt_tf.methods.objective_names import made
from skt_tf.methods.stage import BUILT_IN
from skt_tf.models.checks import check_logits
from skt_tf.models.maps import point_output
from skt_tf.models.points import RESNET, flow_name
from skt_tf.utils.errors import UserError, check_one_of


class Transfer:
    """Equations (1) and (2) of [SKT]: Σᵢ λᵢ ‖Gᵢᵀ(x) − Gᵢˢ(x)‖²₂ over the active flows.

    The squared error is summed over the entries of a matrix and averaged over the batch.

    Args:
        flows: the active flows, a tuple of (point, point).
        weights: {flow: λ}; None stands for λ = 1.
    """

    has_logits = False

    def __init__(self, flows, weights=None):
        weights = weights or dict.fromkeys(flows, 1.0)
        missing = [flow_name(flow) for flow in flows if flow not in weights]
        if missing:
            raise UserError(f"flow_weights has no λ for the flows {', '.join(missing)}")
        self.flows, self.weights = flows, weights
        self.names = [flow_name(flow) for flow in flows]

    def views(self, teacher, student, points=(None, None), projections=None):
        views = (
            flow_model(teacher, self.flows, points[0]),
            flow_model(student, self.flows, points[1], projections),
        )
        differing = [
            f"{flow_name(flow)} ({'×'.join(map(str, t.shape[1:]))} and "
            f"{'×'.join(map(str, s.shape[1:]))})"
            for flow, t, s in zip(self.flows, views[0].outputs, views[1].outputs)
            if t.shape[1:] != s.shape[1:]
        ]
        if differing:
            raise UserError(
                "the teacher's and the student's FSP matrices differ in shape: "
                + ", ".join(differing)
                + "; flows need the same channels in both networks, or projections on the "
                "student's side (project)"
            )
        return views

    def losses(self, labels, targets, outputs, progress, mean=tf.reduce_mean):
        del labels, progress  # What flows is compared, not what comes out.
        return {
            name: self.weights[flow] * mean(tf.reduce_sum(tf.square(target - output), axis=[1, 2]))
            for name, flow, target, output in zip(self.names, self.flows, targets, outputs)
        }


class Hint:
    """½ ‖r(guided) − hint‖² between the middle layers, equation (3) of [FitNets].

    r is a 1×1 convolution where the channels differ, else the identity. It belongs
    to the student's view alone: the student itself never holds it. Of maps of different
    sizes the larger is max-pooled to the smaller, as for FSP matrices.

    Args:
        reduction: `"sum"` over a map's entries, or their `"mean"`; the batch is averaged.
        point: the point of the hint and of the guided layer.
    """

    has_logits = False
    names, alone = (), ("hint",)

    def __init__(self, reduction="sum", point=RESNET.hint_point):
        check_one_of("hint_reduction", reduction, ("sum", "mean"))
        self.reduce = tf.reduce_sum if reduction == "sum" else tf.reduce_mean
        self.point = point

    def views(self, teacher, student, points=(None, None), projections=None):
        del projections  # The regressor does what they do.
        hint = point_output(teacher, self.point, points[0])
        guided = point_output(student, self.point, points[1])
        size = smaller_size(hint, guided, "the hint's maps in teacher and student,")
        hint, guided = (max_pool_to(maps, size) for maps in (hint, guided))
        if hint.shape[-1] != guided.shape[-1]:
            # Seeded, for the same run twice must give the same bytes.
            start = keras.initializers.HeNormal(seed=0)
            guided = keras.layers.Conv2D(
                hint.shape[-1], 1, kernel_initializer=start, name="regressor"
            )(guided)
        return keras.Model(teacher.inputs[0], hint), keras.Model(student.inputs[0], guided)

    def losses(self, labels, targets, outputs, progress, mean=tf.reduce_mean):
        del labels, progress
        error = tf.square(tf.cast(outputs, tf.float32) - tf.cast(targets, tf.float32))
        return {"hint": 0.5 * mean(self.reduce(error, axis=[1, 2, 3]))}


class Task:
    """Softmax cross-entropy with the labels."""

    has_logits = True
    names, alone = (), ("cross_entropy",)

    def views(self, teacher, student, points=(None, None), projections=None):
        del teacher, points, projections
        check_logits(student, "student")
        return None, student

    def losses(self, labels, targets, outputs, progress, mean=tf.reduce_mean):
        del targets, progress
        outputs = tf.cast(outputs, tf.float32)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)
        return {"cross_entropy": mean(entropy)}

    def logits(self, outputs):
        return outputs


class Soft(Task):
    """A weight times KL(teacher ‖ student) of outputs softened by τ [KD].

    The divergence differs from [KD]'s cross-entropy by the teacher's entropy alone, so
    the gradients are the same, and a perfect student has loss zero.

    Args:
        temperature: τ.
        weight: (first, last), linear over the stage; None stands for τ² [KD, section 2].
    """

    names = alone = ("softened",)

    def __init__(self, temperature=3.0, weight=None):
        check_temperature(temperature)
        self.temperature = temperature
        self.weight = weight or (temperature**2, temperature**2)
        self.fades = self.weight[0] != self.weight[1]

    def views(self, teacher, student, points=(None, None), projections=None):
        del points, projections
        classes = [network.outputs[0].shape[-1] for network in (teacher, student)]
        if classes[0] != classes[1]:
            raise UserError(
                f"the teacher has {classes[0]} classes and the student {classes[1]}: softened "
                "outputs need the same"
            )
        check_logits(teacher, "teacher")
        check_logits(student, "student")
        return teacher, student

    def losses(self, labels, targets, outputs, progress, mean=tf.reduce_mean):
        del labels
        first, last = self.weight
        targets, outputs = tf.cast(targets, tf.float32), tf.cast(outputs, tf.float32)
        soft = tf.nn.softmax(targets / self.temperature)
        log_ratio = tf.nn.log_softmax(targets / self.temperature) - tf.nn.log_softmax(
            outputs / self.temperature
        )
        divergence = mean(tf.reduce_sum(soft * log_ratio, axis=1))
        weight = first + (last - first) * progress
        return {"softened": weight * divergence}


class SoftTask(Soft):
    """Task and softened outputs [KD], [FitNets]."""

    names = alone = ("cross_entropy", "softened")

    def losses(self, labels, targets, outputs, progress, mean=tf.reduce_mean):
        entropy = Task.losses(self, labels, None, outputs, None, mean)
        return entropy | super().losses(None, targets, outputs, progress, mean)


def objective(stage, *, flow_weights=None, temperature=3.0, hint_reduction="sum", number=None):
    """The objective that `stage` names, with the settings of a run.

    Args:
        stage: a `Stage`.
        flow_weights, temperature, hint_reduction: of `Transfer`, `Soft` and `Hint`.
        number: of training images, for objectives that remember each.
    """

    def one(kind, soft_weight=None):
        match kind:
            case "transfer":
                return Transfer(stage.flows, flow_weights)
            case "hint":
                return Hint(hint_reduction, stage.point or RESNET.hint_point)
            case "task":
                return Task()
            case "soft":
                return Soft(temperature, soft_weight)
            case "soft_task":
                return SoftTask(temperature, soft_weight)
        raise UserError(
            f"stage '{stage.name}' has the unknown objective '{stage.objective}': "
            "expected transfer, hint, task, soft_task or losses"
        )

    def part(loss):
        """(objective, factor) of one of several losses."""
        if loss.name not in BUILT_IN:
            return Compared(made(loss), loss.weight, number), 1.0
        if loss.name == "soft":  # Its weight is not a factor of another: τ², if none is given.
            return one("soft", loss.weight and (loss.weight, loss.weight)), 1.0
        return one(BUILT_IN[loss.name]), 1.0 if loss.weight is None else loss.weight

    if stage.objective == "losses":
        return Sum([part(loss) for loss in stage.losses])
    return one(stage.objective, stage.soft_weight)
