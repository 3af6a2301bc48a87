"""Objectives against their papers' formulas, written once more in loops."""

import itertools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from objective_inputs import batch_of, built, differentiated, of_sections, seen, shapes
from peer_values import check, ours_of, parameters_of
from scipy import special

from skt_tf.methods.objective import Batch, Seen
from skt_tf.methods.objective_names import find
from skt_tf.methods.shapes import average_pool_to

PEERS = pathlib.Path(__file__).parents[3] / "peers"


def loss_of(name, teacher, student, **parameters):
    objective = built(find(name), **parameters)
    teacher, student = (of_sections(objective, one) for one in (teacher, student))
    return tf.reduce_mean(objective.loss(teacher, student, batch_of())).numpy()


@pytest.fixture
def both():
    return seen(1), seen(2)


def float64(x):
    return np.asarray(x, np.float64)


def test_all_losses_of_the_peers_are_met(capsys):
    assert check(PEERS) == []
    assert "38 losses, 0 left out" in capsys.readouterr().out


def test_dkd_takes_the_label_and_the_rest_apart(both):
    total = 0.0
    for t, s, y in zip(float64(both[0].logits), float64(both[1].logits), batch_of().labels):
        p = [special.softmax(z / 4) for z in (t, s)]
        binary = special.rel_entr(*([q[y], 1 - q[y]] for q in p)).sum()
        rest = special.rel_entr(*(special.softmax(np.delete(z, y) / 4) for z in (t, s))).sum()
        total += 16 * (1.0 * binary + 2.0 * rest) / 4
    assert loss_of("dkd", *both) == pytest.approx(total, rel=1e-5)


def test_dist_is_one_minus_the_correlations_of_rows_and_columns(both):
    taught, outputs = (special.softmax(float64(x.logits) / 4, axis=1) for x in both)
    inter = np.mean([np.corrcoef(t, s)[0, 1] for t, s in zip(taught, outputs)])
    intra = np.mean([np.corrcoef(t, s)[0, 1] for t, s in zip(taught.T, outputs.T)])
    assert loss_of("dist", *both) == pytest.approx(16 * (2 - inter - intra), rel=1e-4)


def test_at_compares_where_maps_are_active(both):
    expected = 0.0
    for t, s in zip(*(x.maps for x in both)):
        for taught, maps in zip(float64(t), float64(s)):
            q = [(x**2).mean(-1).ravel() for x in (taught, maps)]
            q = [x / np.sqrt((x**2).sum()) for x in q]
            expected += np.mean((q[0] - q[1]) ** 2) / 4
    assert loss_of("at", *both) == pytest.approx(expected, rel=1e-5)


def test_nst_is_a_discrepancy_over_pairs_of_channels(both):
    expected = 0.0
    for t, s in zip(*(x.maps for x in both)):
        for pair in zip(float64(t), float64(s)):
            units = []
            for maps in pair:
                columns = maps.reshape(-1, maps.shape[-1]).T
                units.append([c / max(np.linalg.norm(c), 1e-12) for c in columns])

            def mean(first, second):
                return np.mean([(a @ b) ** 2 for a, b in itertools.product(first, second)])

            taught, outputs = units
            found = mean(taught, taught) + mean(outputs, outputs) - 2 * mean(outputs, taught)
            expected += found / 4
    assert loss_of("nst", *both) == pytest.approx(expected, rel=1e-4)


def test_rkd_compares_distances_and_angles(both):
    def huber(x):
        return x**2 / 2 if abs(x) < 1 else abs(x) - 0.5

    distances, angles = [], []
    for x in both:
        f = float64(x.embedding)
        d = np.array([[np.linalg.norm(a - b) for b in f] for a in f])
        distances.append(d / d[~np.eye(4, dtype=bool)].mean())
        e = [[(b - a) / max(np.linalg.norm(b - a), 1e-12) for b in f] for a in f]
        angles.append([e[i][j] @ e[i][k] for i, j, k in itertools.product(range(4), repeat=3)])
    expected = 25 * np.mean([huber(x) for x in (distances[1] - distances[0]).ravel()])
    expected += 50 * np.mean([huber(s - t) for t, s in zip(*angles)])
    assert loss_of("rkd", *both) == pytest.approx(expected, rel=1e-4)


def test_a_gaussian_kernel_of_many_orders_is_the_gaussian(both):
    kernels = []
    for x in both:
        u = float64(x.embedding)
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        kernels.append([[np.exp(-0.4 * ((a - b) ** 2).sum()) for b in u] for a in u])
    expected = np.linalg.norm(np.subtract(*kernels)) / 16
    found = loss_of("cc", *both, kernel="gaussian", width=None, order=12)
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_gradient_of_dist_is_that_of_finite_differences(both):
    objective = built(find("dist"))
    _, (gradient,) = differentiated(objective, *both, batch_of())
    for place in ((0, 0), (1, 3), (3, 4)):
        values = []
        for step in (1e-2, -1e-2):
            logits = both[1].logits.numpy()
            logits[place] += step
            values.append(float(objective.loss(both[0], Seen(logits), Batch())))
        expected = (values[0] - values[1]) / 2e-2
        assert float(gradient[place]) == pytest.approx(expected, rel=2e-2, abs=1e-3)


