"""Models that hold models are seen layer by layer: by points, folding, fusing and counting."""

import keras
import numpy as np
import pytest
from keras import layers
from sentences import refused

from skt_tf.methods.fsp import flow_model
from skt_tf.models.batch_norm import FusedBatchNormalization, fold_batch_norm, fuse_batch_norm
from skt_tf.models.maps import check_order, point_output
from skt_tf.models.nested import layers_by_path, unnested
from skt_tf.models.resnet import weighted_layers


def convolved(x, name):
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.ReLU(name=name)(layers.BatchNormalization(name=f"{name}_bn")(x))


def build(images, *, nested, call=None):
    """The same layers in order: flat, or in models and a model of a model."""

    def part(x, name, *inner):
        if not nested:
            for one in inner:
                x = one(x)
            return x
        start = keras.Input(x.shape[1:], name=f"{name}_input")
        end = start
        for one in inner:
            end = one(end)
        return keras.Model(start, end, name=name)(x, **(call or {}))

    def middle(x):
        return part(x, "middle", lambda x: convolved(x, "b"), lambda x: convolved(x, "c"))

    x = layers.Rescaling(1 / 4, name="scale")(images)
    x = part(x, "backbone", lambda x: convolved(x, "a"), middle, lambda x: convolved(x, "d"))
    if nested:
        ends = [layers.GlobalAveragePooling2D(name="pool"), layers.Dense(4, name="logits")]
        head = keras.Sequential(ends, name="head")
        return keras.Model(images, head(x), name="net")
    x = layers.Dense(4, name="logits")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(images, x, name="net")


PATHS = {"p0": "backbone/a", "m1": "backbone/middle/b", "p1": "backbone/middle/c", "p2": "backbone"}
FLOWS = (("p0", "p1"), ("m1", "p2"))


def drawn(model):
    """Weights that depend on their variable's name alone."""
    for variable in model.variables:
        layer, name = variable.path.split("/")[-2:]
        random = np.random.default_rng(sum(map(ord, f"{layer}{name}")))
        low = 0.5 if "variance" in name else -0.5
        variable.assign(random.uniform(low, 1.5, variable.shape))
    return model


@pytest.fixture
def nested():
    return drawn(build(keras.Input((6, 6, 2)), nested=True))


@pytest.fixture
def flat():
    return drawn(build(keras.Input((6, 6, 2)), nested=False))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype(np.float32)


def test_points_in_inner_models_give_the_matrices_of_the_flat_network(nested, flat, images):
    own = {"p0": "a", "m1": "b", "p1": "c", "p2": "d"}
    matrices = flow_model(nested, FLOWS, PATHS)(images)
    for one, other in zip(matrices, flow_model(flat, FLOWS, own)(images), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    # What lies behind the last point is not run, and no layer twice.
    names = [layer.name for layer in flow_model(nested, FLOWS[:1], PATHS).layers]
    assert "b_conv" in names
    assert not {"d_conv", "logits", "backbone"} & set(names)
    check_order(nested, PATHS)
    with refused("'backbone/a' .* does not follow from 'backbone/middle/c'"):
        check_order(nested, {"p0": "backbone/middle/c", "p1": "backbone/a"})


def test_a_network_is_unnested_once_and_stays_what_it_was(nested, images, tmp_path):
    before, config = nested(images), nested.get_config()
    assert unnested(nested) is unnested(nested)
    assert [v.path for v in unnested(nested).model.variables] == [v.path for v in nested.variables]
    np.testing.assert_array_equal(unnested(nested).model(images), before)
    assert nested.get_config() == config
    nested.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded(images), before)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_an_inner_model_is_given_what_its_input_takes(dtype):
    inside = keras.Input((4, 4, 1))
    inner = keras.Model(inside, layers.Conv2D(1, 1, name="c", use_bias=False)(inside), name="in")
    images = keras.Input((4, 4, 1), dtype=dtype)
    model = keras.Model(images, layers.Flatten()(inner(images)))
    given = np.full((1, 4, 4, 1), 3, dtype)
    np.testing.assert_allclose(unnested(model).model(given), model(given))


def test_batch_normalisation_inside_is_folded_and_fused(nested, flat, images):
    copy = fold_batch_norm(nested)
    assert [layer.name for layer in copy.layers[1:]] == ["scale", "backbone", "head"]
    kinds = [type(layer) for layer in layers_by_path(copy).values()]
    assert layers.BatchNormalization not in kinds
    np.testing.assert_allclose(copy(images), nested(images), rtol=1e-4, atol=1e-5)
    for one, other in zip(
        flow_model(copy, FLOWS, PATHS)(images), flow_model(nested, FLOWS, PATHS)(images)
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert not copy.trainable_variables
    view = fuse_batch_norm(nested)
    assert sum(isinstance(layer, FusedBatchNormalization) for layer in view.layers) == 4
    assert [v.path for v in view.variables] == [v.path for v in nested.variables]
    outputs = view(images, training=True)
    np.testing.assert_allclose(outputs, fuse_batch_norm(flat)(images, training=True), rtol=1e-5)
    for one, other in zip(nested.variables, flat.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)  # Running statistics among them.


def test_weighted_layers_of_inner_models_are_counted_once():
    images = keras.Input((6, 6, 2))
    assert weighted_layers(build(images, nested=True)) == 5
    shared = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(2, 1), layers.ReLU()])
    x = layers.Dense(3)(layers.Flatten()(shared(shared(images))))
    assert weighted_layers(keras.Model(images, x)) == 2


class Own(keras.Model):
    """A functional model that does more than its graph."""

    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


def test_what_cannot_be_reached_is_refused_with_what_there_is(nested):
    with refused(r"no layer named 'd' \(point p0\) \(did you mean backbone/d\?\)"):
        point_output(nested, "p0", {"p0": "d"})
    with refused(r"'backbone/middel/b' .* \(did you mean backbone/middle/b or"):
        point_output(nested, "p0", {"p0": "backbone/middel/b"})
    with refused(
        "no layer named 'x/y/z' .* expected one of .*backbone/a_conv, .*backbone/middle/c"
    ):
        point_output(nested, "p0", {"p0": "x/y/z"})
    with refused("named 'p0': name the layers at its points by teacher_points or student_points"):
        point_output(nested, "p0")
    images, inside = keras.Input((4, 4, 1)), keras.Input((4, 4, 1))
    two = [keras.Model(inside, layers.Conv2D(1, 1, name="c")(inside), name=n) for n in "xy"]
    model = keras.Model(images, layers.Flatten()(two[1](two[0](images))))
    with refused("'x/c' .* cannot be reached, for two layers in it have one name"):
        point_output(model, "p0", {"p0": "x/c"})
    assert point_output(model, "p0", {"p0": "x"}).shape == (None, 4, 4, 1)
    twice = keras.Model(images, layers.Flatten()(two[0](two[0](images))))
    with refused("'x/c' .* is called 2 times"):
        point_output(twice, "p0", {"p0": "x/c"})
    own = Own(inside, layers.Conv2D(1, 1, name="c")(inside), name="own")
    model = keras.Model(images, layers.Flatten()(own(images)))
    with refused("no layer named 'own/c'"):
        point_output(model, "p0", {"p0": "own/c"})
    given = np.ones((1, 4, 4, 1), np.float32)
    np.testing.assert_array_equal(fold_batch_norm(model)(given), model(given))
