"""A batch over two devices, or two processes, gives the update that it gives on one device."""

import numpy as np
import pytest
from command_line import cluster, together

# In a process of its own: devices and clusters are set before TensorFlow starts.
PROGRAM = """
import sys
import keras
import numpy as np
from command_line import devices
from skt_tf.utils.quiet import load_tensorflow

name, path, *asked = sys.argv[1:]
if name == "mirrored":
    devices(2)
load_tensorflow(name)

import skt_tf
from skt_tf.utils.distribution import distribution_strategy
from skt_tf.methods.catalogue import stages
from skt_tf.models.resnet import resnet_for
from skt_tf.training.kept_targets import keep_targets

data = skt_tf.load_dataset("digits")
kinds = {
    "kept": stages("skt")[0], "hint": stages("hint")[0],
    "gathered": skt_tf.sequence("task+sp+crd(negatives=64)")[0],
    # What compares the images of a batch, or remembers them, sees those of all devices.
    "losses": skt_tf.sequence(
        "task+dense+sp+pkt*3000+rkd+cc+vid+crd(negatives=64)+anchor*0.01"
    )[0],
}
strategy = distribution_strategy(name, 32)
found = {"replicas": strategy.num_replicas_in_sync}
for kind in asked:
    stage = kinds[kind]
    with strategy.scope():
        teacher, student = (resnet_for(data, 8, 4, seed) for seed in (1, 2))
        weights = skt_tf.normalized_flow_weights(
            teacher, skt_tf.dense_flows(), data.train_images[:100]
        )
        distiller = skt_tf.SequentialDistiller(
            teacher, student, stage, flow_weights=weights, weight_decay=1e-2, steps=10,
            hint_reduction="mean", number=len(data.train_labels),
        )
        # Of many losses the gradients are large, and so are the ends of what is rounded.
        rate = 0.004 if kind in ("losses", "gathered") else 0.02
        distiller.compile(keras.optimizers.SGD(rate, momentum=0.9))
    views, images = {}, data
    if kind == "kept":
        kept = keep_targets(teacher, stage.flows, data.first(64), 2, 0, path + ".float16")
        views, images = {"kept": kept, "flows": stage.flows}, kept.dataset
    if kind in ("losses", "gathered"):
        views["indices"] = True
    found[f"{kind}_start"] = np.concatenate([v.numpy().ravel() for v in student.variables])
    found[f"{kind}_losses"] = distiller.fit(
        skt_tf.training_batches(images, 32, 0, 10, **views), epochs=2, steps_per_epoch=5,
        verbose=0, shuffle=False,
    ).history["loss"]
    found[f"{kind}_end"] = np.concatenate([v.numpy().ravel() for v in student.variables])
np.savez(path, **found)
sys.exit()
"""


