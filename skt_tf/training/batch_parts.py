"""What a batch holds, and how losses of its images become one number."""

import tensorflow as tf

from skt_tf.utils.errors import UserError


def weighted_mean(weights, values):
    """The mean of `values` [batch], each times its weight, over all of them, as Keras' losses."""
    if values.shape.rank == 0:  # Of the batch as a whole.
        if weights is None:
            return values
        refuse_weights()
    return tf.reduce_mean(values if weights is None else weights * values)


def refuse_weights():
    """Raises the ValueError of weights beside a loss that compares images."""
    raise UserError(
        "weights of images were given to a loss that compares the images of a batch with one "
        "another: leave the weights out, or take other losses"
    )


def parts_of(data):
    """(images, labels, weights or None, kept targets or None, {name: what comes beside them})."""
    images, labels, *further = data if isinstance(data, tuple) and len(data) > 1 else (data, None)
    beside = next((part for part in further if isinstance(part, dict)), {})
    further = [part for part in further if part is not None and part is not beside]
    # Weights are a tensor where kept targets are a tuple of them.
    targets = next((part for part in further if isinstance(part, tuple)), None)
    weights = next((part for part in further if tf.is_tensor(part)), None)
    if labels is None or len(further) > (weights is not None) + (targets is not None):
        raise UserError("expected batches of (images, labels), or (images, labels, weights)")
    if weights is not None:
        weights = tf.reshape(tf.cast(weights, tf.float32), [-1])
    if labels.shape.rank == 2 and labels.shape[1] == 1:
        labels = tf.squeeze(labels, axis=1)  # As keras.datasets has them.
    if labels.shape.rank != 1 or not labels.dtype.is_integer:
        raise UserError(
            f"labels have shape {labels.shape} and dtype {labels.dtype.name}: expected one class "
            "number for each image, [batch], integers"
        )
    if labels.dtype not in (tf.int32, tf.int64):  # As which TensorFlow's losses take them.
        labels = tf.cast(labels, tf.int32)
    return images, labels, weights, targets, beside


def asked_for(objective, beside, stage):
    """What an objective asks for, {name: value}, of what comes `beside` images and labels."""
    asked = getattr(objective, "beside", ())
    if missing := set(asked) - beside.keys():
        what = {"indices": "the numbers of its images", "second": "a second view of its images"}
        raise UserError(
            f"stage '{stage}' needs {what[min(missing)]} beside each batch, which the images that "
            "are given do not have: give a skt_tf.Dataset to distill, or to fit its "
            f"skt_tf.training_batches(…, {', '.join(f'{name}=True' for name in sorted(asked))})"
        )
    return {name: beside[name] for name in asked}
