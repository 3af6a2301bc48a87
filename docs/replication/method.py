"""The method in plain JAX: networks, flows, losses and a step of their optimizer.

Written from docs/method.md, with nothing of skt_tf, so that each can be held against the other.
Nets of one method train side by side: in a map [batch, height, width, nets·channels] each has
its own channels, in a variable [nets, …] its own row, and no net sees another.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from docs.replication.protocol import POINTS, TEMPERATURE


def convolutions(depth, width):
    """{name: (channels in, channels out, stride)} of a network, in order of depth."""
    found, before = {"stem": (3, width, 1)}, width
    for section in (1, 2, 3):
        channels = width * 2 ** (section - 1)
        for block in range(1, (depth - 2) // 6 + 1):
            stride = 2 if section > 1 and block == 1 else 1
            found[f"s{section}b{block}_1"] = before, channels, stride
            found[f"s{section}b{block}_2"] = channels, channels, 1
            before = channels
    return found


def new_net(key, depth, width, classes):
    """(weights, moving statistics) of one net: {layer: {variable: array}} each."""

    def he_normal(key, *shape):  # Truncated at two deviations, as Keras draws it.
        deviation = math.sqrt(2 / math.prod(shape[:-1])) / 0.87962566103423978
        return deviation * jax.random.truncated_normal(key, -2, 2, shape)

    weights, moving = {}, {}
    for number, (name, (inputs, channels, _)) in enumerate(convolutions(depth, width).items()):
        kernel = he_normal(jax.random.fold_in(key, number), 3, 3, inputs, channels)
        one, zero = jnp.ones(channels), jnp.zeros(channels)
        weights[name] = {"kernel": kernel, "gamma": one, "beta": zero}
        moving[name] = {"mean": zero, "variance": one}
    kernel = he_normal(jax.random.fold_in(key, 1000), 4 * width, classes)
    weights["logits"] = {"kernel": kernel, "bias": jnp.zeros(classes)}
    return weights, moving


def convolve(x, kernels, stride, side):
    """Every net's convolution: in groups, or as one whose kernel is zero between the nets."""
    nets, _, _, inputs, channels = kernels.shape
    groups = nets if side == "grouped" else 1
    if groups == 1:
        kernels = kernels[..., None, :] * jnp.eye(nets)[:, None, None, None, :, None]
        kernels = jnp.moveaxis(kernels, 0, 2)
    else:
        kernels = jnp.moveaxis(kernels, 0, 3)
    kernel = kernels.reshape(3, 3, inputs * nets // groups, nets * channels).astype(x.dtype)
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def normalize(x, layer, moving, training):
    """Batch normalisation in float32, and the moving statistics after it."""
    x = x.astype(jnp.float32)
    mean, variance = moving["mean"].ravel(), moving["variance"].ravel()
    if training:
        mean = x.mean((0, 1, 2))
        variance = jnp.maximum(jnp.square(x).mean((0, 1, 2)) - jnp.square(mean), 0)
        now = {"mean": mean, "variance": variance}
        moving = {k: 0.9 * old + 0.1 * now[k].reshape(old.shape) for k, old in moving.items()}
    x = (x - mean) * (lax.rsqrt(variance + 1e-5) * layer["gamma"].ravel()) + layer["beta"].ravel()
    return x, lax.stop_gradient(moving)


def shortcut(x, nets, channels, stride):
    """Option A: every other pixel, and channels of zeros on both sides of each net's own."""
    x = x[:, ::stride, ::stride].reshape(*x[:, ::stride, ::stride].shape[:3], nets, -1)
    missing = channels - x.shape[-1]
    x = jnp.pad(x, [(0, 0)] * 4 + [(missing // 2, missing - missing // 2)])
    return x.reshape(*x.shape[:3], -1)


def walk(weights, moving, moved, images, training, side):
    """Yields (point, maps) in order of depth; layers that were passed leave `moved` statistics."""
    nets = len(weights["stem"]["kernel"])
    blocks = sum(name.startswith("s1") for name in weights) // 2

    def unit(x, name, stride=1):
        x = convolve(x, weights[name]["kernel"], stride, side)
        x, moved[name] = normalize(x, weights[name], moving[name], training)
        return x

    def relu(x):
        return jax.nn.relu(x).astype(images.dtype)

    x = relu(unit(images, "stem"))
    yield "p0", x
    for section in (1, 2, 3):
        for block in range(1, blocks + 1):
            name, stride = f"s{section}b{block}", 2 if section > 1 and block == 1 else 1
            inner = relu(unit(x, f"{name}_1", stride))
            if block == 1:
                yield f"f{section}", inner
            if 2 * block == blocks + 1:
                yield f"m{section}", inner
            residual = unit(inner, f"{name}_2")
            x = relu(residual + shortcut(x, nets, residual.shape[-1] // nets, stride))
            if 2 * block == blocks:
                yield f"m{section}", x
        yield f"p{section}", x


def forward(weights, moving, images, until=None, training=False, side="dense"):
    """Maps by point as far as `until`, logits [nets, batch, classes] without it, statistics."""
    maps, moved = {}, {}
    for point, x in walk(weights, moving, moved, images, training, side):
        maps[point] = x
        if point == until:
            return maps, None, moved
    head = weights["logits"]
    features = x.astype(jnp.float32).mean((1, 2)).reshape(len(x), len(head["kernel"]), -1)
    logits = jnp.einsum("bnc,nck->nbk", features, head["kernel"]) + head["bias"][:, None]
    return maps, logits, moved


# --- Flows and losses -----------------------------------------------------------------------


def last_point(kind, flows):
    """The deepest point that a stage looks at; None where it looks at the logits."""
    if kind == "transfer":
        return max((point for flow in flows for point in flow), key=POINTS.index)
    return "m2" if kind == "hint" else None


def fsp(first, second, nets):
    """FSP matrices [nets, batch, m, n] of maps, the larger max-pooled; in float32."""
    size = min(first.shape[1], second.shape[1])

    def positions(x):
        window = x.shape[1] // size
        x = x.reshape(len(x), size, window, size, window, -1).max((2, 4))
        return x.reshape(len(x), size * size, nets, -1).astype(jnp.float32)

    matrices = jnp.einsum("bpni,bpnj->nbij", positions(first), positions(second))
    return matrices / size**2


def lessons(kind, flows, teacher, images, nets):
    """What the teacher says to images [nets·batch, …]: matrices, a map or logits, by net."""
    maps, logits, _ = forward(*teacher, images, last_point(kind, flows))
    if kind == "transfer":
        found = [fsp(maps[a], maps[b], 1)[0] for a, b in flows]
    else:
        found = [maps["m2"] if kind == "hint" else logits[0]]
    return [x.reshape(nets, -1, *x.shape[1:]) for x in found]


def losses(kind, flows, weights, moving, images, labels, lesson, factors, soft, side="dense"):
    """({part: [nets]}, moving statistics) of a batch; images [batch, height, width, nets·3]."""
    nets = len(labels)
    maps, logits, moved = forward(weights, moving, images, last_point(kind, flows), True, side)
    if kind == "transfer":
        errors = [jnp.square(t - fsp(maps[a], maps[b], nets)) for t, (a, b) in zip(lesson, flows)]
        parts = [λ * error.sum((2, 3)).mean(1) for λ, error in zip(factors, errors)]
        return {"_".join(flow): part for flow, part in zip(flows, parts)}, moved
    if kind == "hint":
        guided = jnp.moveaxis(maps["m2"].reshape(*maps["m2"].shape[:3], nets, -1), 3, 0)
        error = jnp.square(guided.astype(jnp.float32) - lesson[0].astype(jnp.float32))
        return {"hint": 0.5 * error.sum((2, 3, 4)).mean(1)}, moved
    entropy = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], 2)
    parts = {"cross_entropy": entropy.mean((1, 2))}
    if kind == "soft_task":
        taught, said = (jax.nn.log_softmax(x / TEMPERATURE) for x in (lesson[0], logits))
        parts["softened"] = soft * (jnp.exp(taught) * (taught - said)).sum(2).mean(1)
    return parts, moved


def descend(state, parts_of, rate, decay):
    """A step of SGD, momentum 0.9, with ½·decay·‖W‖² of the kernels that the loss reaches."""
    weights, velocity, moving = state

    def total(weights):
        parts, moved = parts_of(weights)
        return sum(part.sum() for part in parts.values()), (parts, moved)

    gradients, (parts, moved) = jax.grad(total, has_aux=True)(weights)
    reached = {*moved, "logits"} if "cross_entropy" in parts else {*moved}
    new = {}, {}
    for name, layer in weights.items():
        for each in new:
            each[name] = {}
        for kind, w in layer.items():
            decayed = decay * w if kind == "kernel" and name in reached else 0
            v = 0.9 * velocity[name][kind] - rate * (gradients[name][kind] + decayed)
            new[0][name][kind], new[1][name][kind] = w + v, v
    return (*new, {**moving, **moved}), parts, gradients
