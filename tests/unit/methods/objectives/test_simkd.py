"""A student that classifies by its teacher's classifier."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sentences import refused

import skt_tf
from skt_tf.methods.objective import Batch, Seen
from skt_tf.methods.objective_names import find


@pytest.fixture
def images(batch):
    return batch[0]


def test_it_classifies_by_the_teachers_classifier_of_projected_maps(network, teacher, images):
    student = network(2, width=3)
    joined = skt_tf.with_classifier_of(teacher, student)
    names = [layer.name for layer in joined.layers]
    assert names[-3:] == ["simkd_projected", "teacher_average", "teacher_logits"]
    assert joined.get_layer("simkd_1_conv").kernel.shape == (1, 1, 12, 4)
    assert joined.get_layer("simkd_2_conv").kernel.shape == (3, 3, 4, 4)
    assert joined.get_layer("simkd_projected").output.shape == teacher.get_layer("p3").output.shape
    projected = keras.Model(joined.input, joined.get_layer("simkd_projected").output)(images)
    own = teacher.get_layer("logits")
    expected = np.mean(projected, axis=(1, 2)) @ own.kernel.numpy() + own.bias.numpy()
    assert np.allclose(joined(images), expected, rtol=1e-4, atol=1e-5)


def test_the_classifier_is_a_frozen_copy_and_the_rest_is_the_students(teacher, student):
    joined = skt_tf.with_classifier_of(teacher, student)
    trained = {id(v) for v in joined.trainable_variables}
    assert not trained & {id(v) for v in teacher.variables}
    classifier = {id(v) for v in joined.get_layer("teacher_logits").variables}
    assert not trained & classifier
    body = {id(v) for v in student.trainable_variables} - {
        id(v) for v in student.get_layer("logits").variables
    }
    assert body < trained
    assert not classifier & {id(v) for v in teacher.variables}


def test_it_loads_without_this_package_and_equals(network, teacher, student, images, tmp_path):
    joined = skt_tf.with_classifier_of(teacher, student)
    joined.save(tmp_path / "joined.keras")
    loaded = keras.models.load_model(tmp_path / "joined.keras", safe_mode=True)
    assert np.array_equal(loaded(images), joined(images))
    assert all(type(layer).__module__.startswith("keras.") for layer in joined.layers)
    again = skt_tf.with_classifier_of(teacher, network(2))
    assert [v.numpy().tobytes() for v in again.variables] == [
        v.numpy().tobytes() for v in joined.variables
    ]


def test_its_objective_compares_the_projected_map(network, teacher, images):
    joined = skt_tf.with_classifier_of(teacher, network(2, width=3))
    objective = find("simkd")()
    layers = objective.layer_names(teacher, joined)
    assert layers == (("p3",), ("simkd_projected",))
    taught = keras.Model(teacher.input, teacher.get_layer("p3").output)
    view = keras.Model(joined.input, joined.get_layer(layers[1][0]).output)
    objective.build(*(Seen(maps=(v.output.shape[1:],)) for v in (taught, view)))
    with tf.GradientTape() as tape:
        maps = view(images, training=True)
        loss = objective.loss(Seen(maps=(taught(images),)), Seen(maps=(maps,)), Batch())
    assert np.allclose(loss, np.mean((maps - taught(images)) ** 2, axis=(1, 2, 3)), rtol=1e-5)
    moved = tape.gradient(loss, [v.value for v in view.trainable_variables])
    assert all(gradient is not None for gradient in moved)


def test_a_student_without_a_projector_is_refused_with_the_functions_name(teacher, student):
    with refused(
        r"'resnet8' has no layer 'simkd_projected'.*with_classifier_of\(teacher, student\)"
    ):
        find("simkd")().layer_names(teacher, student)


def test_sizes_are_joined_where_they_can_be(network, teacher, images):
    larger = skt_tf.with_classifier_of(teacher, network(2, shape=(16, 16, 1)))
    assert larger.get_layer("simkd_projected").output.shape == (None, 2, 2, 8)
    smaller = skt_tf.with_classifier_of(network(1, shape=(16, 16, 1)), network(2))
    assert smaller.get_layer("simkd_projected").output.shape == (None, 2, 2, 8)
    with refused("student's last map is of size 3×3 and the teacher's of 2×2"):
        skt_tf.with_classifier_of(teacher, network(2, shape=(12, 12, 1)))


def test_networks_that_end_otherwise_are_refused(teacher):
    images = keras.Input((8, 8, 1))
    flat = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)), name="flat")
    with refused("student 'flat' does not classify by global average pooling"):
        skt_tf.with_classifier_of(teacher, flat)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(images))
    two = keras.layers.Add()([keras.layers.Dense(4)(x), keras.layers.Dense(4)(x)])
    with refused("teacher 'two' does not classify by global average pooling"):
        skt_tf.with_classifier_of(keras.Model(images, two, name="two"), teacher)


def test_a_backbone_that_is_one_layer_is_seen_through(teacher, images):
    inside = keras.Input((8, 8, 1))
    backbone = keras.Model(inside, keras.layers.Conv2D(5, 3, name="conv")(inside), name="backbone")
    outside = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(backbone(outside))
    student = keras.Model(outside, keras.layers.Dense(4)(x), name="own")
    joined = skt_tf.with_classifier_of(teacher, student)
    assert joined(images).shape == (8, 4)
