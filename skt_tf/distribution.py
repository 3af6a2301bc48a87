"""`--distribution`: over which devices a batch is spread."""

import tensorflow as tf

from skt_tf.errors import UserError


def distribution_strategy(name, batch_size):
    """The `tf.distribute.Strategy` for one of `none`, `mirrored` and `auto`.

    Args:
        name: `"mirrored"` spreads each batch over all GPUs, or all logical CPUs where there
            are none; `"auto"` does so where there are several GPUs.
        batch_size: images of a whole batch.

    Returns:
        A strategy; the default one, of one device, for `"none"`.

    Raises:
        ValueError: a batch that the devices cannot share evenly.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    if batch_size % len(devices):
        raise UserError(
            f"--batch_size={batch_size} cannot be shared evenly by {len(devices)} devices: "
            "expected a multiple"
        )
    # Not the default, collectives: they are numbered as each replica's thread meets them, and the
    # gradients of synchronised batch statistics are not met in the same order by all.
    nccl = len(gpus) > 1
    reduction = tf.distribute.NcclAllReduce() if nccl else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([d.name for d in devices], cross_device_ops=reduction)
