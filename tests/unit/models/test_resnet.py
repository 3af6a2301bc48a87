"""Residual networks with named flow points."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers
from sentences import refused

from skt_tf.models.resnet import resnet

POINTS = ("p0", "m1", "p1", "m2", "p2", "m3", "p3")
DEPTHS = (8, 14, 20, 26, 32)


@pytest.fixture(scope="module")
def networks():
    """The paper's networks, of every depth, as they come."""
    return {depth: resnet(depth, 10) for depth in DEPTHS}


def count(model, kind):
    return sum(isinstance(layer, kind) for layer in model.layers)


def ancestors(network, point):
    """The part of `network` that `point` depends on."""
    return keras.Model(network.input, network.get_layer(point).output)


def same_padding(size, stride):
    total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
    return total // 2, total - total // 2


def convolve(maps, kernel, stride):
    """A 3×3 convolution with zero padding, in float64."""
    pads = [same_padding(size, stride) for size in maps.shape[1:3]]
    padded = np.pad(maps, [(0, 0), *pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows[:, ::stride, ::stride], kernel)


def reference_logits(network, images, blocks):
    """The network of He et al. 2016 in inference mode, from its kernels, in float64 NumPy."""
    convolutions = iter([x for x in network.layers if isinstance(x, layers.Conv2D)])
    norms = iter([x for x in network.layers if isinstance(x, layers.BatchNormalization)])

    def unit(maps, stride=1):
        maps = convolve(maps, next(convolutions).kernel.numpy().astype(np.float64), stride)
        norm = next(norms)
        gamma, beta, mean, variance = (np.float64(v.numpy()) for v in norm.weights)
        return (maps - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    maps = np.maximum(unit(np.float64(images)), 0)
    for section in range(3):
        for block in range(blocks):
            stride = 2 if section > 0 and block == 0 else 1
            inner = unit(np.maximum(unit(maps, stride), 0))
            short = maps[:, ::stride, ::stride]
            missing = inner.shape[3] - short.shape[3]
            short = np.pad(short, [(0, 0)] * 3 + [(missing // 2, missing - missing // 2)])
            maps = np.maximum(inner + short, 0)
    dense = network.get_layer("logits")
    return maps.mean(axis=(1, 2)) @ dense.kernel.numpy() + dense.bias.numpy()


@pytest.mark.parametrize("depth", DEPTHS)
def test_points_have_the_papers_order_and_shapes_at_every_depth(networks, depth):
    network = networks[depth]
    assert tuple(x.name for x in network.layers if x.name in POINTS) == POINTS
    shapes = {point: network.get_layer(point).output.shape for point in POINTS}
    assert shapes == {
        "p0": (None, 32, 32, 16),
        "m1": (None, 32, 32, 16),
        "p1": (None, 32, 32, 16),
        "m2": (None, 16, 16, 32),
        "p2": (None, 16, 16, 32),
        "m3": (None, 8, 8, 64),
        "p3": (None, 8, 8, 64),
    }
    assert network.output.shape == (None, 10)


@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_counts_the_weighted_layers(networks, depth):
    assert count(networks[depth], (layers.Conv2D, layers.Dense)) == depth
    assert count(networks[depth], layers.BatchNormalization) == depth - 1


@pytest.mark.parametrize("depth", DEPTHS)
def test_points_are_activations_after_their_share_of_convolutions(networks, depth):
    n = (depth - 2) // 6
    for point in POINTS:
        section = int(point[1])
        before = ancestors(networks[depth], point)
        convolutions = 1 + 2 * n * section - n * (point[0] == "m")
        # In the middle of an odd number of blocks the middle one is not yet added.
        added = n * section - (n + 1) // 2 * (point[0] == "m")
        assert count(before, layers.Conv2D) == convolutions, point
        assert count(before, layers.Add) == max(added, 0), point
        assert isinstance(networks[depth].get_layer(point), layers.ReLU)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("width", "channels", "classes"), [(16, 3, 10), (3, 1, 7)])
def test_the_number_of_parameters_is_that_of_the_formula(networks, depth, width, channels, classes):
    n, w = (depth - 2) // 6, width
    kernels = 9 * channels * w + 2 * n * 9 * w * w
    kernels += 9 * w * 2 * w + (2 * n - 1) * 9 * (2 * w) ** 2
    kernels += 9 * 2 * w * 4 * w + (2 * n - 1) * 9 * (4 * w) ** 2
    normalised = w + 2 * n * (w + 2 * w + 4 * w)
    dense = 4 * w * classes + classes
    network = networks[depth]
    if width != 16:
        network = resnet(depth, classes, (8, 8, channels), width)
    assert network.count_params() == kernels + 4 * normalised + dense
    trained = sum(v.numpy().size for v in network.trainable_variables)
    assert trained == kernels + 2 * normalised + dense


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46)])
def test_the_number_of_parameters_is_the_published_one(networks, depth, millions):
    trained = sum(v.numpy().size for v in networks[depth].trainable_variables)
    assert trained / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("shape", [(3, 8, 3), (8, 3, 3), (32, 32), (8, 8, 0)])
def test_an_image_that_cannot_be_halved_twice_is_refused(shape):
    with refused("cannot be halved twice"):
        resnet(8, 10, shape)


@pytest.mark.parametrize(("classes", "width"), [(1, 16), (10, 0)])
def test_a_network_without_a_choice_or_channels_is_refused(classes, width):
    with refused("num_classes ≥ 2 and width ≥ 1"):
        resnet(8, classes, width=width)


@pytest.mark.parametrize(
    "normalization",
    [5, ("a", "b"), ([1.0] * 2, [1.0] * 2), ([1.0] * 3, [np.nan] * 3), ([1.0] * 3, [-1.0] * 3)],
)
def test_a_standardisation_that_is_none_is_refused(normalization):
    with refused("^normalization is not .* each of the 3 channels"):
        resnet(8, 10, normalization=normalization)


def test_one_number_stands_for_all_channels(batch):
    images = np.repeat(batch[0], 3, axis=-1)
    mixed, said = (
        resnet(8, 4, (8, 8, 3), 2, seed=1, normalization=normalization)
        for normalization in (([0.1, 0.2, 0.3], 4), ([0.1, 0.2, 0.3], [4.0] * 3))
    )
    assert mixed(images).numpy() == pytest.approx(said(images).numpy(), rel=1e-6)


@pytest.mark.parametrize("shape", [(4, 4, 1), (7, 9, 1), (5, 12, 3), (9, 6, 2), (33, 31, 3)])
def test_any_size_is_halved_twice_rounding_up(network, shape):
    built = network(0, shape=shape)
    sizes = [tuple(-(-side // stride) for side in shape[:2]) for stride in (1, 2, 4)]
    for section, size in zip((1, 2, 3), sizes):
        channels = 2 * 2 ** (section - 1)
        assert built.get_layer(f"p{section}").output.shape == (None, *size, channels)
    images = np.random.default_rng(0).normal(size=(2, *shape))
    assert built(images.astype(np.float32)).numpy() == pytest.approx(
        reference_logits(built, images, 1), rel=1e-4, abs=1e-4
    )


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_logits_are_those_of_a_residual_network_written_in_numpy(network, depth):
    built = network(0, depth=depth, width=3)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    expected = reference_logits(built, images, (depth - 2) // 6)
    assert built(images).numpy() == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert np.ptp(expected, axis=0).max() > 0.01


def test_statistics_are_running_averages_over_about_ten_batches(network):
    built = network(0)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    stem = next(x for x in built.layers if isinstance(x, layers.BatchNormalization))
    kernel = next(x for x in built.layers if isinstance(x, layers.Conv2D)).kernel.numpy()
    mean, variance = stem.moving_mean.numpy(), stem.moving_variance.numpy()
    maps = convolve(np.float64(images), kernel, 1)
    built(images, training=True)
    assert stem.moving_mean.numpy() == pytest.approx(
        0.9 * mean + 0.1 * maps.mean(axis=(0, 1, 2)), rel=1e-4, abs=1e-5
    )
    assert stem.moving_variance.numpy() == pytest.approx(
        0.9 * variance + 0.1 * maps.var(axis=(0, 1, 2)), rel=1e-4, abs=1e-5
    )


def test_kernels_start_he_normal(networks):
    for layer in networks[32].layers:
        if isinstance(layer, layers.Conv2D) and layer.kernel.shape[2] >= 32:
            kernel = layer.kernel.numpy()
            assert kernel.std() == pytest.approx(np.sqrt(2 / kernel[..., 0].size), rel=0.05)
            assert abs(kernel.mean()) < 0.1 * kernel.std()
            assert not layer.use_bias


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    seeds = (5, 5, 6, None, None)
    one, same, *others = (resnet(14, 4, (8, 8, 1), 2, seed=seed).get_weights() for seed in seeds)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    # Layers of one shape start from different weights, too.
    kernels = [w.tobytes() for weights in (one, *others) for w in weights if w.ndim > 1]
    assert len(set(kernels)) == len(kernels) == 4 * 14


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_any_precision(policy, precision):
    policy(precision)
    built = resnet(8, 4, (8, 8, 1), 2, normalization=([127.0], [1000.0]), seed=0)
    assert built(np.zeros((1, 8, 8, 1), np.uint8)).dtype == "float32"
    compute = {"float32": "float32"}.get(precision, precision.removeprefix("mixed_"))
    assert built.get_layer("p3").output.dtype == compute
    assert {v.dtype for v in built.variables if v.name != "count"} == {"float32"}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_normalization_removes_mean_and_deviation_of_each_channel(policy, precision):
    policy(precision)
    mean, variance = [125.3, 122.9, 113.8], [3968.0, 3861.0, 4455.0]
    built = resnet(8, 4, (8, 8, 3), 2, normalization=(mean, variance))
    (layer,) = (x for x in built.layers if isinstance(x, layers.Normalization))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    seen = keras.Model(built.input, layer.output)(images).numpy()
    expected = (images - np.array(mean)) / np.sqrt(variance)
    assert seen == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_network_starts_from_the_normalised_images():
    mean, variance = [120.0], [900.0]
    with_it = resnet(8, 4, (8, 8, 1), 2, normalization=(mean, variance), seed=0)
    without = resnet(8, 4, (8, 8, 1), 2, seed=0)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    standardised = ((images - 120.0) / 30).astype(np.float32)
    assert with_it(images).numpy() == pytest.approx(without(standardised).numpy(), abs=1e-5)


def test_a_saved_network_loads_in_safe_mode_and_names_nothing_of_this_package(tmp_path):
    built = resnet(14, 4, (7, 9, 3), 2, normalization=(np.full(3, 9.0), np.ones(3)), seed=0)
    built.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras", compile=False, safe_mode=True)
    images = np.random.default_rng(0).normal(size=(4, 7, 9, 3)).astype(np.float32)
    assert np.array_equal(loaded(images), built(images))
    assert [x.name for x in loaded.layers] == [x.name for x in built.layers]
    with zipfile.ZipFile(tmp_path / "network.keras") as archive:
        text = archive.read("config.json").decode()
    assert "skt_tf" not in text
    assert json.loads(text)["module"].startswith("keras")


def test_the_name_says_the_depth_unless_given():
    assert resnet(14, 4, (8, 8, 1), 2).name == "resnet14"
    assert resnet(14, 4, (8, 8, 1), 2, name="teacher").name == "teacher"