def test_the_networks_scale_is_nothing_to_standardised_logits(both):
    teacher, student = both
    for name, parameters in (
        ("logit_std_kd", {}),
        ("dkd", {"standardized": True}),
        ("dist", {"standardized": True}),
    ):
        first = loss_of(name, teacher, student, **parameters)
        second = loss_of(name, teacher, Seen(7 * student.logits + 2), **parameters)
        assert first == pytest.approx(second, rel=1e-4)


def test_average_pooling_is_adaptive():
    maps = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    pooled = average_pool_to(tf.constant(maps), (2, 3)).numpy()
    for i, rows in enumerate(((0, 3), (2, 5))):
        for j, columns in enumerate(((0, 3), (2, 5), (4, 7))):
            cell = maps[:, slice(*rows), slice(*columns)].mean((1, 2))
            assert pooled[:, i, j] == pytest.approx(cell, rel=1e-5, abs=1e-6)


def test_multi_level_distillation_standardises_its_softened_outputs_alone(both):
    """As in the code of Sun et al.; and the strong view's labels are the recipe's."""
    teacher, student = both
    scaled = Seen(7 * student.logits + 2)
    options = {"masked": False, "weak_temperatures": (), "cross_entropy": 0}
    alike, second = {}, batch_of()._replace(second=(teacher, student))
    for term in ("kd", "class", "batch"):
        objective = built(find("mlkd"), terms=(term,), standardized=True, **options)
        values = [
            float(objective.loss(teacher, one, second._replace(second=(teacher, one))))
            for one in (student, scaled)
        ]
        alike[term] = values[0] == pytest.approx(values[1], rel=1e-4)
    assert alike == {"kd": True, "class": False, "batch": False}
    with_labels, without = (
        float(built(find("mlkd"), cross_entropy=factor).loss(teacher, scaled, second))
        for factor in (0.25, 0)
    )
    logits, labels = float64(student.logits), np.asarray(second.labels)
    entropy = [np.log(np.exp(z - z[k]).sum()) for z, k in zip(logits, labels)]
    assert with_labels - without == pytest.approx(0.25 * np.mean(entropy), rel=1e-3)


RECIPES = json.loads((PEERS / "losses.json").read_text())["losses"]
# RepDistiller's weight of fsp does nothing: it trains flows first, and never afterwards.
WEIGHED = [
    name
    for name, entry in RECIPES.items()
    if isinstance(ours_of(name).objective, str) and name != "fsp"
    if entry["recipe"]["weight"] is not None
]


@pytest.mark.parametrize("name", WEIGHED)
def test_the_weights_are_those_of_the_recipes(name):
    recipe, ours = RECIPES[name]["recipe"], ours_of(name)
    weight = recipe["weight"]
    weight = weight["resnet56 to resnet20"] if isinstance(weight, dict) else weight
    objective = find(ours.objective)(**parameters_of(ours, RECIPES[name]))
    assert objective.weight == weight
    points = {"one": 1, "three": 3, "four": 4}.get(recipe["where"].split()[0])
    if "maps" in objective.looks_at and points:  # Of four the last is the embedding.
        assert len([0, 1, 2][objective.sections]) == min(points, 3)
    # The code of logit standardisation is mdistiller's, whose DKD grows.
    grows = "min(epoch/20, 1)" in recipe.get("remark", "") or name == "logit_std_dkd"
    assert objective.warmup == (pytest.approx(20 / 240) if grows else 0)


def test_what_the_recipes_say_is_what_is_assumed():
    taken = {
        "dkd": {"alpha": 1, "beta": RECIPES["dkd"]["recipe"]["beta"]["resnet56 to resnet20"]},
        "dist": {"temperature": 4, "beta": 1, "gamma": 1},
        "logit_std_kd": {"temperature": RECIPES["logit_std_kd"]["hyperparameters"]["T"]},
        "crd": {"negatives": 16384, "width": 128, "temperature": 0.07, "momentum": 0.5},
        "rkd": RECIPES["rkd"]["hyperparameters"],
        "vid": {"variance": RECIPES["vid"]["hyperparameters"]["initial_variance"]},
        "cc": {"width": RECIPES["cc"]["hyperparameters"]["recipe_width"]},
        "mlkd": {"temperatures": (*RECIPES["mlkd"]["hyperparameters"]["temperatures"],)},
        "at": {"power": 2},
    }
    for name, parameters in taken.items():
        assert parameters.items() <= find(name)().parameters().items(), name


