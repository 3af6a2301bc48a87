"""Softmax outputs and accuracies of networks, and of several together."""

import numpy as np
import tensorflow as tf

from skt_tf.data.batches import EVALUATION_BATCH
from skt_tf.data.lazy_images import slices
from skt_tf.utils.errors import UserError


def probabilities(network, images):
    """Softmax outputs of `network` for images: [number, classes], float32, NumPy."""
    return in_batches(softmax_of(network), images)


def in_batches(outputs, images):
    """What `outputs`, a function of a batch of images, gives for all of them."""
    return np.concatenate([outputs(batch) for batch in slices(images, EVALUATION_BATCH)])


def softmax_of(network):
    """A function of a batch of images to the softmax outputs of `network`, as NumPy."""

    # A graph, since outside of one Keras holds the maps of all layers until the last is done.
    # And not that of `predict`, whose copies of the images would take as much again.
    @tf.function(autograph=False, reduce_retracing=True)
    def outputs(batch):
        return tf.nn.softmax(tf.cast(network(batch, training=False), tf.float32))

    return lambda batch: outputs(batch).numpy()


def stateless_outputs(network, batch, training=False, value=lambda variable: variable.value):
    """Outputs of `network` for a batch, of which nothing changes: no statistics, no seed.

    Args:
        network: a `keras.Model`.
        batch: as it takes it.
        training: whether it normalises by the batch.
        value: a function of a variable to the value that it is to have.
    """
    groups = network.trainable_variables, network.non_trainable_variables
    values = [[value(variable) for variable in group] for group in groups]
    return network.stateless_call(*values, batch, training=training)[0]


def accuracy_over(network, batches):
    """The share of images whose most probable class is their label, and these labels.

    Args:
        network: a `keras.Model`.
        batches: an iterable of (images, labels), or with weights, which do not count.

    Returns:
        A float, and integers [number].
    """
    outputs, found = softmax_of(network), []
    for images, labels, *_ in batches:
        found.append((np.argmax(outputs(images), axis=1), np.ravel(labels)))
    if not found:
        raise UserError(
            "validation_data has no images the second time: expected images that can be gone "
            "through again"
        )
    answers, labels = (np.concatenate(parts) for parts in zip(*found))
    return float(np.mean(answers == labels)), labels


def accuracy(network, images, labels):
    """The share of images whose most probable class is their label."""
    return ensemble_accuracy([probabilities(network, images)], labels)


def ensemble_accuracy(outputs, labels):
    """The share of images whose most probable class is their label, by several nets together.

    Args:
        outputs: softmax outputs of each net, [number, classes] each; their mean decides.
        labels: integers [number].
    """
    return float(np.mean(np.mean(outputs, axis=0).argmax(1) == labels))


def accuracies(network, dataset):
    """Shares of images that are classified rightly, those of the test set read only here."""
    found = {"accuracy": accuracy(network, dataset.test_images, dataset.test_labels)}
    if dataset.validation_images is not None:
        found["validation_accuracy"] = accuracy(network, *dataset.watched)
    return found
