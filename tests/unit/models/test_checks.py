"""What a network must be: one input, which takes images, and one output, logits."""

import keras
import pytest
from sentences import refused

from skt_tf.models.checks import check_images, check_logits, check_network, check_student


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


def test_a_softmax_at_the_end_is_refused_however_it_is_written(teacher):
    check_logits(teacher, "teacher")
    for ending in (keras.layers.Softmax(), keras.layers.Dense(4, "softmax")):
        with refused("^the teacher .* ends with a softmax: expected logits"):
            check_logits(keras.Model(teacher.input, ending(teacher.output)), "teacher")
