"""The networks of the field's standard protocol: those that its papers train."""

import keras
import numpy as np
import pytest
from keras import layers
from sentences import refused

from skt_tf.configuration import Config
from skt_tf.models.architectures import STANDARD
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.cost import check_memory
from skt_tf.models.maps import check_order, first_layers
from skt_tf.models.points import RESNET
from skt_tf.models.standard_networks import standard_network

# name → (blocks of a section, channels of the stem and the sections, trained parameters for 100
# classes as PyTorch counts them in the code of RepDistiller and of mdistiller).
PEERS = {
    "resnet56": (9, (16, 16, 32, 64), 861_620),
    "resnet20": (3, (16, 16, 32, 64), 278_324),
    "resnet32x4": (5, (32, 64, 128, 256), 7_433_860),
    "resnet8x4": (1, (32, 64, 128, 256), 1_233_540),
    "wrn_40_2": (6, (16, 32, 64, 128), 2_255_156),
    "wrn_16_2": (2, (16, 32, 64, 128), 703_284),
}
SMALL = ("resnet20", "resnet8x4", "wrn_16_2")


@pytest.fixture(scope="module")
def networks():
    return {name: standard_network(name, 100, seed=0) for name in PEERS}


@pytest.fixture(scope="module")
def drawn():
    """{name: a network for small images whose batch normalisation is not what it begins as}."""
    random, found = np.random.default_rng(0), {}
    for name in SMALL:
        found[name] = network = standard_network(name, 4, (10, 7, 2), seed=1)
        for layer in network.layers:
            if isinstance(layer, layers.BatchNormalization):
                shape = layer.gamma.shape
                scales = [random.uniform(0.5, 1.5, shape), random.normal(size=shape)]
                statistics = [random.normal(size=shape), random.uniform(0.5, 1.5, shape)]
                layer.set_weights([*scales, *statistics])
    return found


