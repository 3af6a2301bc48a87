"""`--distribution`: over which devices and processes a batch is spread."""

import contextlib
import functools
import json
import os
import re
import zlib

import tensorflow as tf

from skt_tf.utils.errors import UserError, one_line, option
from skt_tf.utils.signals import ending_at_once


def distribution_strategy(name, batch_size):
    """The `tf.distribute.Strategy` for one of `none`, `mirrored`, `multi_worker` and `auto`.

    Args:
        name: `"mirrored"` spreads each batch over all GPUs, or all logical CPUs where there
            are none; `"auto"` does so where there are several GPUs; `"multi_worker"` spreads it
            over the processes that TF_CONFIG names, of one GPU or CPU each.
        batch_size: images of a whole batch.

    Returns:
        A strategy; the default one, of one device, for `"none"`.

    Raises:
        ValueError: a batch that the devices cannot share evenly; no cluster in TF_CONFIG, or a
            worker of several GPUs.
    """
    strategy = join_cluster() if name == "multi_worker" else _mirrored(name)
    check_even(batch_size, strategy)
    return strategy


def check_even(batch_size, strategy):
    """Raises a ValueError where the devices of `strategy` cannot share a batch evenly."""
    devices = strategy.num_replicas_in_sync
    if batch_size % devices:
        raise UserError(
            f"{option('batch_size')}={batch_size} cannot be shared evenly by {devices} devices: "
            "expected a multiple"
        )


def _mirrored(name):
    gpus = tf.config.list_logical_devices("GPU")
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    # Not the default, collectives: they are numbered as each replica's thread meets them, and in
    # one process the gradients of synchronised batch statistics are not met in one order by all.
    nccl = len(gpus) > 1
    reduction = tf.distribute.NcclAllReduce() if nccl else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([d.name for d in devices], cross_device_ops=reduction)


@functools.cache
def join_cluster():
    """The strategy of the cluster in TF_CONFIG; waits until all of its workers are there.

    It must come before any other work of TensorFlow in the process.
    """
    cluster, task = _cluster(os.environ.get("TF_CONFIG"))
    own = cluster[task["type"]][task["index"]]
    number = sum(map(len, cluster.values()))
    print(f"{task['type']} {task['index']}, one of {number}: waiting for all", flush=True)
    try:
        with ending_at_once():  # TensorFlow waits where no signal is looked at.
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UserError(
            f"the cluster of TF_CONFIG cannot be joined as {own} ({one_line(error)}): expected a "
            "free port of this machine, and workers that all start"
        ) from None
    if len(strategy.extended.worker_devices) > 1:
        # Its collectives cannot be exchanged; see `_mirrored`.
        raise UserError(
            f"this worker sees {len(strategy.extended.worker_devices)} GPUs: start one worker for "
            "each, and show it that one with CUDA_VISIBLE_DEVICES"
        )
    return strategy


def _cluster(text):
    """(cluster, task) of a TF_CONFIG; raises a ValueError that says which part of it is wrong."""
    try:
        settings = json.loads(text or "")
        wrong = next((said for said, sound in _parts(settings) if not sound), None)
        if wrong is None:
            return settings["cluster"], settings["task"]
    except json.JSONDecodeError as error:
        wrong = "is not set"
        if text:
            wrong = f"is no JSON at character {error.pos + 1}: {text[error.pos : error.pos + 20]!r}"
    example = {
        "cluster": {"worker": ["host1:2222", "host2:2222"]},
        "task": {"type": "worker", "index": 0},
    }
    raise UserError(
        f"{option('distribution')}=multi_worker needs the environment variable TF_CONFIG, which "
        f"{wrong}: expected one that differs in 'index' from worker to worker, such as "
        f"TF_CONFIG='{json.dumps(example)}'"
    )


def _parts(settings):
    """Yields, part after part of a TF_CONFIG, what is wrong with it, and whether it is sound."""
    yield "is no JSON object", isinstance(settings, dict)
    for name in ("cluster", "task"):
        yield f"has no object '{name}'", isinstance(settings.get(name), dict)
    cluster, task = settings["cluster"], settings["task"]
    yield "has an empty 'cluster'", cluster
    for kind, addresses in cluster.items():
        yield (
            f"has '{kind}' in 'cluster', where only chief and worker work",
            kind in ("chief", "worker"),
        )
        is_list = isinstance(addresses, list) and addresses
        yield f"has no list of addresses as '{kind}' of 'cluster'", is_list
        for address in addresses:
            parts = re.fullmatch(r"\S+:(\d{1,5})", address) if isinstance(address, str) else None
            sound = parts and 0 < int(parts[1]) < 2**16
            yield f"has the address {address!r} of a {kind}, which is no host:port", sound
    yield "has several addresses of chief: expected one", len(cluster.get("chief", [0])) == 1
    addresses = [address for group in cluster.values() for address in group]
    for address in addresses:
        yield f"has the address {address!r} twice", addresses.count(address) == 1
    kind, index = task.get("type"), task.get("index")
    yield f"has the task type {kind!r}, which 'cluster' lacks", kind in [*cluster]
    number = len(cluster[kind])
    sound = type(index) is int and 0 <= index < number
    yield f"has the task index {index!r}: there are {number} of {kind}, counted from 0", sound


