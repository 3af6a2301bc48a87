"""Objectives against their papers' formulas, written once more in loops."""

import itertools
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from objective_inputs import batch_of, built, differentiated, of_sections, seen, shapes
from peer_values import check
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
        ("mlkd", {"standardized": True, "terms": ("batch",)}),
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
    losses = {name: whole["losses"][name] for name in ("kd", "dkd", "sp", "pkt")}
    losses["dkd"]["value"] *= 1 + 1e-4
    losses["sp"]["hyperparameters"]["rows"] = 3
    losses["pkt"]["gradients"]["feat_s"]["norm"] = float("nan")
    losses["unheard_of"] = losses["kd"]
    (tmp_path / "losses.json").write_text(json.dumps({**whole, "losses": losses}))
    shutil.copy(PEERS / "losses.npz", tmp_path)
    assert check(tmp_path) == ["dkd", "sp", "pkt", "unheard_of"]
    assert "5 losses, 0 left out, 4 off or unknown" in capsys.readouterr().out
