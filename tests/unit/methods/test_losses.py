"""What a stage minimises, from outputs to losses."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from sentences import refused

from skt_tf.methods.catalogue import stages
from skt_tf.methods.losses import Hint, SoftTask, Task, Transfer, objective
from skt_tf.models.points import dense_flows, disjoint_flows

LABELS = np.array([0, 2, 1, 2], np.int32)


def random(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def cross_entropy(logits):
    return -special.log_softmax(np.float64(logits), axis=1)[np.arange(4), LABELS].mean()


def divergence(targets, outputs, temperature):
    """KL(teacher ‖ student) of outputs softened by the temperature, averaged over the batch."""
    soft = [special.softmax(np.float64(x) / temperature, axis=1) for x in (targets, outputs)]
    return special.rel_entr(*soft).sum(axis=1).mean()


def test_transfer_is_the_weighted_squared_error_summed_over_entries_averaged_over_images():
    flows = disjoint_flows()
    weights = dict(zip(flows, (1.0, 0.5, 3.0)))
    shapes = [(4, 2, 2), (4, 2, 4), (4, 4, 8)]
    targets, outputs = ([random(*s, seed=seed) for s in shapes] for seed in (1, 2))
    losses = Transfer(flows, weights).losses(LABELS, targets, outputs, 0.0)
    assert list(losses) == ["p0_p1", "p1_p2", "p2_p3"]
    for loss, weight, target, output in zip(losses.values(), weights.values(), targets, outputs):
        squares = sum(np.sum((np.float64(t) - o) ** 2) for t, o in zip(target, output))
        assert float(loss) == pytest.approx(weight * squares / 4, rel=1e-5)


def test_transfer_without_weights_is_the_papers_with_lambda_one():
    flows = dense_flows()
    targets, outputs = [random(4, 2, 3)] * 5, [random(4, 2, 3, seed=1)] * 5
    plain = Transfer(flows).losses(LABELS, targets, outputs, 0.0)
    tenfold = Transfer(flows, dict.fromkeys(flows, 10.0)).losses(LABELS, targets, outputs, 0.0)
    error = np.square(np.float64(targets[0]) - outputs[0]).sum() / 4
    assert [float(loss) for loss in plain.values()] == pytest.approx([error] * 5, rel=1e-5)
    assert [float(loss) for loss in tenfold.values()] == pytest.approx([10 * error] * 5, rel=1e-5)


def test_transfer_takes_each_flows_weight_by_name_and_not_by_position():
    flows = (("p1", "p2"),)
    weights = {("p0", "p1"): 7.0, ("p1", "p2"): 2.0}
    (loss,) = (
        Transfer(flows, weights)
        .losses(LABELS, [np.zeros((4, 1, 1), np.float32)], [np.ones((4, 1, 1), np.float32)], 0.0)
        .values()
    )
    assert float(loss) == 2.0


def test_a_flow_without_a_weight_is_refused_by_name():
    with refused("no λ for the flows p1_p2, p2_p3"):
        Transfer(disjoint_flows(), {("p0", "p1"): 1.0})


def test_networks_of_other_channels_are_refused_with_every_flow(network, teacher):
    listed = r"p0_p1 \(2×2 and 3×3\), p1_p2 \(2×4 and 3×6\), p2_p3 \(4×8 and 6×12\)"
    with refused(rf"differ in shape: {listed}; .*, or projections .* \(project\)$"):
        Transfer(disjoint_flows()).views(teacher, network(0, width=3))


def test_networks_of_other_map_sizes_can_teach_each_other(network, teacher):
    views = Transfer(dense_flows()).views(teacher, network(0, shape=(12, 12, 1)))
    assert [a.shape for a in views[0].outputs] == [b.shape for b in views[1].outputs]


@pytest.mark.parametrize("objective_class", [Task, SoftTask])
def test_cross_entropy_is_the_mean_negative_log_probability_of_the_labels(objective_class):
    logits = random(4, 3, scale=3)
    losses = objective_class().losses(LABELS, random(4, 3), logits, 0.0)
    assert float(losses["cross_entropy"]) == pytest.approx(cross_entropy(logits), rel=1e-5)


def test_cross_entropy_stays_finite_for_extreme_logits():
    logits = np.array([[1e4, 0, -1e4]] * 4, np.float32)
    loss = Task().losses(LABELS, None, logits, 0.0)["cross_entropy"]
    assert float(loss) == pytest.approx(cross_entropy(logits), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0, 20.0])
def test_softened_outputs_weigh_temperature_squared_by_default(temperature):
    targets, outputs = random(4, 3, scale=4), random(4, 3, seed=1, scale=4)
    for progress in (0.0, 0.5, 1.0):
        losses = SoftTask(temperature).losses(LABELS, targets, outputs, progress)
        assert list(losses) == ["cross_entropy", "softened"]
        expected = temperature**2 * divergence(targets, outputs, temperature)
        assert float(losses["softened"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("progress", "weight"), [(0, 4), (0.25, 3.25), (0.5, 2.5), (1, 1)])
def test_a_fading_weight_falls_linearly(progress, weight):
    targets, outputs = random(4, 3, scale=4), random(4, 3, seed=1, scale=4)
    losses = SoftTask(3.0, (4.0, 1.0)).losses(LABELS, targets, outputs, progress)
    expected = weight * divergence(targets, outputs, 3.0)
    assert float(losses["softened"]) == pytest.approx(expected, rel=1e-4)


def test_the_softened_gradient_is_that_of_hinton():
    targets, outputs = random(4, 3, scale=4), tf.constant(random(4, 3, seed=1, scale=4))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = SoftTask(3.0).losses(LABELS, targets, outputs, 0.0)["softened"]
    soft = [special.softmax(np.float64(x) / 3, axis=1) for x in (outputs, targets)]
    expected = 9 / 3 * (soft[0] - soft[1]) / 4
    assert tape.gradient(loss, outputs).numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_networks_of_other_classes_are_refused_with_both_numbers(network, teacher):
    with refused("4 classes and the student 5"):
        SoftTask().views(teacher, network(0, classes=5))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_hint_is_half_the_squared_error_summed_or_averaged_over_the_map(dtype):
    target, output = (random(4, 3, 5, 2, seed=seed).astype(dtype) for seed in (1, 2))
    squares = np.square(np.float64(output) - np.float64(target))
    total = Hint("sum").losses(LABELS, target, output, 0.0)["hint"]
    mean = Hint("mean").losses(LABELS, target, output, 0.0)["hint"]
    assert total.dtype == mean.dtype == tf.float32
    assert float(total) == pytest.approx(0.5 * squares.sum() / 4, rel=1e-5)
    assert float(mean) == pytest.approx(0.5 * squares.mean(), rel=1e-5)


def test_a_hint_needs_no_regressor_where_the_channels_agree(teacher, student, batch):
    hint, guided = Hint().views(teacher, student)
    assert "regressor" not in [layer.name for layer in guided.layers]
    for view, whole in ((hint, teacher), (guided, student)):
        middle = keras.Model(whole.input, whole.get_layer("m2").output)
        assert np.array_equal(view(batch[0]), middle(batch[0]))


def test_a_regressor_joins_other_channels_and_is_no_part_of_the_student(network, teacher, batch):
    student = network(0, width=3)
    before = [id(layer) for layer in student.layers]
    hint, guided = Hint().views(teacher, student)
    regressor = guided.get_layer("regressor")
    assert hint.output.shape == guided.output.shape == (None, 4, 4, 4)
    assert regressor.kernel.shape == (1, 1, 6, 4)
    assert [id(layer) for layer in student.layers] == before
    inside = {id(variable) for variable in student.variables}
    outside = [v for v in guided.trainable_variables if id(v) not in inside]
    assert {id(v) for v in outside} == {id(v) for v in regressor.variables}
    maps = keras.Model(student.input, student.get_layer("m2").output)(batch[0]).numpy()
    expected = maps @ regressor.kernel.numpy()[0, 0] + regressor.bias.numpy()
    assert guided(batch[0]).numpy() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_regressor_starts_from_the_same_weights_in_every_run(network, teacher):
    student = network(0, width=3)
    first, second = (Hint().views(teacher, student)[1].get_layer("regressor") for _ in range(2))
    assert np.array_equal(first.kernel.numpy(), second.kernel.numpy())


def test_of_hints_of_other_map_sizes_the_larger_is_pooled(network, teacher):
    student = network(0, shape=(16, 16, 1))
    _, guided = Hint().views(teacher, student)
    images = np.random.default_rng(0).normal(size=(3, 16, 16, 1)).astype(np.float32)
    maps = keras.Model(student.input, student.get_layer("m2").output)(images).numpy()
    assert maps.shape == (3, 8, 8, 4)
    expected = maps.reshape(3, 4, 2, 4, 2, 4).max(axis=(2, 4))
    assert np.array_equal(guided(images), expected)


def test_hints_of_which_neither_map_is_the_larger_are_refused_with_both(network):
    with refused(r"teacher and student, of sizes \(4, 8\) and \(8, 4\)"):
        Hint().views(network(0, shape=(8, 16, 1)), network(1, shape=(16, 8, 1)))


def test_the_task_looks_at_the_student_alone(student):
    assert Task().views(None, student) == (None, student)


def test_a_stage_names_its_objective_and_the_run_its_settings():
    transfer = objective(stages("skt")[1], flow_weights=dict.fromkeys(dense_flows(), 2.0))
    assert isinstance(transfer, Transfer)
    assert transfer.flows == dense_flows()
    assert set(transfer.weights.values()) == {2.0}
    assert isinstance(objective(stages("hint")[0]), Hint)
    assert type(objective(stages("skt")[2])) is Task
    kd = objective(stages("kd")[0], temperature=5.0)
    assert (type(kd), kd.temperature, kd.weight) == (SoftTask, 5.0, (25.0, 25.0))
    fading = objective(stages("hint")[1], temperature=5.0)
    assert (fading.temperature, fading.weight) == (5.0, (4.0, 1.0))


def test_the_hint_stage_takes_the_runs_reduction():
    maps = np.ones((4, 2, 2, 2), np.float32)
    for reduction, expected in (("sum", 4.0), ("mean", 0.5)):
        hint = objective(stages("hint")[0], hint_reduction=reduction)
        assert float(hint.losses(LABELS, maps, 0 * maps, 0.0)["hint"]) == expected


def test_an_unknown_objective_is_refused_with_the_known_ones():
    stage = dataclasses.replace(stages("baseline")[0], objective="guess")
    with refused("'guess': expected transfer, hint, task, soft_task or losses"):
        objective(stage)