def several_workers(strategy):
    """Whether `strategy` spreads a batch over more than this process."""
    multi_worker = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return multi_worker and strategy.num_replicas_in_sync > 1


def one_image_or_more(images):
    """`images` [batch, …] of this device, or one of zeros where it has none.

    A last batch may have fewer images than there are devices, and TensorFlow's kernels want one.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return images
    missing = tf.cast(tf.shape(images)[0] == 0, tf.int32)
    return tf.pad(images, [[0, missing], *[[0, 0]] * (len(images.shape) - 1)])


def share_of(images):
    """The share of the batch that this replica has, where it has `images` [batch, …]."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if images.shape[0] or replicas == 1:  # Batches of one size are cut evenly.
        return 1 / replicas
    number = tf.cast(tf.shape(images)[0], tf.float32)
    return number / tf.distribute.get_replica_context().all_reduce("SUM", number)


def share_overflow(gradients):
    """Makes an overflow on one replica one on all.

    The optimizer skips a step whose gradients are not finite, but looks at those of one replica
    before they are added up.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return gradients
    mark = replica.all_reduce("SUM", mark_of(gradients))
    return [
        gradient if gradient is None else gradient + tf.cast(mark, gradient.dtype)
        for gradient in gradients
    ]


def mark_of(gradients):
    """0, or not a number where `gradients` hold what is none."""
    parts = [tf.cast(part, tf.float32) for part in gradients if part is not None]
    return 0 * tf.add_n([tf.reduce_sum(part) for part in parts])


def is_chief(strategy):
    """Whether this process writes the files: all do but the further workers of a cluster."""
    return not several_workers(strategy) or strategy.extended.should_checkpoint


def all_agree(strategy, text=""):
    """Waits for all workers of `strategy`; returns whether they have all come with one text."""
    if not several_workers(strategy):
        return True
    number = zlib.crc32(text.encode())
    mean = total_over_workers(strategy, number) / strategy.num_replicas_in_sync
    agreed = total_over_workers(strategy, abs(number - mean)) == 0
    if not agreed:  # All are about to stop.
        _let_all_hear(strategy)
    return agreed


def wait_for_the_last(strategy):
    """Waits until all workers of `strategy` have come to their end."""
    total_over_workers(strategy, 0)
    _let_all_hear(strategy)


def _let_all_hear(strategy):
    """Waits until all workers know the last total: one that ended sooner would look lost."""
    # Of this one nobody needs to know: whoever hears sooner may be gone before another does.
    with contextlib.suppress(tf.errors.UnavailableError, tf.errors.AbortedError):
        total_over_workers(strategy, 0)


def total_over_workers(strategy, number):
    """Waits for all workers of `strategy`; returns the sum of their numbers."""
    if not several_workers(strategy):
        return number
    return float(_total(strategy)(tf.constant(number, tf.float64)))


@functools.cache
def _total(strategy):
    # Made once: it is traced when it is first called.
    @tf.function(autograph=False)
    def total(number):
        return strategy.reduce("SUM", strategy.run(tf.identity, args=(number,)), axis=None)

    return total


def strategy_of(teacher, student):
    """The `tf.distribute.Strategy` that the student was made in, as in `fit`, or the default."""
    weights = [network.weights if network else () for network in (teacher, student)]
    other, made = (
        getattr(some[0].value, "distribute_strategy", None) if some else None for some in weights
    )
    if other is not None and other is not made:
        raise UserError(
            f"the teacher '{teacher.name}' was made in the scope of a tf.distribute.Strategy that "
            f"the student '{student.name}' was not made in: make both in one"
        )
    current = tf.distribute.get_strategy()
    # What is made in a strategy of one device does not show it.
    differ = current is not made and (made is not None or current.num_replicas_in_sync > 1)
    if differ and tf.distribute.has_strategy():
        raise UserError(
            "distill is called in the scope of a tf.distribute.Strategy that the student was not "
            "made in: make it there, or call distill outside of the scope"
        )
    return current if made is None else made
