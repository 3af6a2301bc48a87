"""The second experiment, from the command line: three nets a method, as deep as the teacher."""

import numpy as np
import pytest
import tensorflow as tf

from skt_tf.models.evaluation import ensemble_accuracy, probabilities


def test_an_ensemble_of_hand_made_logits():
    # Two nets are mildly wrong on the first image and one is surely right; of the second all are
    # right; of the third each votes for a class of its own, the surest for the right one.
    logits = np.log(
        [
            [[0.6, 0.4, 1e-9], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]],
            [[0.6, 0.4, 1e-9], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3]],
            [[0.1, 0.9, 1e-9], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]],
        ]
    ).astype(np.float32)
    nets = [lambda batch, training, one=one: tf.gather(one, batch[:, 0]) for one in logits]
    images, labels = np.arange(3)[:, None], np.array([1, 1, 2])
    outputs = [probabilities(net, images) for net in nets]
    assert ensemble_accuracy(outputs, labels) == 1.0
    assert [ensemble_accuracy([one], labels) for one in outputs] == pytest.approx([1 / 3, 1 / 3, 1])
    votes = np.array([one.argmax(1) for one in outputs])
    assert (votes[:, 0] == 0).sum() == 2  # A vote would have been wrong.
