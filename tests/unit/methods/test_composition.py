"""Several losses in one stage: what is minimised, and that each network runs once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sentences import refused

from skt_tf.methods.objectives.at import AT
from skt_tf.methods.objectives.simkd import with_classifier_of
from skt_tf.methods.sequences import sequence
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.cost import step_flops
from skt_tf.models.resnet import resnet
from skt_tf.models.standard_networks import standard_network
from skt_tf.training.sequential_distiller import SequentialDistiller

SHAPE, CLASSES, BATCH = (16, 16, 3), 4, 6
STANDARD_WIDE = "wrn_16_2", "wrn_16_2"


@pytest.fixture
def networks():
    build = {"normalization": (120.0, 4000.0)}
    return [resnet(d, CLASSES, SHAPE, 4, seed=s, **build) for d, s in ((14, 1), (8, 2))]


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH, *SHAPE), np.uint8)
    return tf.constant(images), tf.constant(random.integers(0, CLASSES, BATCH), tf.int32)


def made(networks, text, optimizer=None, **options):
    distiller = SequentialDistiller(*networks, sequence(text)[-1], steps=10, **options)
    distiller.compile(optimizer or keras.optimizers.SGD(0.01))
    return distiller


def test_a_step_follows_the_gradient_of_the_weighted_sum(networks, batch):
    teacher, student = networks
    twin = keras.models.clone_model(student)
    twin.set_weights(student.get_weights())
    distiller = made(networks, "task*0.5+soft*2+at*30+hint*0.01", temperature=4.0)
    distiller.train_on_batch(*batch)

    def ends(network):
        points = ("p1", "p2", "p3", "m2", "logits")
        return keras.Model(network.input, [network.get_layer(p).output for p in points])

    images, labels = batch
    *taught, hint, logits = ends(teacher)(images, training=False)
    with tf.GradientTape() as tape:
        *maps, guided, own = ends(twin)(images, training=True)
        entropy = keras.losses.sparse_categorical_crossentropy(labels, own, from_logits=True)
        soft = tf.nn.softmax(logits / 4)
        kl = tf.reduce_sum(soft * (tf.math.log(soft) - tf.nn.log_softmax(own / 4)), 1)
        attention = 0.0
        for t, s in zip(taught, maps):
            t, s = (
                tf.math.l2_normalize(tf.reshape(tf.reduce_mean(m**2, 3), [BATCH, -1]), 1)
                for m in (t, s)
            )
            attention += tf.reduce_mean((t - s) ** 2)
        half = 0.5 * tf.reduce_mean(tf.reduce_sum((hint - guided) ** 2, [1, 2, 3]))
        total = 0.5 * tf.reduce_mean(entropy) + 2 * tf.reduce_mean(kl) + 30 * attention
        total += 0.01 * half
    for variable, gradient in zip(
        twin.trainable_variables, tape.gradient(total, twin.trainable_variables)
    ):
        variable.assign_sub(0.01 * gradient)
    for one, other in zip(student.trainable_variables, twin.trainable_variables):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)
    assert distiller.get_metrics_result()["loss"].numpy() == pytest.approx(float(total), rel=1e-4)
    parts = {"cross_entropy", "softened", "at", "hint", "accuracy", "loss"}
    assert distiller.get_metrics_result().keys() == parts


@pytest.mark.parametrize(
    ("text", "before"), [("reviewkd", True), ("reviewkd(rectified=True)", False)]
)
def test_the_review_takes_the_teachers_maps_before_their_relu(networks, batch, text, before):
    distiller = made(networks, text)
    images, _ = batch
    shown = distiller.teacher_view(images, training=False)[1:], distiller.student_view(images)[1:]
    for k in range(3):
        taught, maps = (float(tf.reduce_min(parts[k])) for parts in shown)
        assert (taught < 0) == before
        assert maps >= 0
    names = [f"s{k}b2_add" if before else f"p{k}" for k in (1, 2, 3)]
    teacher = networks[0]
    expected = keras.Model(teacher.input, [teacher.get_layer(name).output for name in names])
    for one, other in zip(shown[0], expected(images, training=False)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", [None, "float32"])
def test_maps_before_their_relu_are_normalised_and_in_order(networks, batch, precision):
    """Where the points are convolutions; folded teachers too, and points in any order."""
    x = inputs = keras.Input(SHAPE)
    for k in (1, 2, 3):
        x = keras.layers.Conv2D(2**k, 3, min(k, 2), padding="same", name=f"conv{k}")(x)
        x = keras.layers.BatchNormalization(beta_initializer="ones", name=f"norm{k}")(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    teacher, images = keras.Model(inputs, keras.layers.Dense(CLASSES)(x)), batch[0]
    outputs = [teacher.get_layer(f"norm{k}").output for k in (1, 2, 3)]
    expected = keras.Model(inputs, outputs)(images, training=False)
    if precision:
        teacher = fold_batch_norm(teacher, precision)
    points = {f"p{k}": f"conv{k}" for k in (3, 1, 2)}
    distiller = made((teacher, networks[1]), "reviewkd", teacher_points=points)
    for one, other in zip(distiller.teacher_view(images, training=False)[1:], expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", [None, "float32"])
def test_networks_that_normalise_first_show_the_teacher_behind_that(batch, precision):
    """As in the code of ReviewKD's and SimKD's authors; folded teachers too."""
    teacher, student = (
        standard_network(name, CLASSES, SHAPE, seed=k) for k, name in enumerate(STANDARD_WIDE)
    )
    images = tf.cast(batch[0], tf.float32) / 64
    joined = with_classifier_of(teacher, student)
    names = "s2b1_1_norm", "s3b1_1_norm", "end_norm", "end"
    outputs = [teacher.get_layer(name).output for name in names]
    *expected, pooled = keras.Model(teacher.input, outputs)(images, training=False)
    if precision:
        teacher = fold_batch_norm(teacher, precision)
    shown = made((teacher, student), "task+reviewkd").teacher_view(images, training=False)
    for one, other in zip(shown[-3:], expected):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    shown = made((teacher, joined), "simkd").teacher_view(images, training=False)
    np.testing.assert_allclose(shown[0], pooled, rtol=1e-3, atol=1e-3)


def test_each_network_runs_once_and_no_deeper_than_its_losses_look(networks, batch):
    def flops(text):
        step = tf.function(made(networks, text).train_step)
        return step_flops(step.get_concrete_function(batch).graph)

    teacher, _ = networks
    forward = tf.function(lambda: teacher(batch[0], training=False))
    once = step_flops(forward.get_concrete_function().graph) + flops("task")
    several = flops("task+soft+at+sp+flows")
    assert once <= several < 1.06 * once
    assert flops("at(squared=False)") < once
    alone = flops("task*2")
    assert alone == flops("task")  # Without a teacher.


def test_one_device_s_own_weights_of_images_weigh_each_loss_or_are_refused(networks, batch):
    images, labels = batch
    weights = tf.constant([0.0, 2.0, 1.0, 0.5, 3.0, 0.0])
    at = made(networks, "task+at")
    at.train_on_batch(images, labels, weights)
    found = at.get_metrics_result()

    fresh = [resnet(d, CLASSES, SHAPE, 4, seed=s, normalization=(120.0, 4000.0))
             for d, s in ((14, 1), (8, 2))]  # fmt: skip
    plain = made(fresh, "task+at")
    outputs = plain.student_view(images, training=True)
    targets = plain.teacher_view(images, training=False)
    each = plain.objective.losses(labels, targets, outputs, 0.0, lambda values: values)
    for name, values in each.items():
        assert float(found[name]) == pytest.approx(
            float(tf.reduce_mean(weights * values)), rel=1e-4
        )
    with refused("compares the images"):
        made(networks, "task+sp").train_on_batch(images, labels, weights)


def test_heads_are_trained_beside_the_student_and_are_no_part_of_it(networks, batch):
    student = networks[1]
    before = len(student.variables)
    distiller = made(networks, "task+vid")
    heads = [v for head in distiller.heads for v in head.trainable_variables]
    first = [v.numpy() for v in heads]
    distiller.train_on_batch(*batch)
    assert all(np.any(v.numpy() != w) for v, w in zip(heads, first))
    assert len(student.variables) == before
    assert {id(v) for v in heads} <= {id(v) for v in distiller.trainable_variables}


def test_a_weight_that_warms_up_grows_with_the_stage(networks, batch):
    teacher, student = networks
    stage = sequence("dkd*3+task")[0]
    with refused("steps"):
        SequentialDistiller(teacher, student, stage)
    distiller = made(networks, "dkd*3+task")
    shown = [n.outputs[0] for n in (distiller.teacher_view, distiller.student_view)]
    assert [s.shape[-1] for s in shown] == [CLASSES] * 2
    logits = [n(batch[0], training=False) for n in (teacher, student)]
    warmup = distiller.objective.parts[0][0].objective.warmup
    found = [
        float(distiller.objective.losses(batch[1], *logits, tf.constant(p))["dkd"])
        for p in (0.0, warmup / 2, warmup, 1.0)
    ]
    assert found[0] == 0
    assert found[1] == pytest.approx(found[2] / 2, rel=1e-5)
    assert found[2] == found[3]


def test_an_anchor_holds_the_weights_that_the_stage_begins_with(networks, batch):
    student = networks[1]
    first = [v.numpy() for v in student.trainable_variables]
    # With the optimizer's rate ½ and the anchor alone, one step would lead back.
    rate, factor = 0.05, 3.0
    loose, held = made(networks, "task"), made(networks, f"task+anchor*{factor}")
    moved = [v + 0.25 for v in first]
    found = {}
    for name, distiller in (("loose", loose), ("held", held)):
        distiller.compile(keras.optimizers.SGD(rate))
        for variable, value in zip(student.trainable_variables, moved):
            variable.assign(value)
        distiller.train_on_batch(*batch)
        found[name] = [v.numpy() for v in student.trainable_variables]
    for one, other in zip(found["loose"], found["held"]):
        # d/dw of factor · (w − w₀)², of which w − w₀ is ¼ everywhere.
        np.testing.assert_allclose(one - other, rate * 2 * factor * 0.25, atol=1e-5)


def test_an_anchor_holds_no_regressor(networks):
    teacher, _ = networks
    distiller = made((teacher, resnet(8, CLASSES, SHAPE, 3, seed=4)), "hint+anchor*0.1")
    free = len(distiller.trainable_variables) - len(distiller.anchors)
    assert free == 2  # The kernel and the bias of the regressor.


def test_what_networks_cannot_show_is_refused(networks):
    teacher, student = networks
    maps = keras.layers.GlobalAveragePooling2D()
    convolutional = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(CLASSES, 1), maps])
    with refused("does not end with a dense layer"):
        made((teacher, convolutional), "task+rkd")
    wide = resnet(8, CLASSES, SHAPE, 8)
    with refused("channels"):
        made((teacher, wide), "task+fsp")
    with refused("teacher"):
        made((None, student), "task+at")
    with refused("'at.p=2.' cannot be made"):
        made(networks, "at(p=2)+task")
    with refused("with_classifier_of"):
        made(networks, "simkd")
    assert AT.name == "at"
