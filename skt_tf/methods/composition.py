"""Several losses in one stage: each looks at its part of both networks, which run once for all."""

import functools
import numbers

import keras
import tensorflow as tf

from skt_tf.methods.fsp import FlowModel
from skt_tf.methods.objective import Batch, Objective, Seen
from skt_tf.methods.stage import checked_weight
from skt_tf.models.checks import check_logits
from skt_tf.models.maps import before_relu, embedding_output, point_output
from skt_tf.models.nested import unnested
from skt_tf.models.points import RESNET
from skt_tf.utils.errors import UserError
from skt_tf.utils.precision import policy


class Sum:
    """Adds up the losses of a stage, itself an objective as losses.py describes it.

    Args:
        parts: (objective, factor) of each.
    """

    def __init__(self, parts):
        self.parts = parts
        self.has_logits = any(part.has_logits for part, _ in parts)
        self.names = [name for part, _ in parts for name in getattr(part, "alone", part.names)]
        self.beside = {name for part, _ in parts for name in getattr(part, "beside", ())}
        self.fades = any(getattr(part, "fades", False) for part, _ in parts)

    @property
    def heads(self):
        return [head for part, _ in self.parts for head in getattr(part, "heads", ())]

    def views(self, teacher, student, points=(None, None), projections=None):
        pairs = [part.views(teacher, student, points, projections) for part, _ in self.parts]
        joined = [_joined(*sides) for sides in zip((teacher, student), zip(*pairs))]
        views, self._find = zip(*joined)
        return views

    def losses(self, labels, targets, outputs, progress, mean=tf.reduce_mean, **beside):
        found = {}
        for k, (part, factor) in enumerate(self.parts):
            more = {name: beside[name] for name in getattr(part, "beside", ())}
            if "second" in more:
                more["second"] = self._of(k, more["second"])
            losses = part.losses(labels, *self._of(k, (targets, outputs)), progress, mean, **more)
            if twice := sorted(found.keys() & losses.keys()):
                raise UserError(f"two losses of the stage are called '{twice[0]}': rename one")
            found |= {name: factor * loss for name, loss in losses.items()}
        return found

    def logits(self, outputs):
        """The student's logits among its `outputs`."""
        k = next(k for k, (part, _) in enumerate(self.parts) if part.has_logits)
        return self.parts[k][0].logits(self._of(k, (None, outputs))[1])

    def _of(self, k, shown):
        """What part `k` looks at, of what (the teacher, the student) have shown."""
        return tuple(
            None if outputs is None else find[k](outputs)
            for find, outputs in zip(self._find, shown)
        )


class Compared:
    """An `Objective` of the field as a part of a stage.

    Args:
        objective: the `Objective`.
        weight: its factor; None: the recipe's.
        number: of training images, for one with a memory.
    """

    def __init__(self, objective, weight=None, number=None):
        _check(objective)
        self.objective, self.number = objective, number
        self.factor = objective.weight if weight is None else weight
        self.has_logits = "logits" in objective.looks_at
        self.names, self.heads = [objective.name], []
        self.beside = ("indices",) * objective.memory + ("second",) * (objective.views > 1)
        # Like a weight that fades, one that grows needs to know how long the stage is.
        self.fades = objective.warmup > 0

    def views(self, teacher, student, points=(None, None), projections=None):
        del projections  # Its own heads do what they do.
        names = self.objective.layer_names(teacher, student)
        shown = [
            self._shown(role, *side)
            for role, *side in zip(("teacher", "student"), (teacher, student), points, names)
        ]
        shapes = [self._named([tuple(part.shape[1:]) for part in parts]) for parts in shown]
        with policy("float32"):  # Of its heads, since all losses are computed in it.
            self.objective.build(*shapes, number=self.number)
        self.heads = _built(self.objective)
        if self.objective.looks_at == ("logits",):
            return teacher, student  # With whatever calls of their own they have.
        return tuple(
            FlowModel(network.inputs[0], parts, name=f"{network.name}_{self.objective.name}")
            for network, parts in zip((teacher, student), shown)
        )

    def losses(
        self, labels, targets, outputs, progress, mean=tf.reduce_mean, indices=None, second=None
    ):
        objective = self.objective
        seen = tuple(map(self._seen, (targets, outputs)))
        second = second and tuple(map(self._seen, second))
        if objective.compares_images:
            seen, labels, indices, second = map(_of_all_devices, (seen, labels, indices, second))
        loss = _loss(objective, seen, Batch(labels, progress, indices, second))
        if objective.compares_images:
            loss = tf.reduce_mean(loss)
        factor = self.factor
        if objective.warmup:
            factor *= tf.minimum(progress / objective.warmup, 1.0)
        return {objective.name: factor * mean(loss)}

    def logits(self, outputs):
        return self._seen(outputs).logits

    def _shown(self, role, network, points, names):
        """The symbolic outputs of a network that the objective looks at, in the order of `Seen`."""
        looks_at, parts = self.objective.looks_at, []
        if "logits" in looks_at:
            check_logits(network, role)
            parts.append(unnested(network).model.outputs[0])
        if "embedding" in looks_at:
            parts.append(embedding_output(network))
        if "maps" in looks_at and names is not None:
            parts += [point_output(network, name, {name: name}) for name in names]
        elif "maps" in looks_at:
            ends = {point for point in points or RESNET.points if point[0] == "p"} - {"p0"}
            ends = sorted(ends, key=lambda point: int(point[1:]))
            maps = [point_output(network, p, points) for p in ends[self.objective.sections]]
            early = role in self.objective.before_relu
            parts += [before_relu(network, tensor) for tensor in maps] if early else maps
        return parts

    def _seen(self, shown):
        """What a view put out, as `Seen`."""
        return self._named([tf.cast(part, tf.float32) for part in _as_list(shown)])

    def _named(self, parts):
        looks_at, parts = self.objective.looks_at, list(parts)
        logits = parts.pop(0) if "logits" in looks_at else None
        embedding = parts.pop(0) if "embedding" in looks_at else None
        return Seen(logits, embedding, tuple(parts))


