"""The batches a stage is trained on: order and augmentation, in the graph."""

import numpy as np
import tensorflow as tf

from skt_tf.data import crops
from skt_tf.data.lazy_images import LazyImages, cropped, gathered
from skt_tf.data.strong_views import strengthened

EVALUATION_BATCH = 500


def training_batches(
    dataset,
    batch_size,
    seed,
    steps,
    *,
    stream=0,
    start=0,
    kept=None,
    flows=(),
    indices=False,
    second=False,
):
    """Shuffled, augmented training batches for the iterations `start` … `steps` − 1.

    A batch depends on (seed, stream, iteration) alone, so a stage can go on anywhere. Every
    image is drawn once an epoch; then each is padded by an eighth of its size (4
    pixels for 32×32) with the mean colour, cropped at random back to its size, and
    mirrored at random, as far as the dataset allows it, all drawn for each image and in
    the graph. Images that stream are read as they are drawn, and come out the same.

    Args:
        dataset: a `Dataset`.
        batch_size: images a batch.
        seed: integer below 2³¹ for order and augmentation.
        steps: iterations of the stage.
        stream: integer below 2³¹; each draws its own batches from one seed.
        start: first iteration, for going on.
        kept: `KeptTargets`, whose views of the images take the place of newly drawn ones.
        flows: flows of `kept` that the batches carry.
        indices: whether a further part is {"indices": the numbers of the images, [batch] int64}.
        second: likewise with {"second": other crops of the same images, strongly augmented}.

    Returns:
        A `tf.data.Dataset` of (images [batch, height, width, channels] uint8,
        labels [batch] int32), and with `kept` a third part, the tuple of the
        teacher's FSP matrices [batch, m, n] float32 of `flows`.
    """
    _, labels = dataset.tensors
    _colour(dataset)  # Before there is a graph.
    number = len(dataset.train_labels)

    def batch(step):
        order, key = tf.unstack(tf.random.split([seed, stream], 2))
        chosen, epoch = draw_images(step, batch_size, number, order)
        if kept is None:
            moves = draw_moves(batch_size, dataset, tf.random.fold_in(key, step))
        else:
            moves = kept.moves(chosen, epoch)
        data = views(dataset, chosen, moves), tf.gather(labels, chosen)
        if kept is not None:
            data = *data, kept.matrices(chosen, epoch, flows)
        beside = {"indices": chosen} if indices else {}
        if second:
            draws = tf.random.fold_in(key, step)
            crop, strong = tf.unstack(tf.random.split(draws, 2))
            other = views(dataset, chosen, draw_moves(batch_size, dataset, crop))
            beside["second"] = strengthened(other, strong)
        return (*data, beside) if beside else data

    return over_steps(batch, start, steps)


def over_steps(batch, start, steps):
    """A `tf.data.Dataset` of `batch(step)` for the iterations `start` … `steps` − 1."""
    # To convert code that has no `if` of tensors takes most of a second in each process.
    batch = tf.autograph.experimental.do_not_convert(batch)
    # On a CPU, the cores have the networks to run.
    parallel = tf.data.AUTOTUNE if tf.config.list_physical_devices("GPU") else 1
    return (
        tf.data.Dataset.range(start, steps)
        .map(batch, num_parallel_calls=parallel, deterministic=True)
        .prefetch(4)
    )


def draw_images(step, batch_size, number, order):
    """Which of `number` images the batch of an iteration has; every one comes once an epoch.

    Args:
        step: the iteration, an int64 tensor.
        batch_size: images a batch.
        number: of all images.
        order: [2], int32, the seed of the order.

    Returns:
        Indices and epochs, [batch] int64 each.
    """
    position = step * batch_size + tf.range(batch_size, dtype=tf.int64)
    epoch = position // number
    # An own permutation of all images for each epoch, without storing one. The raw
    # op, since tf.random.experimental.index_shuffle mishandles a vector of seeds.
    seeds = tf.concat(
        [tf.tile(order[None], [batch_size, 1]), tf.cast(epoch, tf.int32)[:, None]], axis=1
    )
    chosen = tf.raw_ops.RandomIndexShuffle(
        index=position % number, seed=seeds, max_index=number - 1, rounds=8
    )
    return chosen, epoch


def evaluation_batches(images, labels):
    """A `tf.data.Dataset` of all (images, labels) in their order, `EVALUATION_BATCH` at a time."""
    if not isinstance(images, LazyImages):
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(EVALUATION_BATCH)
    rows = tf.data.Dataset.range(len(labels)).batch(EVALUATION_BATCH)
    return rows.map(lambda rows: (gathered(images, rows), tf.gather(labels, rows))).prefetch(1)


def views(dataset, chosen, moves):
    """Training images, cropped and mirrored: [batch, height, width, channels], uint8.

    Args:
        dataset: a `Dataset`.
        chosen: indices of its training images, integers [batch].
        moves: of `draw_moves`.
    """
    images, _ = dataset.tensors
    if dataset.crop == "resized":
        return cropped(images, chosen, moves, dataset.mirrored)
    return move(gathered(images, chosen), moves, dataset)


def draw_moves(number, dataset, seed):
    """Draws how to crop and mirror each of `number` images.

    Args:
        number: images.
        dataset: the `Dataset` they are from.
        seed: [2], integers; the draw depends on nothing else.

    Returns:
        [number, 3], int32: the crop's top and left, and 1 where the image is mirrored; for
        resized crops [number, `crops.DRAWS`], uint32, since they depend on an image's size.
    """
    if dataset.crop == "resized":
        return tf.random.stateless_uniform([number, crops.DRAWS], seed, None, None, tf.uint32)
    margin = _margin(dataset)
    limits = tf.constant([2 * margin + 1, 2 * margin + 1, 2 if dataset.mirrored else 1])
    # One word of random bits for each number; the bias of the remainder is below 10⁻⁸.
    bits = tf.random.stateless_uniform([number, 3], seed, None, None, tf.uint32)
    return tf.cast(bits % tf.cast(limits, tf.uint32), tf.int32)


def move(images, moves, dataset):
    """Pads images with the mean colour, crops and mirrors them as drawn by `draw_moves`.

    Args:
        images: [batch, height, width, channels], uint8.
        moves: [batch, 3], int32.
        dataset: the `Dataset` they are from.

    Returns:
        As `images`.
    """
    height, width, channels = images.shape[1:]
    margin = _margin(dataset)
    if not margin and not dataset.mirrored:
        return images
    padded = images
    if margin:
        colour = _colour(dataset)
        padding = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
        # tf.pad has one constant for all channels: shift each channel's padding to zero.
        padded = tf.pad(images - colour, padding) + colour
    tops, lefts, mirrored = tf.split(moves, 3, axis=1)
    rows, columns = tops + tf.range(height), tf.range(width)
    columns = lefts + tf.where(mirrored == 1, width - 1 - columns, columns)
    # One gather of whole pixels.
    pixels = rows[:, :, None] * (width + 2 * margin) + columns[:, None, :]
    flat = tf.reshape(padded, [-1, (height + 2 * margin) * (width + 2 * margin), channels])
    return tf.ensure_shape(tf.gather(flat, pixels, axis=1, batch_dims=1), images.shape)


def _colour(dataset):
    """What is padded with, [channels], uint8; None where nothing is."""
    return np.rint(dataset.mean).astype(np.uint8) if _margin(dataset) else None


def _margin(dataset):
    return round(min(dataset.image_shape[:2]) / 8) if dataset.crop == "pad" else 0