def test_reviewkd_is_what_its_authors_fuse():
    """From the formulas of Chen et al., in float64."""
    of, teacher = (
        shapes(maps=maps)
        for maps in (((8, 8, 2), (4, 4, 3), (2, 2, 5)), ((8, 8, 3), (4, 4, 4), (2, 2, 6)))
    )
    objective = built(find("reviewkd"), teacher, of)
    taught, outputs = seen(2, of=teacher), seen(1, of=of)
    found = float(tf.reduce_mean(objective.loss(taught, outputs, batch_of())))

    def normalized(x):
        return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)

    def convolved(x, kernel):
        kernel, (height, width) = float64(kernel), x.shape[1:3]
        side = kernel.shape[0] // 2
        padded = np.pad(x, ((0, 0), (side, side), (side, side), (0, 0)))
        return sum(
            padded[:, i : i + height, j : j + width] @ kernel[i, j]
            for i in range(2 * side + 1)
            for j in range(2 * side + 1)
        )

    def resized(x, size):
        places = [k * x.shape[1] // size for k in range(size)]
        return x[:, places][:, :, places]

    def context(one, other):
        height = one.shape[1]
        total, weights = ((one - other) ** 2).mean(), [1.0]
        for level in (4, 2, 1):
            if level < height:
                cell = height // level
                shape = (len(one), level, cell, level, cell, -1)
                pooled = (x.reshape(shape).mean((2, 4)) for x in (one, other))
                weights.append(weights[-1] / 2)
                total += weights[-1] * (np.subtract(*pooled) ** 2).mean()
        return total / sum(weights)

    maps, targets = (
        [*map(float64, x.maps), float64(x.embedding)[:, None, None]] for x in (outputs, taught)
    )
    expected, behind = 0.0, None
    for k in (3, 2, 1, 0):
        head = objective.heads[k]
        x = normalized(convolved(maps[k], head.entry.kernel))
        if k < 3:
            behind = resized(behind, x.shape[1])
            shares = convolved(np.concatenate([x, behind], -1), head.attention.kernel)
            shares = 1 / (1 + np.exp(-shares - float64(head.attention.bias)))
            x = x * shares[..., :1] + behind * shares[..., 1:]
        behind = resized(x, targets[k].shape[1])
        expected += context(normalized(convolved(behind, head.exit.kernel)), targets[k])
    assert found == pytest.approx(expected, rel=1e-5)


def test_reviewkd_fuses_from_the_deepest_map_to_the_first():
    of, teacher = (shapes(maps=maps) for maps in (((6, 6, 2), (3, 3, 5)), ((8, 8, 3), (4, 4, 4))))
    objective = built(find("reviewkd"), teacher, of)
    assert [head.channels for head in objective.heads] == [6, 6, 6]
    outputs = seen(1, of=of)
    found, behind = objective.heads[2](outputs.embedding[:, None, None], None, training=True)
    assert found.shape == (4, 1, 1, 6)
    for head, maps, target in zip(objective.heads[1::-1], outputs.maps[::-1], teacher.maps[::-1]):
        found, behind = head(maps, behind, training=True)
        assert found.shape == (4, *target)
        assert behind.shape == (4, *target[:2], 6)
    _, gradients = differentiated(objective, seen(2, of=teacher), outputs, batch_of())
    assert all(np.abs(gradient).max() > 0 for gradient in gradients[1:3])


def test_what_is_off_or_unknown_in_a_folder_of_the_peers_is_named(tmp_path, capsys):
    whole = json.loads((PEERS / "losses.json").read_text())
    names = ("kd", "dkd", "sp", "pkt", "fsp", "fsp_torchdistill", "at")
    losses = {name: whole["losses"][name] for name in names}
    losses["dkd"]["value"] *= 1 + 1e-4
    losses["sp"]["hyperparameters"]["rows"] = 3
    losses["pkt"]["gradients"]["feat_s"]["norm"] = float("nan")
    losses["unheard_of"] = losses["kd"]
    losses["at"]["gradients"]["unseen"] = losses["at"]["gradients"]["s1"]
    (tmp_path / "losses.json").write_text(json.dumps({**whole, "losses": losses}))
    with np.load(PEERS / "losses.npz") as arrays:
        arrays = dict(arrays)
    arrays["fsp.matrix_max1"] *= 1 + 1e-4
    arrays["fsp_torchdistill.grad.s2"] *= -1
    np.savez(tmp_path / "losses.npz", **arrays)
    off = ["dkd", "sp", "pkt", "fsp", "fsp_torchdistill", "at", "unheard_of"]
    assert check(tmp_path) == off
    assert "8 losses, 0 left out, 7 off or unknown" in capsys.readouterr().out