KINDS = ("kept", "hint", "losses")
# What gathers over processes; the experiment in test_distribution.py trains flows and a task there.
CLUSTERED = ("gathered",)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distribution")
    workers = (("multi_worker", folder / f"worker{k}.npz", *CLUSTERED) for k in range(2))
    done = [
        *together((("none", folder / "none.npz", *KINDS, *CLUSTERED), PROGRAM, {}), cwd=folder),
        *together((("mirrored", folder / "mirrored.npz", *KINDS), PROGRAM, {}), cwd=folder),
        *cluster(*workers, preludes=(PROGRAM, PROGRAM), cwd=folder),
    ]
    assert [code for _, _, code in done] == [0] * 4, [error[-2000:] for _, error, _ in done]
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        *(("mirrored", kind) for kind in KINDS),
        *((f"worker{k}", kind) for k in range(2) for kind in CLUSTERED),
    ],
)
def test_ten_steps_over_two_end_where_one_ends(other, kind, found):
    alone, shared = found["none"], found[other]
    assert (alone["replicas"], shared["replicas"]) == (1, 2)
    assert np.abs(alone[f"{kind}_end"] - alone[f"{kind}_start"]).max() > 1e-2
    np.testing.assert_allclose(shared[f"{kind}_end"], alone[f"{kind}_end"], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(shared[f"{kind}_losses"], alone[f"{kind}_losses"], rtol=1e-4)


OVERFLOW = """
import sys
from command_line import devices
devices(2)

import keras
import numpy as np
import tensorflow as tf
import skt_tf
from skt_tf.utils.distribution import distribution_strategy
from skt_tf.methods.catalogue import TASK

keras.config.set_dtype_policy("mixed_float16")
data = skt_tf.load_dataset("digits")


@tf.custom_gradient
def overflowing(kernel):
    # On the second replica, as a scale that has grown too large would.
    replica = tf.distribute.get_replica_context()
    number = replica.replica_id_in_sync_group if replica else 0  # None where layers are joined.
    factor = tf.where(tf.equal(number, 1), np.inf, 1.0)
    return tf.identity(kernel), lambda gradient: gradient * tf.cast(factor, gradient.dtype)


class Dense(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 10), name="kernel")

    def call(self, inputs):
        kernel = overflowing(tf.convert_to_tensor(self.kernel))
        return tf.matmul(inputs, tf.cast(kernel, inputs.dtype))


with distribution_strategy("mirrored", 32).scope():
    images = keras.Input(data.image_shape)
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    student = keras.Model(images, Dense()(flat))
    distiller = skt_tf.SequentialDistiller(None, student, TASK)
    distiller.compile(keras.optimizers.SGD(0.1))
before = student.get_weights()[0]
distiller.fit(skt_tf.training_batches(data, 32, 0, 3), steps_per_epoch=3, verbose=0, shuffle=False)
print("kept" if np.array_equal(before, student.get_weights()[0]) else "moved")
sys.exit()
"""


def test_an_overflow_on_one_device_skips_the_step_on_all(tmp_path):
    [(said, error, _)] = together(((), OVERFLOW, {}), cwd=tmp_path)
    assert said.split() == ["kept"], error[-2000:]


# What Keras and TensorFlow do in another way over several devices, beside one.
OTHERWISE = """
import contextlib
import sys
from command_line import devices
devices(2)

import keras
import numpy as np
import tensorflow as tf
import skt_tf
from skt_tf.methods.catalogue import TASK
from skt_tf.utils.distribution import distribution_strategy

tf.config.experimental.enable_op_determinism()
data = skt_tf.load_dataset("digits").first(320)
arrays = data.train_images, data.train_labels
found = {}


def network(normalized=True):
    keras.utils.set_random_seed(0)
    images = keras.Input(data.image_shape)
    maps = keras.layers.Conv2D(8, 3, name="conv")(keras.layers.Rescaling(1 / 255)(images))
    maps = keras.layers.BatchNormalization(momentum=0.9)(maps) if normalized else maps
    maps = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(maps))
    return keras.Model(images, keras.layers.Dense(10)(maps))


def weights(student):
    return np.concatenate([v.numpy().ravel() for v in student.variables])


class Killed(keras.callbacks.Callback):
    left = 6

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def distilled(devices, student=None, **options):
    options = {"task_steps": 12, "batch_size": 32, "evaluations": 1, "verbose": 0, **options}
    with distribution_strategy(("none", "mirrored")[devices - 1], 32).scope():
        student = student or network()
    return skt_tf.distill(None, student, arrays, method="baseline", **options)


for devices in (1, 2):
    whole = distilled(devices)
    found[f"alone_{devices}"], found["loss"] = weights(whole.student), whole.history["task"]["loss"]
    # An interval that is begun on so many devices and ended on others.
    folder = f"{sys.argv[1]}/{devices}"
    with contextlib.suppress(KeyboardInterrupt):
        distilled(devices, output_dir=folder, checkpoint_every="1", callbacks=[Killed()])
    ended = distilled(3 - devices, output_dir=folder)
    found[f"changed_{devices}"] = weights(ended.student)
    found[f"loss_{devices}"] = ended.history["task"]["loss"]
    # Over two devices, batches of two images and one: each image counts once.
    with distribution_strategy(("none", "mirrored")[devices - 1], 4).scope():
        distiller = skt_tf.SequentialDistiller(None, network(normalized=False), TASK)
        distiller.compile(keras.optimizers.SGD(0.5))
    uneven = tf.data.Dataset.from_tensor_slices(tuple(part[:6] for part in arrays)).batch(3)
    distiller.fit(uneven, verbose=0)
    found[f"uneven_{devices}"] = weights(distiller.student)
for number, options in enumerate((
    {"jit_compile": True}, {"optimizer": keras.optimizers.SGD(0.1, global_clipnorm=1.0)},
    {"optimizer": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)}, {"batch_size": 33},
    {"optimizer": keras.optimizers.SGD(0.1, clipvalue=0.1)},
)):
    try:
        distilled(2, **options)
    except skt_tf.utils.errors.UserError as error:
        found[f"refused_{number}"] = str(error)
# A student is known again by its layers, which are left as they were.
options = {"task_steps": 2, "batch_size": 32, "verbose": 0, "output_dir": sys.argv[1] + "/again"}
with distribution_strategy("mirrored", 32).scope():
    student = network()
    first = skt_tf.distill(None, student, arrays, method="baseline", **options)
again = skt_tf.distill(None, student, arrays, method="baseline", **options)
found["again"] = np.array([first.history == again.history, *(
    layer.synchronized for layer in student.layers if hasattr(layer, "synchronized")
)])
with tf.distribute.OneDeviceStrategy("CPU:0").scope():
    found["one_device"] = weights(distilled(1, network()).student)
np.savez(sys.argv[1] + "/found.npz", **found)
sys.exit()
"""


@pytest.fixture(scope="module")
def otherwise(tmp_path_factory):
    folder = tmp_path_factory.mktemp("otherwise")
    [(_, error, code)] = together(((str(folder),), OTHERWISE, {}), cwd=folder)
    assert code == 0, error[-2000:]
    return dict(np.load(folder / "found.npz"))


def test_an_ordinary_batch_normalisation_sees_the_whole_batch(otherwise):
    np.testing.assert_allclose(otherwise["alone_1"], otherwise["alone_2"], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(otherwise["one_device"], otherwise["alone_1"])


def test_what_was_begun_on_two_devices_ends_on_one_and_the_other_way_round(otherwise):
    for devices in (1, 2):
        expected = otherwise["alone_1"]
        np.testing.assert_allclose(otherwise[f"changed_{devices}"], expected, rtol=1e-3, atol=1e-5)
        # The mean over the whole interval.
        np.testing.assert_allclose(otherwise[f"loss_{devices}"], otherwise["loss"], rtol=1e-5)


def test_each_image_of_an_uneven_batch_counts_once(otherwise):
    np.testing.assert_allclose(otherwise["uneven_1"], otherwise["uneven_2"], rtol=1e-4, atol=1e-6)


def test_what_several_devices_cannot_do_as_one_is_refused(otherwise):
    said = [str(otherwise[f"refused_{number}"]) for number in range(5)]
    for text, begins in zip(said, (
        "jit_compile cannot compile", "the optimizer's global_clipnorm",
        "the optimizer's gradient_accumulation_steps", "batch_size=33 cannot be shared evenly",
        "the optimizer's clipvalue",
    )):  # fmt: skip
        assert text.startswith(begins)


def test_a_students_layers_are_left_as_they_were(otherwise):
    assert list(otherwise["again"]) == [True, False]
