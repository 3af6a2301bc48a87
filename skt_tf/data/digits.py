"""scikit-learn's handwritten digits."""

import numpy as np

from skt_tf.data.images import resized


def read(image_size=None):
    """((images, labels), (images, labels), class names, "test"): the training and the test part.

    1,797 digits of 8×8 grey pixels in a fixed, stratified split.
    """
    from sklearn import datasets, model_selection

    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    if image_size is not None:
        images = np.stack([resized(image, image_size) for image in images])
    train_images, test_images, train_labels, test_labels = model_selection.train_test_split(
        images, bunch.target, test_size=360, random_state=0, stratify=bunch.target
    )
    names = [str(digit) for digit in range(10)]
    return (train_images, train_labels), (test_images, test_labels), names
