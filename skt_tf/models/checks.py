"""What a network must be: one input, which takes images, and one output, logits."""

import keras
import numpy as np

from skt_tf.utils.errors import UserError


def check_network(model):
    """Refuses what is not a built Keras model with one input and one output."""
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


def check_weights(model, name):
    """Refuses a network, called `name`, whose weights are not all numbers."""
    for variable in model.variables:
        if not np.isfinite(variable.numpy()).all():
            raise UserError(
                f"{name} holds weights that are NaN or infinite: expected a trained network"
            )


def check_logits(model, role):
    """Refuses outputs of which a loss or an export would take the softmax a second time."""
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    if isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax:
        raise UserError(
            f"the {role} '{model.name}' ends with a softmax: expected logits, from a last layer "
            "without an activation"
        )


def classifies(network, dataset):
    """Whether the classes of `network` can be those of `dataset`."""
    return network.output_shape[1:] == (dataset.num_classes,)


def check_images(network, dataset, name):
    """Refuses a network, called `name`, that does not take the images of `dataset`."""
    taken, given = network.input_shape[1:], dataset.image_shape
    if len(taken) != 3 or any(t not in (None, g) for t, g in zip(taken, given)):
        raise UserError(
            f"{name} takes images of shape {taken}, but those of {dataset.name} have {given}"
        )


def check_classes(network, dataset, name):
    """Refuses a network, called `name`, that has other classes than `dataset`."""
    if not classifies(network, dataset):
        raise UserError(
            f"{name} has outputs of shape {network.output_shape[1:]}, but {dataset.name} has "
            f"{dataset.num_classes} classes"
        )


def check_student(student, of_one_size=True):
    """Refuses a network that does not classify images, `of_one_size` or of any."""
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
    check_logits(student, "student")
