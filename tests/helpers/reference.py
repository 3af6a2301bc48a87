"""What the project computes, written once more without it."""

import numpy as np


def softmax(logits):
    """Probabilities [number, classes] in float64."""
    logits = np.float64(logits)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