def _check(objective):
    """Refuses a class of a user's own that does not say what an objective says."""
    known, looks_at = ("logits", "embedding", "maps"), objective.looks_at
    if not isinstance(looks_at, tuple | list) or not looks_at or not {*looks_at} <= {*known}:
        listed = ", ".join(map(str, looks_at)) if isinstance(looks_at, tuple | list) else looks_at
        raise UserError(
            f"the objective '{objective.name}' looks_at {listed or 'nothing'}: expected a tuple of "
            f"some of {', '.join(known)}"
        )
    if not isinstance(objective.sections, slice):
        raise UserError(
            f"the objective '{objective.name}' has sections={objective.sections!r}: expected a "
            "slice, such as slice(-1, None) for the last one"
        )
    early = objective.before_relu
    if not isinstance(early, tuple | list) or not {*early} <= {"teacher", "student"}:
        listed = ", ".join(map(str, early)) if isinstance(early, tuple | list) else early
        raise UserError(
            f"the objective '{objective.name}' has before_relu of {listed}: expected a tuple of "
            "some of 'teacher', 'student'"
        )
    checked_weight(objective.name, objective.weight)
    if not isinstance(objective.warmup, numbers.Real) or not 0 <= objective.warmup <= 1:
        raise UserError(
            f"the objective '{objective.name}' has warmup={objective.warmup!r}: expected a number, "
            "a share of the stage, 0…1"
        )
    if type(objective).loss is Objective.loss:
        raise UserError(f"the objective '{objective.name}' has no loss: write loss(…) for it")


def _built(objective):
    """The heads of an objective, each of which has its variables already."""
    heads = objective.heads
    if not isinstance(heads, tuple | list) or not all(isinstance(h, keras.Layer) for h in heads):
        raise UserError(f"the heads of '{objective.name}' are no list of Keras layers")
    known = {id(part) for head in heads for part in head._flatten_layers()}
    held = [each for value in vars(objective).values() for each in _as_list(value)]
    for layer in held:
        if isinstance(layer, keras.Layer) and layer.trainable_weights and id(layer) not in known:
            raise UserError(
                f"the layer '{layer.name}' of '{objective.name}' is none of its heads, and would "
                "not be trained: name it in heads, or set its trainable to False"
            )
    for head in heads:
        if not head.built:
            raise UserError(
                f"the head '{head.name}' of '{objective.name}' has no variables yet: call its "
                "build((None, …)) in build, for the optimizer to know them"
            )
    return list(heads)


def _loss(objective, seen, batch):
    """What an objective returns, float32; refused where it is neither [batch] nor a scalar."""
    found = objective.loss(*seen, batch)
    try:
        found = tf.cast(tf.convert_to_tensor(found), tf.float32)
    except (TypeError, ValueError):
        raise UserError(
            f"the loss of '{objective.name}' is a {type(found).__name__}: expected a tensor, "
            "[batch] or a scalar"
        ) from None
    number = next(part for part in tf.nest.flatten(seen[1]) if part is not None).shape[0]
    rank = found.shape.rank
    if rank not in (None, 0, 1) or (rank and len({number, found.shape[0]} - {None}) > 1):
        raise UserError(
            f"the loss of '{objective.name}' has shape {tuple(found.shape)} for {number or 'some'} "
            "images: expected [batch] or a scalar"
        )
    return found


def _joined(network, views):
    """One model of all `views` of a network, and for each of them what finds its outputs in it.

    Args:
        network: a `keras.Model`, or None.
        views: models that share its layers; None of those that do not look at it.
    """
    looking = [view for view in views if view is not None]
    if all(view is network for view in looking):
        # As it is, for a call of its own may do more than its layers.
        return (network if looking else None), [lambda shown: shown] * len(views)
    tensors, finds = [], []
    for view in views:
        # An inner model's layers are called one by one by all that looks at them.
        outputs = unnested(view).model.outputs if view is network else view and view.outputs
        places = []
        for tensor in outputs or ():
            places += [k for k, other in enumerate(tensors) if other is tensor] or [len(tensors)]
            tensors += [tensor] * (places[-1] == len(tensors))
        finds.append(functools.partial(_pick, places, isinstance(view, FlowModel)))
    return FlowModel(network.inputs[0], tensors, name=f"{network.name}_losses"), finds


def _pick(places, several, shown):
    found = [shown[place] for place in places]
    return found if several or not found else found[0]


def _as_list(parts):
    return list(parts) if isinstance(parts, list | tuple) else [parts]


def _of_all_devices(structure):
    """Tensors [batch, …] of all replicas, one after the other, whose gradients find their way."""
    context = tf.distribute.get_replica_context()
    if structure is None or context is None or context.num_replicas_in_sync == 1:
        return structure

    def gathered(part):
        if part is None:
            return None
        # The collective of a cluster takes none but a tensor with a place, which the result of a
        # function of its own lacks.
        found = context.all_gather(tf.identity(part), axis=0)
        # Of a batch of unknown size the sizes of maps would be lost on the way.
        return tf.ensure_shape(found, [None, *part.shape[1:]])

    return tf.nest.map_structure(gathered, structure)
