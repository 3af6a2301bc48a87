"""The teacher's own accuracy, said before it teaches."""

import sys

import numpy as np


def say_teacher(accuracy, labels, classes, where, verbose=True, given=True):
    """Prints a teacher's own accuracy, and warns where one that is given may as well be guessing.

    Args:
        accuracy: the share of `labels` that it gives rightly.
        labels: integers [number].
        classes: number of classes.
        where: what images they are of.
        verbose: whether anything but a warning is printed.
        given: whether it was trained elsewhere, perhaps on images of another scale.
    """
    if verbose:
        print(f"teacher: {accuracy:.2%} of the {where} images")
    # By classes drawn at random, to two standard errors, or by one answer to all images.
    even, most = 1 / classes, np.bincount(labels).max() / len(labels)
    guessed = max(even + 2 * np.sqrt(even * (1 - even) / len(labels)), most)
    if given and accuracy <= guessed:
        print(
            f"skt_tf: warning: the teacher is right on {accuracy:.2%} of the {where} images, which "
            f"is not above chance (guessing gives up to {guessed:.2%} on {len(labels):,} images of "
            f"{classes} classes): give one that is trained, and images of the scale that it was "
            "trained on, such as 0…255 or 0…1",
            file=sys.stderr,
        )
