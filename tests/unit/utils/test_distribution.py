"""A batch over two devices, or two processes, gives the update that it gives on one device."""

import tensorflow as tf

from skt_tf.utils.distribution import distribution_strategy


def test_auto_is_one_device_where_there_are_no_gpus():
    if not tf.config.list_physical_devices("GPU"):
        assert distribution_strategy("auto", 7) is tf.distribute.get_strategy()
