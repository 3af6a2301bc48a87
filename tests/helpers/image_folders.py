"""Folders of drawn images."""

import numpy as np
from PIL import Image

SIZES = ((20, 28), (20, 28), (25, 31), (40, 22))  # (height, width)


def draw(height, width, shade, channels=None):
    random = np.random.default_rng(shade)
    shape = (height, width) if channels is None else (height, width, channels)
    return random.normal(shade, 15, shape).clip(0, 255).astype(np.uint8)


def write(folder, sizes=SIZES, ending="jpg", channels=None, classes=("dark", "light")):
    for part in ("train", "test"):
        for number, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for k in range(16 if part == "train" else 4):
                pixels = draw(*sizes[k % len(sizes)], 40 + 130 * number + k, channels)
                Image.fromarray(pixels).save(folder / part / name / f"{k:02}.{ending}", quality=95)
    return folder