def trained(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


@pytest.mark.parametrize("name", PEERS)
def test_the_parameters_are_as_many_as_the_peers(name, networks):
    blocks, (stem, *sections), number = PEERS[name]
    wide = name.startswith("wrn")
    # A convolution, and a scale and a shift for each channel that is normalised.
    count = 9 * 3 * stem + (0 if wide else 2 * stem)
    before = stem
    for width in sections:
        count += 9 * (before * width + (2 * blocks - 1) * width**2)
        if before != width:
            count += before * width + (0 if wide else 2 * width)
        # What comes in is normalised in place of what goes out.
        count += 2 * (before + (2 * blocks - 1) * width) if wide else 4 * blocks * width
        before = width
    count += 2 * before if wide else 0
    count += 100 * before + 100
    assert trained(networks[name]) == count == number


def convolve(maps, kernel, stride=1):
    """A convolution as PyTorch pads it: around every `stride`-th pixel from the first."""
    size = len(kernel)
    padded = np.pad(maps, [(0, 0), *[(size // 2, size // 2)] * 2, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows[:, ::stride, ::stride], kernel, optimize=True)


class Reference:
    """Inference in float64 NumPy, from the weights of a network's layers."""

    def __init__(self, network):
        self.network = network

    def conv(self, maps, name, stride=1):
        kernel = self.network.get_layer(f"{name}_conv").kernel.numpy().astype(np.float64)
        return convolve(maps, kernel, stride)

    def norm(self, maps, name):
        gamma, beta, mean, variance = self.network.get_layer(f"{name}_norm").get_weights()
        return (maps - mean) / np.sqrt(np.float64(variance) + 1e-5) * gamma + beta

    def residual(self, maps, place, stride, channels):
        inner = relu(self.norm(self.conv(maps, f"{place}_1", stride), f"{place}_1"))
        inner = self.norm(self.conv(inner, f"{place}_2"), f"{place}_2")
        if stride > 1 or maps.shape[-1] != channels:
            shortcut = f"{place}_shortcut"
            maps = self.norm(self.conv(maps, shortcut, stride), shortcut)
        return relu(inner + maps)

    def wide(self, maps, place, stride, channels):
        rectified = relu(self.norm(maps, f"{place}_1"))
        inner = relu(self.norm(self.conv(rectified, f"{place}_1", stride), f"{place}_2"))
        inner = self.conv(inner, f"{place}_2")
        if maps.shape[-1] != channels:
            maps = self.conv(rectified, f"{place}_shortcut", stride)
        return inner + maps

    def run(self, images):
        """The maps at p0 … p3, and the logits."""
        name = self.network.name
        blocks, (_, *sections), _ = PEERS[name]
        wide = name.startswith("wrn")
        maps = self.conv(images, "stem")
        maps = maps if wide else relu(self.norm(maps, "stem"))
        found = [maps]
        for section, channels in enumerate(sections, start=1):
            for block in range(1, blocks + 1):
                stride = 2 if section > 1 and block == 1 else 1
                kind = self.wide if wide else self.residual
                maps = kind(maps, f"s{section}b{block}", stride, channels)
            found.append(maps)
        if wide:
            maps = relu(self.norm(maps, "end"))
        kernel, bias = self.network.get_layer("logits").get_weights()
        return [*found, maps.mean(axis=(1, 2)) @ kernel + bias]


def relu(maps):
    return np.maximum(maps, 0)


def seen(network, images):
    points = [network.get_layer(f"p{k}").output for k in range(4)]
    return keras.Model(network.input, [*points, network.output])(images)


@pytest.mark.parametrize("name", SMALL)
def test_points_and_logits_are_those_of_the_network_written_in_numpy(name, drawn):
    images = np.random.default_rng(0).normal(size=(2, 10, 7, 2)).astype(np.float32)
    expected = Reference(drawn[name]).run(images)
    # A teacher that is frozen, too: at the points nothing has been normalised that was not.
    for network in (drawn[name], fold_batch_norm(drawn[name], "float32")):
        for found, there in zip(seen(network, images), expected, strict=True):
            assert np.ptp(there) > 0.1
            np.testing.assert_allclose(found, there, rtol=1e-3, atol=1e-4 * np.abs(there).max())


@pytest.mark.parametrize("name", PEERS)
def test_the_points_follow_each_other_and_have_their_section_s_channels(name, networks):
    network, (_, channels, _) = networks[name], PEERS[name]
    for point in RESNET.points:
        section = int(point[1])
        size = 32 // 2 ** max(0, section - 1)
        output = network.get_layer(point).output
        assert output.shape == (None, size, size, channels[section]), point
    points = first_layers(network, dict(zip(RESNET.points, RESNET.points)))
    for section in (1, 2, 3):
        first = network.get_layer(points[f"f{section}"])
        assert isinstance(first, layers.ReLU)
        assert first.output.shape == network.get_layer(f"p{section}").output.shape
    if STANDARD[name].blocks > 1:
        check_order(network, points)
    # Activations behind the sum, or the sum itself.
    kind = layers.Add if name.startswith("wrn") else layers.ReLU
    assert all(type(network.get_layer(f"p{k}")) is kind for k in (1, 2, 3))


@pytest.mark.parametrize("name", PEERS)
def test_a_middle_has_half_of_its_section_s_convolutions_behind_it(name, networks):
    network = networks[name]
    for section in (1, 2, 3):
        behind = keras.Model(network.input, network.get_layer(f"m{section}").output)
        number = sum(
            layer.name.startswith(f"s{section}") and layer.name.endswith(("_1_conv", "_2_conv"))
            for layer in behind.layers
        )
        assert number == STANDARD[name].blocks


@pytest.mark.parametrize("name", PEERS)
def test_weights_begin_as_pytorch_leaves_them(name, networks):
    network = networks[name]
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D) and layer.kernel.shape[-2] >= 32:
            kernel = layer.kernel.numpy()
            fan_out = kernel[:, :, 0].size
            assert kernel.std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.06)
            assert not layer.use_bias
        if isinstance(layer, layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
    kernel, bias = network.get_layer("logits").get_weights()
    bound = len(kernel) ** -0.5
    assert 0.98 * bound < np.abs(kernel).max() <= bound
    if name.startswith("wrn"):
        assert not bias.any()
    else:
        assert 0.8 * bound < np.abs(bias).max() <= bound


def test_a_seed_fixes_the_weights_and_no_two_layers_have_the_same():
    one, same, other = (
        standard_network("resnet8x4", 4, (8, 8, 1), seed=seed).get_weights() for seed in (5, 5, 6)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    kernels = [w.tobytes() for weights in (one, other) for w in weights if w.ndim > 1]
    assert len(set(kernels)) == len(kernels) == 2 * 11


@pytest.mark.parametrize("name", SMALL)
def test_it_standardises_images_itself_and_loads_without_this_package(name, tmp_path):
    mean, variance = [120.0], [900.0]
    given = standard_network(name, 4, (8, 8, 1), normalization=(mean, variance), seed=0)
    plain = standard_network(name, 4, (8, 8, 1), seed=0)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    standardised = ((images - 120.0) / 30).astype(np.float32)
    np.testing.assert_allclose(given(images), plain(standardised), rtol=1e-4, atol=1e-4)
    given.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras", compile=False, safe_mode=True)
    assert np.array_equal(loaded(images), given(images))
    assert given.name == name


def test_what_cannot_be_built_is_refused():
    with refused(r"'resnet8' is unknown \(did you mean resnet\w+\?\): expected one of resnet56"):
        standard_network("resnet8", 10)
    with refused("cannot be halved twice"):
        standard_network("wrn_16_2", 10, (3, 3, 1))
    with refused("num_classes ≥ 2"):
        standard_network("wrn_16_2", 1)
    with refused("^normalization is not"):
        standard_network("wrn_16_2", 2, normalization=(1, 2, 3))


def test_what_is_too_large_for_this_machine_is_refused_by_its_name():
    names = {"teacher_network": "resnet32x4", "student_network": "resnet8x4"}
    check_memory(Config(**names), (32, 32, 3))
    with refused("^batch_size=100000000 and teacher_network=resnet32x4 need .* GB"):
        check_memory(Config(**names, batch_size=10**8), (32, 32, 3))
