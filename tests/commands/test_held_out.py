"""Images, and the batches a stage is trained on."""

import numpy as np


def test_held_out_images_keep_each_class_s_share_and_are_not_trained_on(digits):
    held = digits.hold_out(144)
    assert len(held.validation_images) == len(held.validation_labels) == 144
    assert len(held.train_images) == len(digits.train_images) - 144
    together = sorted(
        (image.tobytes(), int(label))
        for images, labels in (
            (held.train_images, held.train_labels),
            (held.validation_images, held.validation_labels),
        )
        for image, label in zip(images, labels)
    )
    pairs = zip(digits.train_images, digits.train_labels)
    assert together == sorted((image.tobytes(), int(label)) for image, label in pairs)
    shares = np.bincount(digits.train_labels) * 144 / len(digits.train_labels)
    assert np.abs(np.bincount(held.validation_labels) - shares).max() < 1
    # The same ones every time, and the test images untouched.
    again = digits.hold_out(144)
    assert again.validation_images.tobytes() == held.validation_images.tobytes()
    assert held.test_images is digits.test_images
    assert held.watched == (held.validation_images, held.validation_labels)
    assert digits.watched == (digits.test_images, digits.test_labels)
