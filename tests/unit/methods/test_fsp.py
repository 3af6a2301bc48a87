"""FSP matrices, and the part of a network that computes them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import refused

from skt_tf.methods.flow_weights import normalized_flow_weights
from skt_tf.methods.fsp import FSPMatrix, flow_model, fsp_matrix
from skt_tf.methods.losses import Transfer
from skt_tf.models.maps import point_output
from skt_tf.models.points import dense_flows, disjoint_flows

EQUAL = ((5, 5), (5, 5))
DIVISIBLE = ((8, 6), (4, 3))
NOT_DIVISIBLE = ((7, 9), (4, 5))
ONE_SIDE_EQUAL = ((4, 7), (4, 3))


def pooled(maps, size):
    """Adaptive max pooling: cell k covers the entries that its share of the side touches."""
    number, height, width, channels = maps.shape
    result = np.empty((number, *size, channels))
    for row in range(size[0]):
        for column in range(size[1]):
            rows = slice(row * height // size[0], -(-(row + 1) * height // size[0]))
            columns = slice(column * width // size[1], -(-(column + 1) * width // size[1]))
            result[:, row, column] = maps[:, rows, columns].max(axis=(1, 2))
    return result


def fsp_by_loops(first, second):
    """The formula, term by term, in float64."""
    height, width = np.minimum(first.shape[1:3], second.shape[1:3])
    first, second = (pooled(np.float64(maps), (height, width)) for maps in (first, second))
    result = np.zeros((len(first), first.shape[3], second.shape[3]))
    for i in range(first.shape[3]):
        for j in range(second.shape[3]):
            for s in range(height):
                for t in range(width):
                    result[:, i, j] += first[:, s, t, i] * second[:, s, t, j] / (height * width)
    return result


def maps(size, channels, seed, number=2):
    return np.random.default_rng(seed).normal(size=(number, *size, channels))


@pytest.mark.parametrize(
    "sizes", [EQUAL, DIVISIBLE, NOT_DIVISIBLE, ONE_SIDE_EQUAL, ((7, 7), (4, 4))]
)
@pytest.mark.parametrize("swapped", [False, True])
def test_an_fsp_matrix_is_the_papers_formula(sizes, swapped):
    first, second = maps(sizes[swapped], 3, 0), maps(sizes[not swapped], 2, 1)
    matrix = fsp_matrix(first.astype(np.float32), second.astype(np.float32))
    assert matrix.shape == (2, 3, 2)
    assert matrix.numpy() == pytest.approx(fsp_by_loops(first, second), rel=1e-5, abs=1e-6)


def test_negative_maps_are_pooled_without_padding():
    first, second = -np.ones((1, 7, 7, 1), np.float32), np.ones((1, 4, 4, 1), np.float32)
    assert fsp_matrix(first, second).numpy() == pytest.approx(-1)


@settings(max_examples=25)
@given(
    small=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    extra=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    swapped=st.booleans(),
)
def test_any_two_sizes_with_one_the_larger_are_joined(small, extra, swapped):
    large = (small[0] + extra[0], small[1] + extra[1])
    first, second = maps(large, 2, 2, number=1), maps(small, 3, 3, number=1)
    if swapped:
        first, second = second, first
    matrix = fsp_matrix(first.astype(np.float32), second.astype(np.float32))
    assert matrix.numpy() == pytest.approx(fsp_by_loops(first, second), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("sizes", [((2, 3), (1, 2)), ((1, 3), (1, 2)), ((4, 5), (1, 2))])
def test_a_map_of_one_row_is_joined_like_any_other(sizes):
    first, second = maps(sizes[0], 2, 2), maps(sizes[1], 3, 3)
    # Traced, as in training; a kernel that ran with an impossible window would end the process.
    traced = tf.function(fsp_matrix)
    matrix = traced(tf.constant(first, tf.float32), tf.constant(second, tf.float32))
    assert matrix.numpy() == pytest.approx(fsp_by_loops(first, second), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("sizes", [((16, 16), (16, 16)), ((16, 16), (8, 8)), ((15, 15), (8, 8))])
def test_half_precision_maps_are_summed_in_float32(dtype, sizes):
    first, second = (tf.cast(maps(size, 3, 4) + 1, dtype) for size in sizes)
    matrix = fsp_matrix(first, second)
    assert matrix.dtype == tf.float32
    exact = fsp_by_loops(*(tf.cast(x, tf.float64).numpy() for x in (first, second)))
    assert matrix.numpy() == pytest.approx(exact, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("sizes", [EQUAL, DIVISIBLE, NOT_DIVISIBLE])
def test_gradients_are_those_of_finite_differences(sizes):
    values = [maps(sizes[0], 2, 5, number=1), maps(sizes[1], 3, 6, number=1)]
    factors = np.random.default_rng(7).normal(size=(1, 2, 3))
    inputs = [tf.constant(value, tf.float32) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(fsp_matrix(*inputs) * factors.astype(np.float32))
    gradients = tape.gradient(loss, inputs)
    for which in (0, 1):
        expected = np.zeros_like(values[which])
        for index in np.ndindex(values[which].shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [value.copy() for value in values]
                moved[which][index] += step
                ends.append((fsp_by_loops(*moved) * factors).sum())
            expected[index] = (ends[0] - ends[1]) / 2e-6
        assert np.abs(expected).max() > 0
        assert gradients[which].numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second"), [((2, 4, 3), (2, 4, 4, 3)), ((2, 4, 4, 3), (4,)), ((4, 4), (4, 4))]
)
def test_maps_of_another_rank_are_refused_with_their_shapes(first, second):
    with refused(r"expected two maps \[batch, height, width, channels\]"):
        fsp_matrix(np.zeros(first, np.float32), np.zeros(second, np.float32))


def test_maps_of_which_neither_is_the_larger_are_refused():
    with refused(r"sizes \(8, 4\) and \(4, 8\)"):
        fsp_matrix(np.zeros((1, 8, 4, 2), np.float32), np.zeros((1, 4, 8, 2), np.float32))


def test_an_fsp_layer_survives_a_saved_model_in_safe_mode(tmp_path):
    inputs = keras.Input((8, 8, 3)), keras.Input((4, 4, 2))
    model = keras.Model(inputs, FSPMatrix(name="flow")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    first, second = maps((8, 8), 3, 8), maps((4, 4), 2, 9)
    values = [first.astype(np.float32), second.astype(np.float32)]
    assert loaded(values).numpy() == pytest.approx(fsp_by_loops(first, second), rel=1e-5, abs=1e-6)
    assert loaded.get_layer("flow").compute_dtype == "float32"
    assert loaded.output.shape == (None, 3, 2)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_flows_are_float32_under_any_precision(policy, precision, network, batch):
    policy(precision)
    model = flow_model(network(0), dense_flows())
    assert {matrix.dtype for matrix in model.outputs} == {"float32"}
    assert {matrix.dtype for matrix in model(batch[0])} == {tf.float32}


@pytest.mark.parametrize("overlap", ["span", "half"])
def test_a_flow_model_computes_each_flow_in_order(teacher, batch, reference_fsp, overlap):
    flows = dense_flows(overlap)[::-1]
    matrices = flow_model(teacher, flows)(batch[0])
    for matrix, flow in zip(matrices, flows, strict=True):
        points = [teacher.get_layer(point).output for point in flow]
        first, second = keras.Model(teacher.input, points)(batch[0])
        assert matrix.numpy() == pytest.approx(reference_fsp(first, second), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("shape", [(7, 9, 1), (5, 4, 1), (12, 9, 3)])
def test_flows_join_maps_whose_sides_are_odd(network, shape):
    built = network(0, shape=shape)
    flows = dense_flows("span") + dense_flows("half")[3:]
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    points = sorted({point for flow in flows for point in flow})
    outputs = [built.get_layer(point).output for point in points]
    seen = dict(zip(points, keras.Model(built.input, outputs)(images)))
    traced = tf.function(flow_model(built, flows))
    for matrix, (a, b) in zip(traced(images), flows, strict=True):
        expected = fsp_by_loops(seen[a].numpy(), seen[b].numpy())
        assert matrix.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_one_flow_is_a_list_too(teacher, batch):
    matrices = flow_model(teacher, disjoint_flows()[:1])(batch[0])
    assert isinstance(matrices, list)
    assert len(matrices) == 1


@pytest.mark.parametrize(
    ("flows", "deepest", "convolutions"),
    [
        ((("p0", "p1"),), "p1", 3),
        ((("p0", "p1"), ("p1", "p2")), "p2", 5),
        ((("m1", "m2"),), "m2", 4),
        (disjoint_flows(), "p3", 7),
    ],
)
def test_a_flow_model_ends_at_the_deepest_point_used(teacher, flows, deepest, convolutions):
    model = flow_model(teacher, flows)
    names = [layer.name for layer in model.layers]
    order = ["p0", "m1", "p1", "m2", "p2", "m3", "p3", "logits"]
    assert [name for name in order if name in names] == order[: order.index(deepest) + 1]
    assert sum(isinstance(x, keras.layers.Conv2D) for x in model.layers) == convolutions
    assert sum(isinstance(x, FSPMatrix) for x in model.layers) == len(flows)


def test_a_flow_model_shares_the_weights_of_its_network(student, batch):
    model = flow_model(student, disjoint_flows())
    own = {id(variable) for variable in student.variables}
    assert {id(variable) for variable in model.variables} <= own
    assert len(model.trainable_variables) == len(student.trainable_variables) - 2
    before = model(batch[0])[0].numpy()
    kernel = next(v for v in student.trainable_variables if v.name == "kernel")
    kernel.assign(2 * kernel)
    assert not np.allclose(model(batch[0])[0], before)


def test_an_unknown_point_is_refused_with_the_models_name(teacher):
    with refused("'resnet8' has no layer named 'p4'"):
        flow_model(teacher, (("p0", "p4"),))
    with refused("'q'"):
        point_output(teacher, "q")


def test_no_flows_are_refused(teacher):
    with refused("no flows"):
        flow_model(teacher, ())


def test_flows_of_a_teacher_that_diverged_are_not_normalised(network, batch):
    teacher = network(0)
    kernel = teacher.trainable_variables[0]
    kernel.assign(np.nan * kernel)
    with refused("p0_p1, p1_p2, p2_p3 are zero on every image, or not"):
        normalized_flow_weights(teacher, disjoint_flows(), batch[0])


def flow_norms(teacher, flows, images, reference_fsp):
    """Mean of ‖Gᵢ‖² over images, in NumPy from the maps at the points."""
    names = sorted({point for flow in flows for point in flow})
    outputs = [teacher.get_layer(name).output for name in names]
    seen = dict(zip(names, keras.Model(teacher.input, outputs)(images)))
    matrices = [reference_fsp(seen[a], seen[b]) for a, b in flows]
    return [np.square(matrix).sum(axis=(1, 2)).mean() for matrix in matrices]


@pytest.mark.parametrize("batch_size", [3, 8, 100])
def test_normalised_weights_are_one_over_the_mean_squared_norm(
    teacher, batch, reference_fsp, batch_size
):
    flows = dense_flows()
    weights = normalized_flow_weights(teacher, flows, batch[0], batch_size)
    assert tuple(weights) == flows
    expected = [1 / norm for norm in flow_norms(teacher, flows, batch[0], reference_fsp)]
    assert list(weights.values()) == pytest.approx(expected, rel=1e-4)


def test_a_student_without_any_flow_has_a_normalised_loss_of_one_a_flow(teacher, batch):
    flows = dense_flows("half")
    weights = normalized_flow_weights(teacher, flows, batch[0])
    targets = flow_model(teacher, flows)(batch[0])
    zeros = [tf.zeros_like(target) for target in targets]
    losses = Transfer(flows, weights).losses(None, targets, zeros, None)
    assert [float(loss) for loss in losses.values()] == pytest.approx([1.0] * 5, rel=1e-4)


def test_flows_that_are_always_zero_are_refused_by_name(network, batch):
    teacher = network(0)
    stem = next(x for x in teacher.layers if isinstance(x, keras.layers.BatchNormalization))
    stem.gamma.assign([0.0, 0.0])
    stem.beta.assign([0.0, 0.0])
    with refused("matrices of p0_p1, p0_p2 are zero"):
        normalized_flow_weights(teacher, dense_flows(), batch[0])
