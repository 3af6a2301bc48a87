"""Images on the device, and the programs that run there: hundreds of steps of a stage in one call.

Written from docs/method.md, with nothing of skt_tf.
"""

import concurrent.futures
import functools
import io
import math
import pathlib
import sys
import time
import typing

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from PIL import Image

from docs.replication.method import (
    convolutions,
    descend,
    forward,
    fsp,
    last_point,
    lessons,
    losses,
    new_net,
)


class Data(typing.NamedTuple):
    """Images on the device: padded training images, and those that accuracy is measured on."""

    padded: jax.Array  # [number, size + 2·margin, size + 2·margin, 3], uint8
    labels: jax.Array
    mean: jax.Array  # Of each channel over the training images.
    deviation: jax.Array
    test_images: jax.Array
    test_labels: jax.Array


def read(dataset, folder):
    """(images, labels) of the training and of the test set, from the parts in `folder`."""
    parts = sorted(pathlib.Path(folder).glob(f"{dataset}.*.npz"))
    if not parts:
        sys.exit(f"{folder} has no parts of {dataset}: expected {dataset}.0.npz and so on")
    found = {"train": ([], []), "test": ([], [])}
    for part in map(np.load, parts):
        if int(part["parts"]) != len(parts):
            sys.exit(f"{folder} has {len(parts)} of {part['parts']} parts of {dataset}")
        for split, (images, labels) in found.items():
            blob, ends = part[f"{split}_blob"].tobytes(), np.cumsum(part[f"{split}_lengths"])
            for first, last in zip([0, *ends], ends):
                images.append(np.asarray(Image.open(io.BytesIO(blob[first:last])).convert("RGB")))
            labels.append(part[f"{split}_labels"])
    return [
        (np.concatenate(images).reshape(-1, 32, 32, 3), np.concatenate(labels).astype(np.int32))
        for images, labels in found.values()
    ]


