"""What a network must be: one input, which takes images, and one output, logits."""

import itertools

import keras
import numpy as np

from skt_tf.models.evaluation import stateless_outputs
from skt_tf.utils.errors import UserError
from skt_tf.utils.keras_settings import check_keras

# Images that a network's outputs are judged by.
_JUDGED_BY = 16


def check_network(model):
    """Refuses what is not a built Keras model with one input and one output."""
    check_keras()
    if not isinstance(model, keras.Model):
        raise UserError(f"a network is a {type(model).__name__}: expected a keras.Model")
    inputs, outputs = getattr(model, "inputs", None) or (), getattr(model, "outputs", None) or ()
    if len(inputs) != 1 or len(outputs) != 1:
        raise UserError(
            f"the model '{model.name}' has {len(inputs)} inputs and {len(outputs)} outputs: "
            "expected a functional or Sequential model that starts at a keras.Input, with one "
            "of each"
        )
    if any(isinstance(getattr(model, side, None), dict) for side in ("input", "output")):
        raise UserError(
            f"the model '{model.name}' takes or returns a dict: expected images in, logits out"
        )


def check_weights(network, name):
    """Refuses a network, called `name`, of which a weight is no finite number."""
    for variable in network.variables:
        if not np.isfinite(variable.numpy()).all():
            raise UserError(
                f"{name} holds weights that are NaN or infinite ({variable.path}): expected a "
                "trained network"
            )


def check_logits(model, role, images=None):
    """Refuses outputs of which a loss or an export would take the softmax a second time.

    Args:
        model: the network, which is left as it is.
        role: what errors call it.
        images: [number, height, width, channels], what it is used for, of which a few are looked
            at; None: noise, where there are none.
    """
    noise = " of noise" * (images is None)
    if noise:
        shape = [2, *(size or 32 for size in model.input_shape[1:])]
        images = np.random.default_rng(0).random(shape, np.float32)
    images = images[:_JUDGED_BY]
    outputs = _answers(model, images)
    if outputs.min() < 0:
        return
    moved = _answers(model, images, moved=100.0)
    total = float(outputs.sum(axis=1).mean())
    # Logits may happen to sum to one, and those of a single image always sum to something.
    if not np.isfinite(moved).all() or len(outputs) == 1:
        total = float(abs(total - 1) < 0.01)
    if total > 0 and all(
        np.allclose(rows.sum(axis=1), total, rtol=0.01)
        for rows in (outputs, moved)
        if np.isfinite(rows).all()
    ):
        seen, kind = f"are 0 or more and sum to {total:.3g}", "softmax"
    elif _are_shares(outputs) and _are_shares(moved):
        seen, kind = "all lie in 0…1", "sigmoid"
    else:
        return  # Logits that happened to lie there.
    raise UserError(
        f"the {role} '{model.name}' ends with a {kind}: expected logits, from a last layer without "
        f"an activation (its outputs for {len(outputs)} images{noise} {seen})"
    )


def _are_shares(outputs):
    return outputs.min() >= 0 and outputs.max() <= 1


def _answers(model, images, moved=0.0):
    """Outputs [number, classes] of `model`, as if its last weights were larger by `moved`."""
    last = {id(variable) for variable in model.weights[-4:]}

    def value(variable):
        moves = moved and id(variable) in last and "float" in variable.dtype
        return variable.value + moved if moves else variable.value

    outputs = stateless_outputs(model, keras.ops.convert_to_tensor(images), value=value)
    return np.float32(keras.ops.convert_to_numpy(outputs))


def classifies(network, dataset):
    """Whether the classes of `network` can be those of `dataset`."""
    return network.output_shape[1:] == (dataset.num_classes,)


def check_images(network, dataset, name):
    """Refuses a network, called `name`, that does not take the images of `dataset`."""
    taken, given = network.input_shape[1:], tuple(dataset.image_shape)
    if len(taken) != 3 or any(t not in (None, g) for t, g in zip(taken, given)):
        raise UserError(
            f"{name} takes images of shape {taken}, but those of {dataset.name} have {given}"
        )


def check_same_images(teacher, student):
    """Refuses a teacher and a student that do not take the same images."""
    shapes = teacher.input_shape[1:], student.input_shape[1:]
    if any(
        None not in sizes and len(set(sizes)) > 1
        for sizes in itertools.zip_longest(*shapes, fillvalue=0)
    ):
        raise UserError(
            f"the teacher '{teacher.name}' takes images of shape {shapes[0]} and the student "
            f"'{student.name}' of {shapes[1]}: expected the same, for both see the same images"
        )


def check_apart(teacher, student):
    """Refuses a student whose training would move variables of the teacher."""
    own = {id(variable) for variable in teacher.variables}
    shared = [variable.path for variable in student.trainable_variables if id(variable) in own]
    if shared:
        raise UserError(
            f"the student '{student.name}' shares {shared[0]} with the teacher '{teacher.name}', "
            "which would be trained with it: build it of layers of its own, or set trainable = "
            "False on those that it shares"
        )


def check_classes(network, dataset, name):
    """Refuses a network, called `name`, that has other classes than `dataset`."""
    if not classifies(network, dataset):
        raise UserError(
            f"{name} has outputs of shape {network.output_shape[1:]}, but {dataset.name} has "
            f"{dataset.num_classes} classes"
        )


def check_student(student):
    """Refuses a network that does not map images of one size to logits."""
    check_weights(student, f"the student '{student.name}'")
    check_classifier(student, of_one_size=True)
    check_logits(student, "student")


def check_classifier(student, of_one_size=False):
    """Refuses a student that does not classify images, of any size or `of_one_size`."""
    images, classes = student.input_shape, student.output_shape
    if len(images) != 4 or (of_one_size and None in images[1:]):
        raise UserError(
            f"the student '{student.name}' takes inputs of shape {images}: expected images "
            "[batch, height, width, channels]" + " of one size" * of_one_size
        )
    if len(classes) != 2 or classes[1] is None:
        raise UserError(
            f"the student '{student.name}' has outputs of shape {classes}: expected logits "
            "[batch, classes]"
        )
    if classes[1] == 1:
        raise UserError(
            f"the student '{student.name}' has one output: expected logits, one output for each "
            "class, so two for labels 0 and 1"
        )
