"""Kept targets are the teacher's FSP matrices of the very images that a batch shows."""

import numpy as np
import pytest
from sentences import refused

from skt_tf.data.batches import training_batches
from skt_tf.data.datasets import Dataset
from skt_tf.methods.fsp import flow_model
from skt_tf.models.points import dense_flows, disjoint_flows
from skt_tf.training.kept_targets import keep_targets

FLOWS = dense_flows()


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    pictures = random.integers(0, 4, (20, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(20, dtype=np.int32)
    return Dataset("random", pictures, labels, pictures, labels, 20, True)


@pytest.fixture
def keep(network, images, tmp_path):
    def run(views=2, path=tmp_path / "new" / "targets.float16", **options):
        return keep_targets(network(1), FLOWS, images, views, 3, path, batch_size=8, **options)

    return run


@pytest.mark.parametrize("flows", [FLOWS, disjoint_flows(), FLOWS[4:]])
def test_a_batch_carries_the_matrices_of_the_images_it_shows(network, images, keep, flows):
    view = flow_model(network(1), flows)
    for pictures, _, targets in training_batches(images, 6, 1, 9, kept=keep(), flows=flows):
        for kept, computed in zip(targets, view(pictures, training=False), strict=True):
            assert kept.dtype == "float32"
            # Float16 keeps eleven bits.
            atol = 2e-3 * np.abs(computed).max()
            np.testing.assert_allclose(kept, computed, rtol=2e-3, atol=atol)


def shown(images, kept, epochs, seed=1):
    """{(epoch, image): picture} over whole epochs."""
    found = {}
    for k, (pictures, labels, _) in enumerate(
        training_batches(images, 20, seed, epochs, kept=kept, flows=FLOWS)
    ):
        found |= {(k, int(n)): p.numpy().tobytes() for p, n in zip(pictures, labels)}
    return found


def test_epochs_show_the_views_in_turn_and_no_others(images, keep):
    found = shown(images, keep(views=2), 4)
    again = shown(images, keep(views=2), 4, seed=9)
    assert len(found) == 80
    for number in range(20):
        views = [found[epoch, number] for epoch in range(4)]
        assert views[:2] == views[2:]
        # Whatever the net, the views are the same.
        assert views == [again[epoch, number] for epoch in range(4)]
    assert sum(found[0, n] != found[1, n] for n in range(20)) > 10


def test_targets_are_those_of_the_teacher_that_is_given_and_not_what_lies_there(keep):
    kept = keep()
    written = kept.path.read_bytes()
    assert len(written) == kept.size == 40 * kept.shape[1] * 2
    kept.path.write_bytes(b"\0" * kept.size)
    assert keep() == kept
    assert kept.path.read_bytes() == written
    assert len(keep(views=1).path.read_bytes()) == kept.size // 2


def test_a_further_worker_finds_targets_and_writes_none(keep):
    with refused("share one output_dir"):
        keep(write=False)
    kept = keep()
    kept.path.write_bytes(b"\0" * kept.size)
    assert keep(write=False) == kept
    assert set(kept.path.read_bytes()) == {0}


def test_the_size_is_said_before_the_file_is_made(keep, capsys):
    kept = keep()
    assert f"{kept.size / 1e6:,.0f} MB" in capsys.readouterr().out


def test_targets_that_the_disk_cannot_hold_are_refused(keep, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with refused(r"targets of 2 views need .* give fewer"):
        keep()
    assert not list(tmp_path.iterdir())


def test_matrices_beyond_float16_are_refused(network, images, tmp_path):
    teacher = network(1)
    for variable in teacher.trainable_variables:
        if variable.name == "gamma":
            variable.assign(1e4 * variable)
    with refused("too large for float16"):
        keep_targets(teacher, FLOWS, images, 1, 0, tmp_path / "targets")
    assert not list(tmp_path.iterdir())