def on_device(train, test, setting):
    """The `Data` of a setting; images held out take the test images' place."""
    images, labels = train
    if setting.held_out:
        share, random = setting.held_out / len(labels), np.random.default_rng(0)
        held = [random.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
        held = np.concatenate([of_class[: round(len(of_class) * share)] for of_class in held])
        test, kept = (images[held], labels[held]), np.delete(np.arange(len(labels)), held)
        images, labels = images[kept], labels[kept]
    mean = images.mean((0, 1, 2), dtype=np.float64)
    deviation = np.concatenate([images[..., k].std(dtype=np.float64)[None] for k in range(3)])
    colour, margin = np.rint(mean).astype(np.uint8), 4 if setting.crop else 0
    number, size = images.shape[:2]
    padded = np.tile(colour, (number, size + 2 * margin, size + 2 * margin, 1))
    padded[:, margin : margin + size, margin : margin + size] = images
    numbers = (np.float32(mean), np.float32(deviation))
    return Data(*map(jnp.asarray, (padded, labels, *numbers, *test)))


def draw(keys, start, steps, batch, number, limits):
    """Which images, and how cropped and mirrored, [steps, nets, batch (, 3)], from `start` on.

    Every image comes once an epoch, in an order of each net's own.
    """
    position = start * batch + jnp.arange(steps * batch)
    epochs = position // number - position[0] // number

    def of_net(key):
        order, moves = jax.random.split(key)
        spanned = position[0] // number + jnp.arange(steps * batch // number + 2)
        keys = jax.vmap(lambda epoch: jax.random.fold_in(order, epoch))(spanned)
        orders = jax.vmap(lambda key: jax.random.permutation(key, number))(keys)
        chosen = orders[epochs, position % number].reshape(steps, batch)
        shape = steps, batch, 3
        return chosen, jax.random.randint(jax.random.fold_in(moves, start), shape, 0, limits)

    return jax.vmap(of_net, out_axes=1)(keys)


def views(padded, chosen, moves, size):
    """The chosen images, cropped at moves' (top, left) and mirrored where the third is 1."""

    def view(k, move):
        crop = lax.dynamic_slice(padded, (k, move[0], move[1], 0), (1, size, size, 3))[0]
        return jnp.where(move[2] == 1, crop[:, ::-1], crop)

    return jax.vmap(view)(chosen, moves)


def standardize(images, data, dtype):
    return ((images.astype(jnp.float32) - data.mean) / data.deviation).astype(dtype)


def over_batches(function, images):
    """`function` of a batch, for all images, batch after batch."""
    batch = math.gcd(len(images), 500)
    return lax.map(function, images.reshape(-1, batch, *images.shape[1:]))


@functools.partial(jax.jit, static_argnames=("side", "dtype"))
def predict(weights, moving, images, data, dtype, side="dense"):
    """Logits [nets, number, classes] of uint8 images."""
    nets = len(weights["stem"]["kernel"])

    def logits(batch):
        batch = jnp.tile(standardize(batch, data, dtype), nets)
        return forward(weights, moving, batch, side=side)[1]

    return jnp.concatenate(over_batches(logits, images), 1)


@functools.partial(jax.jit, static_argnames=("flows", "dtype"))
def mean_squares(teacher, images, data, flows, dtype):
    """mean ‖G‖² of each flow over uint8 images, whose inverse λ is."""

    def squares(batch):
        maps = forward(*teacher, standardize(batch, data, dtype), last_point("transfer", flows))[0]
        return [jnp.square(fsp(maps[a], maps[b], 1)[0]).sum((1, 2)) for a, b in flows]

    return [squared.mean() for squared in over_batches(squares, images)]


class Spec(typing.NamedTuple):
    """What one compiled program does: hundreds of steps of a kind of stage."""

    kind: str
    flows: tuple
    depth: int
    teacher_depth: int  # 0 where the teacher is not run.
    width: int
    classes: int
    nets: int
    side: str
    dtype: str
    batch: int
    steps: int
    number: int
    margin: int
    mirror: bool

    @property
    def flops(self):
        """Of one step: training is three forward passes."""

        def forward_flops(depth):
            size, total = 32, 8 * self.width * self.classes
            for inputs, channels, stride in convolutions(depth, self.width).values():
                size //= stride
                total += 2 * 9 * inputs * channels * size**2
            return total

        taught = forward_flops(self.teacher_depth) if self.teacher_depth else 0
        return self.nets * self.batch * (3 * forward_flops(self.depth) + taught)

    @property
    def expected(self):
        """Seconds of a step: its FLOPs at the share of a Hopper chip's 8·10¹⁴ a second that
        convolutions of few channels reach, by guess, until a program has been measured."""
        share = min(0.02 * (self.width / 16) ** 2 * (1 + self.nets) / 2, 0.25)
        return self.flops / (8e14 * share)


def steps_of(spec):
    """The function that `spec` describes, to be compiled."""

    def run(state, start, keys, given, decay, factors, teacher, table, data):
        limits = jnp.array([2 * spec.margin + 1, 2 * spec.margin + 1, 1 + spec.mirror])
        size = data.padded.shape[1] - 2 * spec.margin

        def step(state, now):
            chosen, moves, rate, soft, live = now
            images = views(data.padded, chosen.ravel(), moves.reshape(-1, 3), size)
            images = standardize(images, data, spec.dtype)
            lesson = None
            if table is not None:
                lesson = [table[view_number(moves, spec), chosen]]
            elif teacher is not None:
                lesson = lessons(spec.kind, spec.flows, teacher, images, spec.nets)
            beside = images.reshape(spec.nets, spec.batch, size, size, 3)
            beside = jnp.moveaxis(beside, 0, 3).reshape(spec.batch, size, size, -1)

            def parts_of(weights):
                given = beside, data.labels[chosen], lesson, factors, soft, spec.side
                return losses(spec.kind, spec.flows, weights, state[2], *given)

            new, parts, _ = descend(state, parts_of, rate, decay)
            # A last call has steps to spare, which change nothing.
            return jax.tree.map(lambda a, b: jnp.where(live, a, b), new, state), parts

        drawn = draw(keys, start, spec.steps, spec.batch, spec.number, limits)
        # On CPUs a loop makes convolutions many times slower: there --steps=2, without one.
        unroll = True if jax.default_backend() == "cpu" else 1
        return lax.scan(step, state, (*drawn, *given), unroll=unroll)

    return run


def view_number(moves, spec):
    top, left, mirrored = jnp.moveaxis(moves, -1, 0)
    return (top * (2 * spec.margin + 1) + left) * (1 + spec.mirror) + mirrored


def new_nets(keys, depth, width, classes):
    return jax.vmap(lambda key: new_net(key, depth, width, classes))(keys)


class Programs:
    """Compiled programs, and how long their steps take."""

    def __init__(self):
        self.device = jax.devices()[0].device_kind
        self.seconds, self.ratios, self.compiled = {}, [], {}
        self.pool = concurrent.futures.ThreadPoolExecutor(8)

    def program(self, spec, data):
        """The compiled steps of `spec`, a future: programs compile beside each other."""

        def arguments():
            keys = jax.random.split(jax.random.key(0), spec.nets)
            weights, moving = new_nets(keys, spec.depth, spec.width, spec.classes)
            taught = table = None
            if spec.teacher_depth:
                taught = new_nets(keys[:1], spec.teacher_depth, spec.width, spec.classes)
            elif spec.kind == "soft_task":
                moves = (2 * spec.margin + 1) ** 2 * (1 + spec.mirror)
                table = jnp.zeros((moves, spec.number, spec.classes))
            given = jnp.zeros(spec.steps), jnp.zeros(spec.steps), jnp.zeros(spec.steps, bool)
            rest = given, jnp.float32(0), jnp.zeros(len(spec.flows)), taught, table
            return (weights, weights, moving), jnp.int32(0), keys, *rest

        if spec not in self.compiled:
            lower, shapes = jax.jit(steps_of(spec)).lower, jax.eval_shape(arguments)
            self.compiled[spec] = self.pool.submit(lambda: lower(*shapes, data).compile())
        return self.compiled[spec]

    def name(self, spec):
        shape = f"{spec.teacher_depth}>{spec.depth}x{spec.width} {spec.nets}{spec.side}"
        return f"{self.device} {spec.dtype} {spec.kind}{len(spec.flows)} {shape} {spec.batch}"

    def time(self, spec, seconds):
        """Notes the measured `seconds` of a step."""
        self.seconds[self.name(spec)] = seconds
        self.ratios.append(seconds / spec.expected)

    def seconds_of(self, spec):
        """Seconds of a step: measured, else expected as others turned out."""
        ratio = float(np.median(self.ratios)) if self.ratios else 1.0
        return self.seconds.get(self.name(spec), spec.expected * ratio)

    def measure(self, specs, data):
        """Measures the first steps of a task, of those that have not been measured yet."""
        new = [spec for spec in specs if self.name(spec) not in self.seconds]
        for spec in new:  # All compile beside each other, then they run one by one.
            self.program(spec, data)
        for spec in new:
            keys = jax.random.split(jax.random.key(0), spec.nets)
            weights, moving = new_nets(keys, spec.depth, spec.width, spec.classes)
            state = weights, jax.tree.map(jnp.zeros_like, weights), moving
            given = np.full((2, spec.steps), 1e-4, np.float32)
            given = given[0], given[1], np.ones(spec.steps, bool)
            call, none = self.program(spec, data).result(), np.zeros(0, np.float32)
            rest = np.float32(0), none, None, None, data
            for _ in range(2):  # The first call is slower.
                began = time.monotonic()
                state, _ = call(state, np.int32(0), keys, given, *rest)
                jax.block_until_ready(state)
            self.time(spec, (time.monotonic() - began) / spec.steps)
