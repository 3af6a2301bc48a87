"""What a run needs of the machine, before it begins."""

import math
import os

import tensorflow as tf

from skt_tf.errors import UserError

_FLOAT = 4


def check_memory(config, image_shape):
    """Raises a ValueError where training cannot fit into this machine's memory.

    A lower bound, from the convolutions alone: gradients need their inputs and outputs, and
    each weight has a gradient and a momentum. A GPU's memory is its own and is not looked at,
    nor are networks that are given.
    """
    depths = [config.teacher_depth] * (not config.teacher)
    depths += [config.student_depth] * (not config.student)
    if tf.config.list_physical_devices("GPU") or not depths:
        return
    height, width, _ = image_shape
    blocks = (max(depths) - 2) // 6
    pixels, weights = height * width * config.width, 0
    for section in range(3):
        channels = config.width * 2**section
        maps = math.ceil(height / 2**section) * math.ceil(width / 2**section) * channels
        pixels += 2 * blocks * maps
        weights += 2 * blocks * 9 * channels**2
    needed = _FLOAT * (2 * config.batch_size * pixels + 3 * weights)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(
            f"--batch_size={config.batch_size} and --width={config.width} need "
            f"{needed / 1e9:,.0f} GB of memory or more, and this machine has "
            f"{there / 1e9:,.0f}: give less"
        )
