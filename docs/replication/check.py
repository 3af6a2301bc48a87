"""Compares this implementation with skt_tf, whose values reference.py has put in a file."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from docs.replication.method import descend, forward, fsp, lessons, losses
from docs.replication.protocol import ALL_FLOWS, CASES, DECAY, EVERY

HERE = pathlib.Path(__file__).parent
STATISTICS = "mean", "variance"
# Of values, relative to the largest of their kind; of gradients, relative to their norm.
VALUES, GRADIENTS = 1e-5, 1e-4


def flat(tree):
    """Every thirteenth number of a tree {layer: {variable: array}}, in the order of the names."""
    leaves = [np.ravel(tree[layer][name]) for layer in sorted(tree) for name in sorted(tree[layer])]
    return np.concatenate(leaves)[::EVERY]


def computed(reference):
    """{name: array} of what reference.npz holds, from its networks and images."""

    def network(prefix):
        weights, moving = {}, {}
        for key in reference:
            of, *place = key.split("/")
            if of == prefix and len(place) == 2:
                tree = moving if place[1] in STATISTICS else weights
                tree.setdefault(place[0], {})[place[1]] = jnp.asarray(reference[key])[None]
        return weights, moving

    teacher, student = network("teacher"), network("student")
    mean, deviation = reference["mean"], np.sqrt(reference["variance"])
    images = jnp.float32((reference["images"] - mean) / deviation)
    labels, found = jnp.asarray(reference["labels"])[None], {}
    for name, (weights, moving), training in (
        ("teacher", teacher, False),
        ("student", student, True),
    ):
        maps, logits, _ = forward(weights, moving, images, None, training)
        found[f"logits/{name}"] = logits[0]
        for flow in ALL_FLOWS:
            matrix = fsp(maps[flow[0]], maps[flow[1]], 1)[0]
            found[f"fsp/{name}/{'_'.join(flow)}"] = matrix
            if name == "teacher":
                found[f"factor/{'_'.join(flow)}"] = 1 / jnp.square(matrix).sum((1, 2)).mean()
    for case, (kind, flows, equal, soft, rate) in CASES.items():
        factors = [1.0 if equal else found[f"factor/{'_'.join(flow)}"] for flow in flows]
        lesson = None if kind == "task" else lessons(kind, flows, teacher, images, 1)
        weights, moving = student
        state = weights, jax.tree.map(jnp.zeros_like, weights), moving
        for number, now in enumerate((rate, rate / 10), start=1):

            def parts_of(weights, moving=state[2]):
                return losses(kind, flows, weights, moving, images, labels, lesson, factors, soft)  # noqa: B023

            state, parts, gradients = jax.jit(descend, static_argnums=1)(
                state, parts_of, now, DECAY
            )
            if number == 1:
                found |= {f"loss/{case}/{part}": value[0] for part, value in parts.items()}
                found[f"gradient/{case}"] = flat(gradients)
            found[f"after{number}/{case}"] = flat(
                {layer: {**state[0][layer], **state[2].get(layer, {})} for layer in state[0]}
            )
    return found


def check():
    """Prints how far each kind of value differs; 0 if all lie within the bounds, else 1."""
    reference = dict(np.load(HERE / "reference.npz"))
    found, worst = computed(reference), {}
    for name, value in found.items():
        kind, there = name.split("/")[0], reference[name]
        norm = np.linalg.norm if kind == "gradient" else lambda x: np.max(np.abs(x))
        error = float(norm(np.ravel(value - there)) / norm(np.ravel(there)))
        worst[kind] = max(worst.get(kind, (0.0, "")), (error, name))
    failed = 0
    for kind, (error, name) in worst.items():
        bound = GRADIENTS if kind == "gradient" else VALUES
        failed |= not error <= bound
        print(f"{kind}: {error:.1e} at most ({name}), {bound:.0e} allowed")
    print("DIFFERS" if failed else f"agrees in {len(found)} values")
    return int(failed)
