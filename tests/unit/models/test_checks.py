"""What a network must be: one input, which takes images, and one output, logits."""

import keras
import numpy as np
import pytest
from keras import layers
from sentences import refused

from skt_tf.models.checks import check_images, check_logits, check_network, check_student

constant, third = (keras.initializers.Constant(value) for value in (0.3, 1 / 3))
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 1), dtype=np.uint8)


def test_what_classifies_no_images_is_refused():
    inputs = keras.Input((None, None, 3))
    for network in (
        keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)),
        keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 3)]),
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]),
        keras.Sequential(
            [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
        ),
    ):
        with refused("expected"):
            check_student(network)


@pytest.mark.parametrize(
    ("shape", "says"),
    [((8, 8, 3), r"\(8, 8, 3\), but those of digits have \(8, 8, 1\)"), ((9, 8, 1), "")],
)
def test_a_network_of_other_images_is_refused_by_its_name(shape, says, network, digits):
    with refused(f"^--teacher=mine takes images of shape .*{says}"):
        check_images(network(1, shape=shape), digits, "--teacher=mine")


def test_images_of_any_size_fit(digits):
    images = keras.Input((None, None, 1))
    any_size = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    check_images(any_size, digits, "--teacher=mine")


def test_what_is_no_network_of_one_input_and_one_output_is_refused(teacher):
    named = keras.Model({"images": teacher.input}, {"logits": teacher.output})
    for network, says in (
        ("teacher.keras", "is a str: expected a keras"),
        (keras.Sequential([keras.layers.Dense(2)]), "0 inputs and 0 outputs"),
        (named, "a dict"),
    ):
        with refused(says):
            check_network(network)


def ending_in(ending, classes=3, **options):
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(images))
    return keras.Model(images, ending(layers.Dense(classes, **options)(layers.Flatten()(x))))


def nested(logits):
    inner = keras.Input(logits.shape[1:])
    return keras.Model(inner, layers.Softmax()(inner))(logits)


def shares(logits):
    powers = keras.ops.exp(logits)
    return powers / keras.ops.sum(powers, axis=-1, keepdims=True)


SOFTMAX = {
    "operation": keras.ops.softmax,
    "activation": layers.Activation(keras.activations.softmax),
    "half precision": layers.Softmax(dtype="bfloat16"),
    "nested": nested,
    "then linear": lambda x: layers.Activation("linear")(layers.Softmax()(x)),
    "then dropout": lambda x: layers.Dropout(0.5)(layers.Softmax()(x)),
    "by hand": shares,
    "in percent": lambda x: layers.Rescaling(100.0)(layers.Softmax()(x)),
    "by half": lambda x: layers.Rescaling(0.5)(layers.Softmax()(x)),
}
SIGMOID = {
    "sigmoid": layers.Activation("sigmoid"),
    "clipped": lambda x: keras.ops.clip(x, 0, 1),
}


@pytest.mark.parametrize("images", [None, IMAGES, IMAGES / 255])
def test_probabilities_are_refused_however_they_are_spelled(images):
    for kind, endings in (("softmax", SOFTMAX), ("sigmoid", SIGMOID)):
        for ending in endings.values():
            with refused(f"the teacher .* {kind}: expected logits.* images"):
                check_logits(ending_in(ending, classes=5), "teacher", images)


@pytest.mark.parametrize(
    "logits",
    [
        ending_in(lambda x: x),
        ending_in(lambda x: x, kernel_initializer="zeros"),
        ending_in(lambda x: x, kernel_initializer="zeros", use_bias=False),
        ending_in(lambda x: x, kernel_initializer="zeros", bias_initializer=constant),
        ending_in(lambda x: layers.BatchNormalization(gamma_initializer="zeros")(x)),
        ending_in(lambda x: x, kernel_initializer="zeros", bias_initializer=third),
        ending_in(lambda x: x, dtype="float16"),
        ending_in(keras.ops.log_softmax),
    ],
)  # fmt: skip
def test_logits_pass_where_they_happen_to_lie_between_0_and_1_too(logits):
    for trainable in (True, False):
        logits.trainable = trainable
        check_logits(logits, "student", IMAGES)


def test_looking_at_a_network_changes_nothing_of_it():
    class Noise(layers.Layer):
        """Draws in inference, too."""

        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, x):
            return x + keras.random.uniform(keras.ops.shape(x), seed=self.seeds)

    noisy = ending_in(lambda x: keras.ops.clip(Noise()(x), 0, 1) + 0.1)
    before = [variable.numpy().copy() for variable in noisy.variables]
    check_logits(noisy, "student", IMAGES)
    for old, variable in zip(before, noisy.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_a_student_of_one_output_is_told_how_many_are_expected():
    with refused(r"has one output: .* two for labels 0 and 1"):
        check_student(ending_in(lambda x: x, classes=1))
