"""Where the time of a transfer step goes, operation by operation.

    python -m docs.results.profile [PRECISION]

26 layers teach 8 on CIFAR-10's shapes, batch 128, dense flows, with the teacher's targets
recomputed and kept: milliseconds of each kind of operation, from TensorFlow's profiler. PRECISION
is the student's, a policy of Keras such as mixed_bfloat16; float32 if not given.
"""

import collections
import glob
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import skt_tf

BATCH, WARM_UP, STEPS, SHOWN = 128, 5, 20, 11
# What the executor does around the operations.
AROUND = ("Process", "Run")


def busy(folder):
    """{kind of operation: seconds on all threads}, of what the profiler wrote to `folder`."""
    (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    seconds = collections.Counter()
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                # An operation's event is called name:Kind; Kind says where it is oneDNN's.
                name, colon, kind = names[event.metadata_id].rpartition(":")
                kind = kind.removeprefix("_Mkl").removeprefix("Native")
                if colon and kind.isalnum() and kind not in AROUND and "::" not in name:
                    seconds[kind] += event.duration_ps / 1e12
    return seconds


def main():
    """Prints the two tables."""
    keras.config.set_dtype_policy(sys.argv[1] if len(sys.argv) > 1 else "float32")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH, 32, 32, 3), np.uint8)
    labels = random.integers(0, 10, BATCH).astype(np.int32)
    normalization = ([125.0] * 3, [4000.0] * 3)
    stage = skt_tf.stages("skt")[1]
    for kept in (False, True):
        teacher, student = (
            skt_tf.resnet(depth, 10, normalization=normalization, seed=1) for depth in (26, 8)
        )
        frozen = skt_tf.fold_batch_norm(teacher)
        weights = skt_tf.normalized_flow_weights(teacher, stage.flows, images)
        distiller = skt_tf.SequentialDistiller(frozen, student, stage, flow_weights=weights)
        distiller.compile(keras.optimizers.SGD(1e-6, momentum=0.9))
        batch = (images, labels)
        if kept:
            batch += (tuple(distiller.teacher_view(images)),)
        data = tf.data.Dataset.from_tensors(batch).repeat()
        distiller.fit(data, steps_per_epoch=WARM_UP, shuffle=False, verbose=0)
        with tempfile.TemporaryDirectory() as folder:
            with tf.profiler.experimental.Profile(folder):
                distiller.fit(data, steps_per_epoch=STEPS, shuffle=False, verbose=0)
            seconds = busy(folder)
        print(f"\n{'targets kept' if kept else 'targets recomputed'}\n")
        print("| operation | ms a step | % |\n|---|---:|---:|")
        total = seconds.total()
        for kind, value in [*seconds.most_common(SHOWN), ("all", total)]:
            print(f"| {kind} | {1000 * value / STEPS:.1f} | {100 * value / total:.0f} |")


if __name__ == "__main__":
    main()
