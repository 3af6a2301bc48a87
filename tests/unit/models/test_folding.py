"""A teacher with folded batch normalisation puts out what it put out before."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from skt_tf.methods.fsp import flow_model
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.points import dense_flows


def randomized(model, seed=0):
    """Weights as training leaves them: no moment at its start, no scale one."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype == "float32":
            low, high = (0.5, 2.0) if "variance" in variable.path else (-0.5, 0.5)
            variable.assign(random.uniform(low, high, variable.shape))
    return model


def normalizations(model):
    return [x for x in model.layers if isinstance(x, layers.BatchNormalization)]


def outputs(model, images):
    return [np.asarray(x) for x in keras.tree.flatten(model(images, training=False))]


def test_all_of_a_residual_network_is_folded_and_gives_the_same(network, batch):
    teacher = network(1)
    names, values = [x.name for x in teacher.layers], [v.numpy() for v in teacher.variables]
    flows = dense_flows("span") + dense_flows("half")[3:]
    expected = [*outputs(teacher, batch[0]), *outputs(flow_model(teacher, flows), batch[0])]
    copy = fold_batch_norm(teacher)
    found = [*outputs(copy, batch[0]), *outputs(flow_model(copy, flows), batch[0])]
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=2e-4, abs=2e-4 * float(np.abs(one).max()))
    assert not normalizations(copy)
    assert [x.name for x in copy.layers] == names
    assert copy.trainable_variables == []
    for before, variable in zip(values, teacher.variables, strict=True):
        assert before.tobytes() == variable.numpy().tobytes()
    assert len(teacher.trainable_variables) == 23


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_layer_puts_out_what_it_put_out_before(network, batch, precision):
    """A convolution too, whose batch normalisation is folded."""
    teacher = randomized(network(1))
    copy = fold_batch_norm(teacher, precision)
    named = [layer.name for layer in teacher.layers if not isinstance(layer, layers.InputLayer)]
    assert sum(name.endswith("conv") for name in named) > 5
    views = [keras.Model(m.inputs, [m.get_layer(n).output for n in named]) for m in (teacher, copy)]
    for name, one, other in zip(named, *(outputs(view, batch[0]) for view in views), strict=True):
        distance = np.linalg.norm(one - other.astype(np.float32))
        assert distance <= (1e-4 if precision == "float32" else 0.05) * np.linalg.norm(one), name


def test_maps_that_nobody_reads_are_not_computed(network, batch):
    """In a graph, which leaves out what has no effect."""
    copy, ran = fold_batch_norm(network(1)), []
    name = next(layer.name for layer in copy.layers if layer.name.endswith("conv"))
    layer, call = copy.get_layer(name), copy.get_layer(name).call

    def noted(maps):
        ran.append(name)
        return maps

    def watched(maps):
        seen = tf.numpy_function(noted, [maps], "float32", stateful=False)
        return call(tf.ensure_shape(seen, maps.shape))

    layer.call = watched
    view = keras.Model(copy.inputs[0], layer.output)
    for network, runs in ((copy, 0), (view, 1)):
        tf.function(lambda images, network=network: network(images, training=False))(batch[0])
        assert len(ran) == runs


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"epsilon": 0.1}])
@pytest.mark.parametrize("bias", [False, True])
def test_every_kind_of_pair_is_folded(options, bias):
    images = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, use_bias=bias)(images)
    model = randomized(keras.Model(images, layers.BatchNormalization(**options)(x)))
    batch = np.random.default_rng(1).normal(size=(2, 6, 6, 2)).astype(np.float32)
    copy = fold_batch_norm(model)
    assert not normalizations(copy)
    assert outputs(copy, batch)[0] == pytest.approx(outputs(model, batch)[0], rel=1e-4, abs=1e-5)


def activated(images):
    return layers.BatchNormalization()(layers.Conv2D(2, 1, activation="relu")(images))


def read_twice(images):
    x = layers.Conv2D(2, 1)(images)
    return layers.Add()([layers.BatchNormalization()(x), x])


def put_out(images):
    x = layers.Conv2D(2, 1, name="out")(images)
    return [x, layers.BatchNormalization()(x)]


def after_pooling(images):
    return layers.BatchNormalization()(layers.AveragePooling2D(2)(layers.Conv2D(2, 1)(images)))


def shared(images):
    convolution = layers.Conv2D(2, 1)
    return layers.Add()(
        [layers.BatchNormalization()(convolution(x)) for x in (images, layers.ReLU()(images))]
    )


@pytest.mark.parametrize("build", [activated, read_twice, put_out, after_pooling, shared])
def test_what_cannot_be_folded_stays_and_gives_the_same(build):
    images = keras.Input((4, 4, 2))
    model = randomized(keras.Model(images, build(images)))
    batch = np.random.default_rng(1).normal(size=(2, 4, 4, 2)).astype(np.float32)
    copy = fold_batch_norm(model)
    assert len(normalizations(copy)) == len(normalizations(model)) > 0
    for one, other in zip(outputs(model, batch), outputs(copy, batch), strict=True):
        assert other == pytest.approx(one, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("precision", "limit"), [("bfloat16", 0.03), ("float16", 0.004)])
def test_half_precision_stays_near_and_leaves_grey_levels_and_logits_in_float32(
    network, batch, precision, limit
):
    teacher = network(1)
    copy = fold_batch_norm(teacher, precision)
    assert copy.get_layer("p3").compute_dtype == precision
    assert copy.get_layer("logits").compute_dtype == "float32"
    # Workers of a cluster send each other variables, and cannot send bfloat16.
    assert {v.dtype for v in copy.variables if v.path.endswith("kernel")} == {"float32"}
    flows = dense_flows()
    pairs = zip(
        outputs(flow_model(teacher, flows), batch[0]), outputs(flow_model(copy, flows), batch[0])
    )
    for one, other in pairs:
        assert other.dtype == np.float32
        distance = np.linalg.norm(one - other) / np.linalg.norm(one)
        assert 0 < distance < limit


def test_an_adapted_normalization_still_standardises():
    inputs = keras.Input((8, 8, 3))
    standard = layers.Normalization()
    standard.adapt(50 + 3 * np.random.default_rng(0).normal(size=(20, 8, 8, 3)))
    x = layers.Conv2D(4, 3, padding="same")(standard(inputs))
    model = keras.Model(inputs, layers.ReLU()(layers.BatchNormalization()(x)))
    given = np.random.default_rng(1).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(fold_batch_norm(model)(given), model(given), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_operations_and_functions_stay_what_they_are(precision):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(keras.ops.relu(inputs / 255.0))
    x = layers.BatchNormalization()(x + 1.0)
    x = layers.Lambda(lambda maps: 2 * maps)(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    model = keras.Model(inputs, x)
    given = np.random.default_rng(1).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    found = np.asarray(fold_batch_norm(model, precision)(given), np.float32)
    atol = 1e-4 if precision == "float32" else 0.1
    np.testing.assert_allclose(found, model(given), rtol=atol, atol=atol)
