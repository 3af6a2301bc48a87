"""What a log says of images is of each of them once, however the last batch falls on devices."""

import json

from command_line import together

PROGRAM = """
import json
import sys
from command_line import devices
devices(3)

import keras
import numpy as np
import tensorflow as tf
import skt_tf
from skt_tf.models.evaluation import accuracy
from skt_tf.utils.distribution import distribution_strategy

data, found = skt_tf.load_dataset("digits"), []
with distribution_strategy("mirrored", 12).scope():
    teacher, student = (skt_tf.resnet(8, 10, data.image_shape, 2, seed=k) for k in (1, 2))
    distiller = skt_tf.SequentialDistiller(teacher, student, skt_tf.stages("kd")[-1])
    distiller.compile(keras.optimizers.SGD(0.001))
for number in (31, 33):
    images, labels = data.test_images[:number], data.test_labels[:number]
    history = distiller.fit(
        skt_tf.training_batches(data, 12, 0, 2), steps_per_epoch=2, verbose=0, shuffle=False,
        validation_data=tf.data.Dataset.from_tensor_slices((images, labels)).batch(16),
    ).history
    logits = student(images.astype(np.float32), training=False)
    loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    found.append([history["val_accuracy"][0], accuracy(student, images, labels)])
    found.append([history["val_loss"][0], float(np.mean(loss))])
print(json.dumps(found))
sys.exit()
"""


def test_a_last_batch_counts_as_many_images_as_it_has(tmp_path):
    [(said, error, code)] = together(((), PROGRAM, {}), cwd=tmp_path)
    assert code == 0, error[-2000:]
    found = json.loads(said.splitlines()[-1])
    assert len(found) == 4
    for logged, right in found:
        assert abs(logged - right) < 1e-5 * max(1, right), found
