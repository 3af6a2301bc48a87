"""What the project computes, written once more without it; and networks, compared."""

import numpy as np


def softmax(logits):
    """Probabilities [number, classes] in float64."""
    logits = np.float64(logits)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def values(network):
    return [variable.numpy() for variable in network.variables]


def same(first, second):
    """Whether two lists of arrays are equal byte for byte."""
    return [a.tobytes() for a in first] == [b.tobytes() for b in second]
