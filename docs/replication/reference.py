"""What skt_tf computes for one batch, kept in reference.npz for replicate.py to be compared to.

    python -m docs.replication.reference

8 layers taught by 14, at width 16: their weights, a batch, logits, FSP matrices, λ, and of each
case of protocol.py its loss, its gradients and the variables after one and after two steps of
SGD, the second at a tenth of the rate. Of gradients and variables every thirteenth number is kept.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from docs.replication.protocol import ALL_FLOWS, CASES, DECAY, EVERY
from skt_tf.methods.catalogue import Stage
from skt_tf.methods.flow_weights import normalized_flow_weights
from skt_tf.methods.fsp import flow_model
from skt_tf.models.points import flow_name
from skt_tf.models.resnet import resnet
from skt_tf.training.sequential_distiller import SequentialDistiller

FILE = pathlib.Path(__file__).parent / "reference.npz"
MEAN, VARIANCE = (125.3, 123.0, 113.9), (3969.0, 3856.0, 4449.0)
DEPTHS = {"teacher": 14, "student": 8}
BATCH = 8
# What the file's names of what is given begin with; all others are of what is computed.
GIVEN = "images", "labels", "mean", "variance", "teacher", "student"
NAMES = {"moving_mean": "mean", "moving_variance": "variance"}


def inputs():
    """{name: array} of both networks' variables, images and labels; drawn once."""
    random = np.random.default_rng(18)
    coarse = random.integers(0, 256, (BATCH, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    images = np.clip(coarse + random.integers(-20, 21, (BATCH, 32, 32, 3)), 0, 255)
    found = {"images": images.astype(np.uint8), "labels": np.arange(BATCH, dtype=np.int32)}
    found |= {"mean": np.float64(MEAN), "variance": np.float64(VARIANCE)}
    for name, depth in DEPTHS.items():
        for place, variable in variables(resnet(depth, 10, seed=depth)).items():
            if place.endswith("kernel"):
                values = np.asarray(variable)
            elif place.endswith(("gamma", "variance")):
                values = random.uniform(0.5, 1.5, variable.shape)
            else:
                values = random.uniform(-0.5, 0.5, variable.shape)
            # Eight bits of each number: the file is half as large.
            found[f"{name}/{place}"] = values.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32)
    return found


def variables(network):
    """{layer/variable: Variable}, by the names that replicate.py has too."""
    found = {}
    for layer in network.layers:
        if layer.name.endswith(("_conv", "_norm")) or layer.name == "logits":
            place = layer.name.removesuffix("_conv").removesuffix("_norm")
            for variable in layer.variables:
                found[f"{place}/{NAMES.get(variable.name, variable.name)}"] = variable
    return found


def network(name):
    """The teacher or the student, with weights of no account."""
    return resnet(DEPTHS[name], 10, normalization=(MEAN, VARIANCE), name=name)


def restore(model, given):
    """Gives `model` the variables that `given` holds."""
    for place, variable in variables(model).items():
        variable.assign(given[f"{model.name}/{place}"])


def flat(values):
    """Every thirteenth number of {layer/variable: array}, in the order of the names."""
    return np.concatenate([np.ravel(values[place]) for place in sorted(values, key=by_name)])[
        ::EVERY
    ]


def by_name(place):
    return place.split("/")


def outputs(given):
    """{name: array} of what skt_tf computes from `given`, the arrays of `inputs`."""
    images, labels = tf.constant(given["images"]), tf.constant(given["labels"])
    teacher, student, found = network("teacher"), network("student"), {}
    for name, model in (("teacher", teacher), ("student", student)):
        restore(model, given)
        training = model is student
        found[f"logits/{name}"] = model(images, training=training)
        matrices = flow_model(model, ALL_FLOWS)(images, training=training)
        found |= {f"fsp/{name}/{flow_name(f)}": m for f, m in zip(ALL_FLOWS, matrices)}
    factors = normalized_flow_weights(teacher, ALL_FLOWS, given["images"])
    found |= {f"factor/{flow_name(flow)}": factor for flow, factor in factors.items()}
    for case, (kind, flows, equal, soft, rate) in CASES.items():
        restore(student, given)
        stage = Stage(case, kind, {}, flows, soft_weight=(soft, soft), point="m2")
        distiller = SequentialDistiller(
            teacher,
            student,
            stage,
            flow_weights=None if equal else factors,
            weight_decay=DECAY,
            steps=2,
        )
        falling = keras.optimizers.schedules.PiecewiseConstantDecay([0], [rate, rate / 10])
        distiller.compile(keras.optimizers.SGD(falling, momentum=0.9))
        losses, gradients = first_step(distiller, images, labels)
        names = [flow_name(flow) for flow in flows] or list(losses)
        found |= {f"loss/{case}/{part}": losses[part] for part in names}
        places = {id(variable): place for place, variable in variables(student).items()}
        zeros = {p: np.zeros(v.shape, np.float32) for p, v in variables(student).items()}
        zeros = {p: z for p, z in zeros.items() if by_name(p)[1] not in NAMES.values()}
        found[f"gradient/{case}"] = flat(zeros | {places[id(v)]: g for v, g in gradients})
        for number in (1, 2):
            distiller.train_step((images, labels))
            after = {place: variable.numpy() for place, variable in variables(student).items()}
            found[f"after{number}/{case}"] = flat(after)
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def first_step(distiller, images, labels):
    """The parts of the loss, and [(variable, gradient)] without weight decay."""
    before = [variable.numpy() for variable in distiller.student.variables]
    targets = distiller.teacher_view and distiller.teacher_view(images, training=False)
    with tf.GradientTape() as tape:
        view = distiller.student_view(images, training=True)
        losses = distiller.objective.losses(labels, targets, view, 0.0)
        loss = tf.add_n(list(losses.values()))
    moved = distiller.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in moved])
    for variable, value in zip(distiller.student.variables, before):
        variable.assign(value)  # The moving statistics have moved.
    return losses, list(zip(moved, gradients))


def main():
    given = inputs()
    np.savez_compressed(FILE, **given, **outputs(given))
    print(f"{FILE.name}: {FILE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
