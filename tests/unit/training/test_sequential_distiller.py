"""One stage of training: what moves, by how much, and what does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from sentences import refused

from skt_tf.methods.catalogue import TASK, Stage, stages
from skt_tf.models.points import dense_flows, flow_name
from skt_tf.models.resnet import resnet
from skt_tf.training.sequential_distiller import SequentialDistiller

POINTS = ("p0", "m1", "p1", "m2", "p2", "m3", "p3")
KD = stages("kd")[0]
HINT, FADING = stages("hint")
STEP1, STEP2, _ = stages("skt")
KINDS = {"transfer": STEP2, "hint": HINT, "soft_task": FADING, "task": TASK}


def transfer(*flows):
    return Stage("transfer", "transfer", {}, flows)


def compiled(teacher, student, stage, rate=1e-3, momentum=0.0, traced=False, **settings):
    """A distiller ready to fit; a few steps take less time than tracing one."""
    distiller = SequentialDistiller(teacher, student, stage, **settings)
    distiller.compile(keras.optimizers.SGD(rate, momentum=momentum), run_eagerly=not traced)
    return distiller


def fit(distiller, batch, steps=1):
    """Fits to the same batch again and again; the logs of each step."""
    data = tf.data.Dataset.from_tensors(batch).repeat()
    return distiller.fit(data, epochs=steps, steps_per_epoch=1, shuffle=False, verbose=0).history


def values(variables):
    return [variable.numpy() for variable in variables]


def unchanged(before, variables):
    return [a.tobytes() == b.numpy().tobytes() for a, b in zip(before, variables, strict=True)]


def update(distiller, batch):
    """The logs of one step, and by how much it moves each trainable variable of the student."""
    before = values(distiller.student.trainable_variables)
    logs = fit(distiller, batch)
    after = values(distiller.student.trainable_variables)
    return logs, [b - a for a, b in zip(before, after)]


@pytest.fixture
def in_float64(policy):
    """A copy of an 8-layer network that computes in float64, from images to {point: map}."""

    def copy(network):
        policy("float64")
        width = network.get_layer("p0").output.shape[-1]
        twin = resnet(8, network.output.shape[-1], network.input.shape[1:], width)
        policy("float32")
        twin.set_weights(network.get_weights())
        return keras.Model(twin.input, {p: twin.get_layer(p).output for p in POINTS})

    return copy


@pytest.fixture
def flow_losses(reference_fsp):
    """{flow: λ ‖Gᵀ − Gˢ‖²}, averaged over the images, in NumPy from the maps at the points."""

    def losses(targets, outputs, weights):
        result = {}
        for flow, weight in weights.items():
            taught, learnt = (reference_fsp(*(m[p] for p in flow)) for m in (targets, outputs))
            result[flow] = weight * np.square(taught - learnt).sum(axis=(1, 2)).mean()
        return result

    return losses


@pytest.mark.parametrize("overlap", ["span", "half"])
@pytest.mark.parametrize("mode", ["batch", "inference"])
def test_the_transfer_loss_and_its_gradient_are_those_of_the_formula(
    teacher, student, batch, in_float64, flow_losses, overlap, mode
):
    # Without the first flow: a masked one may lie anywhere.
    weights = dict(zip(dense_flows(overlap)[1:], (0.5, 0.1, 1.0, 0.2)))
    targets = in_float64(teacher)(batch[0], training=False)
    twin = in_float64(student)
    trained = twin.trainable_variables

    def losses():
        return flow_losses(targets, twin(batch[0], training=mode == "batch"), weights)

    expected = {flow_name(flow): loss for flow, loss in losses().items()}
    gradients = {}
    # The largest entry of a few variables of every kind and depth.
    for number in (0, 1, 2, 3, 7, 8, 9, 14, 18, 19, 20):
        value = trained[number].numpy()
        index = np.unravel_index(np.argmax(np.abs(value)), value.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = value.copy()
            moved[index] += step
            trained[number].assign(moved)
            ends.append(sum(losses().values()))
        trained[number].assign(value)
        gradients[number, index] = (ends[0] - ends[1]) / 2e-6

    settings = {"flow_weights": weights, "transfer_batch_norm": mode}
    logs, moves = update(compiled(teacher, student, transfer(*weights), 1.0, **settings), batch)
    assert {name: logs[name][0] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert logs["loss"][0] == pytest.approx(sum(expected.values()), rel=1e-4)
    assert set(logs) == {"loss", *expected}
    assert max(map(abs, gradients.values())) > 1
    for (number, index), gradient in gradients.items():
        assert -moves[number][index] == pytest.approx(gradient, rel=1e-3, abs=1e-3), number


def test_what_lies_behind_the_deepest_flow_has_no_influence_and_does_not_change(
    network, teacher, batch
):
    results = []
    for disturbed in (False, True):
        student = network(2)
        # The stem and the first section: three convolutions, each a kernel and two factors.
        front, behind = student.trainable_variables[:9], student.trainable_variables[9:]
        if disturbed:
            for variable in behind:
                variable.assign(3 * variable + 1)
        before = values(student.variables)
        distiller = compiled(
            teacher, student, transfer(("p0", "p1")), momentum=0.9, weight_decay=0.1
        )
        results.append((fit(distiller, batch, 3), values(front)))
        same = unchanged(before, student.variables)
        still = {id(v) for v, one in zip(student.variables, same) if one}
        assert {id(v) for v in behind} <= still
        # Beside the front, the two statistics of each of its normalisations move.
        assert not {id(v) for v in front} & still
        assert len(student.variables) - len(still) == len(front) + 2 * 3
    (logs, front), (disturbed_logs, disturbed_front) = results
    assert logs == disturbed_logs
    assert all(np.array_equal(a, b) for a, b in zip(front, disturbed_front))


@pytest.mark.parametrize(
    ("stage", "convolutions", "flows", "heads"),
    [
        (transfer(("p0", "p1")), 5 + 3, 1, 0),
        (transfer(("m1", "m2")), 7 + 4, 1, 0),
        (STEP1, 13 + 7, 3, 0),
        (STEP2, 13 + 7, 5, 0),
        (HINT, 7 + 4, 0, 0),
        (TASK, 7, 0, 1),
        (KD, 13 + 7, 0, 2),
    ],
    ids=["section 1", "half", "disjoint", "dense", "hint", "task", "kd"],
)
def test_a_step_runs_each_network_once_and_no_further_than_the_stage_looks(
    network, student, batch, stage, convolutions, flows, heads
):
    distiller = compiled(network(1, depth=14), student, stage)
    graph = tf.function(distiller.train_step).get_concrete_function(batch).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    operations = [node.op for node in nodes]
    assert operations.count("Conv2D") == convolutions
    # A matrix for each flow of each network, and two products for the student's gradient.
    assert operations.count("BatchMatMulV2") == flows * (2 + 2)
    assert operations.count("MatMul") == heads + 2 * (heads > 0)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_moves_the_student_and_nothing_of_the_teacher(
    network, policy, batch, kind, precision
):
    policy(precision)
    teacher, student = network(1), network(2)
    before = values(teacher.variables), values(student.trainable_variables)
    # Sums over whole maps overflow half precision: such steps are skipped, not taken.
    settings = {"flow_weights": dict.fromkeys(dense_flows(), 1e-3), "hint_reduction": "mean"}
    traced = precision != "float32"
    distiller = compiled(
        teacher, student, KINDS[kind], momentum=0.9, traced=traced, steps=4, **settings
    )
    logs = fit(distiller, batch, 4)
    assert all(unchanged(before[0], teacher.variables))
    moved = [not same for same in unchanged(before[1], student.trainable_variables)]
    reached = {"transfer": 21, "hint": 12, "soft_task": 23, "task": 23}[kind]
    assert moved == [True] * reached + [False] * (23 - reached)
    assert all(np.isfinite(value) for column in logs.values() for value in column)
    assert {v.dtype for v in student.trainable_variables} == {"float32"}
    held = [id(v) for v in distiller.trainable_variables]
    assert held[:reached] == [id(v) for v in student.trainable_variables[:reached]]
    assert len(held) == reached
    # Used, not changed: whoever trains or saves it afterwards finds it as it was.
    assert len(teacher.trainable_variables) == 23


def test_a_regressor_is_trained_beside_the_student(network, teacher, batch):
    student = network(2, width=3)
    distiller = compiled(teacher, student, HINT, momentum=0.9)
    regressor = distiller.student_view.get_layer("regressor")
    before = values(regressor.variables)
    losses = fit(distiller, batch, 10)["loss"]
    assert unchanged(before, regressor.variables) == [False, False]
    assert losses[-1] < losses[0]
    assert regressor not in student.layers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["batch", "inference"])
def test_statistics_move_with_the_batches_unless_told_otherwise(
    teacher, student, batch, kind, mode
):
    statistics = [v for v in student.variables if v.name.startswith("moving_")]
    before = values(statistics)
    settings = {"transfer_batch_norm": mode, "steps": 1}
    fit(compiled(teacher, student, KINDS[kind], **settings), batch)
    same = unchanged(before, statistics)
    if mode == "inference" and kind in ("transfer", "hint"):
        assert all(same)
    else:
        looked_at = 8 if kind == "hint" else 14
        assert same == [False] * looked_at + [True] * (14 - looked_at)


def test_weight_decay_is_half_the_squared_norm_of_the_kernels_within_the_momentum(
    network, student, batch
):
    clone = network(2)
    rate, decay, momentum = 0.1, 0.05, 0.9
    fit(compiled(None, student, TASK, rate, momentum, weight_decay=decay), batch, 3)
    velocities = [np.zeros(v.shape) for v in clone.trainable_variables]
    for _ in range(3):
        with tf.GradientTape() as tape:
            probabilities = tf.nn.softmax(clone(batch[0], training=True))
            loss = -tf.reduce_mean(tf.math.log(tf.gather(probabilities, batch[1], batch_dims=1)))
        gradients = tape.gradient(loss, [v.value for v in clone.trainable_variables])
        for k, (variable, gradient) in enumerate(zip(clone.trainable_variables, gradients)):
            weights, total = np.float64(variable.numpy()), np.float64(gradient.numpy())
            if weights.ndim > 1:
                total = total + decay * weights
            velocities[k] = momentum * velocities[k] - rate * total
            variable.assign(weights + velocities[k])
    for variable, expected in zip(student.trainable_variables, clone.trainable_variables):
        assert variable.numpy() == pytest.approx(expected.numpy(), rel=1e-3, abs=2e-5)


def test_weight_decay_in_transfer_moves_what_the_flows_reach_and_is_not_in_the_shown_loss(
    network, teacher, batch
):
    results = [
        update(compiled(teacher, network(2), STEP1, 1.0, weight_decay=decay), batch)
        for decay in (0.0, 0.25)
    ]
    assert results[0][0] == results[1][0]
    start = network(2).trainable_variables
    for k, (plain, decayed) in enumerate(zip(results[0][1], results[1][1])):
        decays = start[k].shape[:2] == (3, 3)
        expected = plain - 0.25 * start[k].numpy() * decays
        assert decayed == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_every_kind_of_kernel_is_decayed(batch):
    images = keras.Input((8, 8, 1))
    x = keras.layers.SeparableConv2D(3, 3)(images)
    x = keras.layers.DepthwiseConv2D(3)(x)
    logits = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
    student = keras.Model(images, logits)
    for variable in student.trainable_variables:
        variable.assign(np.full(variable.shape, 0.5))
    # Of images without contents no kernel but the last layer's has a gradient.
    given = np.zeros_like(batch[0]), batch[1]
    fit(compiled(None, student, TASK, 1.0, weight_decay=0.25), given)
    for variable in student.trainable_variables[:-2]:
        left = 0.5 * (0.75 if variable.name.endswith("kernel") else 1.0)
        assert "bias" in variable.name or variable.numpy() == pytest.approx(left)


@pytest.mark.parametrize("kind", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_a_student_from_a_file_is_trained_in_the_precision_of_its_layers(kind, policy, tmp_path):
    policy(kind)
    resnet(8, 4, (8, 8, 1), 2).save(tmp_path / "student.keras")
    policy("float32")
    student = keras.models.load_model(tmp_path / "student.keras", compile=False)
    distiller = compiled(None, student, TASK)
    scaled = isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    assert distiller.dtype_policy.name == kind
    assert scaled == (kind == "mixed_float16")


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_weight_of_softened_outputs_fades_from_the_first_iteration_to_the_last(
    network, policy, batch, precision
):
    policy(precision)
    distiller = compiled(network(1), network(2), FADING, rate=0.0, steps=5)
    logs = fit(distiller, batch, 5)
    expected = logs["softened"][0] * np.array([4, 3.25, 2.5, 1.75, 1]) / 4
    assert logs["softened"] == pytest.approx(expected, rel=1e-3)
    assert logs["loss"] == pytest.approx(np.add(logs["cross_entropy"], logs["softened"]), rel=1e-5)


@pytest.mark.parametrize("together", [None, 3])
def test_a_weight_that_fades_counts_batches_and_ends_with_its_last(
    together, network, teacher, batch
):
    distiller = SequentialDistiller(teacher, network(2), FADING, steps=5)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=together)
    distiller.compile(optimizer, run_eagerly=True)
    found = np.array(fit(distiller, batch, 7)["softened"])
    assert found / found[0] == pytest.approx(np.array([4, 3.25, 2.5, 1.75, 1, 1, 1]) / 4, rel=1e-3)


def test_a_stage_of_one_iteration_has_the_first_weight(network, teacher, batch):
    one = fit(compiled(teacher, network(2), FADING, steps=1), batch)
    two = fit(compiled(teacher, network(2), FADING, steps=2), batch)
    assert one["softened"] == two["softened"]


def test_a_fading_weight_needs_the_length_of_the_stage(teacher, student):
    with refused("stage 'task' changes on the way: give steps=…"):
        SequentialDistiller(teacher, student, FADING)
    SequentialDistiller(teacher, student, KD)


@pytest.mark.parametrize("stage", [STEP1, HINT, KD], ids=["transfer", "hint", "soft_task"])
def test_a_stage_that_compares_needs_a_teacher(student, stage):
    with refused(f"stage '{stage.name}' needs a teacher"):
        SequentialDistiller(None, student, stage, steps=1)


def test_a_task_needs_no_teacher_and_does_not_touch_a_given_one(network, student, batch):
    teacher = network(1)
    fit(compiled(None, student, TASK), batch)
    SequentialDistiller(teacher, student, TASK)
    assert teacher.trainable
    assert len(student.trainable_variables) == 23


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_the_mean_over_all_images_whatever_the_batches(teacher, student, batch, kind):
    images, labels = batch[0][:7], batch[1][:7]
    distiller = compiled(teacher, student, KINDS[kind], steps=1)
    shown = distiller.evaluate(images, labels, batch_size=3, verbose=0, return_dict=True)
    logits = np.float64(student(images, training=False))
    entropy = -special.log_softmax(logits, axis=1)[np.arange(7), labels].mean()
    assert shown["loss"] == pytest.approx(entropy, rel=1e-4)
    if kind in ("task", "soft_task"):
        assert shown["accuracy"] == pytest.approx(np.mean(logits.argmax(1) == labels), rel=1e-5)


def test_the_task_shows_the_accuracy_of_the_batches_it_trains_on(network, batch):
    student = network(2)
    shown = fit(compiled(None, student, TASK), batch)
    logits = network(2)(batch[0], training=True).numpy()
    assert shown["accuracy"][0] == pytest.approx(np.mean(logits.argmax(1) == batch[1]), rel=1e-5)
    entropy = -special.log_softmax(np.float64(logits), axis=1)[np.arange(8), batch[1]].mean()
    assert shown["loss"][0] == pytest.approx(entropy, rel=1e-4)


def test_a_distiller_answers_as_its_student(teacher, student, batch):
    distiller = compiled(teacher, student, STEP1)
    assert np.array_equal(distiller(batch[0]), student(batch[0], training=False))


def test_xla_is_off_unless_asked_for(teacher, student):
    assert compiled(teacher, student, STEP1).jit_compile is False
    distiller = SequentialDistiller(teacher, student, STEP1)
    distiller.compile(keras.optimizers.SGD(), jit_compile=True)
    assert distiller.jit_compile is True


def sequential(seed):
    """A network that is no functional model, with the points p0, p1 and m2."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *(keras.layers.Conv2D(2, 3, name=name) for name in ("p0", "p1", "m2")),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
        ]
    )


@pytest.mark.parametrize("stage", [HINT, KD, transfer(("p0", "p1"))])
def test_sequential_models_teach_and_learn(batch, stage):
    teacher, student = sequential(1), sequential(2)
    logs = fit(compiled(teacher, student, stage, steps=2), batch, 2)
    assert 0 < logs["loss"][-1] < np.inf


def test_labels_may_be_a_column(teacher, network, batch):
    flat, column = (
        fit(compiled(teacher, network(2), KD), (batch[0], labels), 1)["loss"]
        for labels in (batch[1], batch[1][:, None])
    )
    assert flat == column


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64"])
def test_labels_may_be_integers_of_any_kind(dtype, teacher, network, batch):
    (images, labels), found = batch, []
    for given in (labels, labels.astype(dtype)):
        distiller = compiled(teacher, network(2), KD)
        logs = fit(distiller, (images, given))
        found.append((logs, distiller.evaluate(images, given, verbose=0, return_dict=True)))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_weight_two_moves_the_student_as_two_images_do(kind, network, teacher, batch):
    images, labels = batch
    number = np.array([2, 0, 1, 0, 1, 0, 0, 0])
    chosen = np.repeat(np.arange(8), number)
    updates, losses = [], []
    for given in ((images, labels, number), (images[chosen], labels[chosen])):
        student = network(2)
        for layer in student.layers:  # The statistics of a batch weigh all of its images alike.
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        settings = {"transfer_batch_norm": "inference", "steps": 5}
        distiller = compiled(teacher, student, KINDS[kind], 1e-2, **settings)
        if kind == "task":
            weights = number if given[2:] else None
            found = distiller.evaluate(*given[:2], 4, 0, weights, return_dict=True)["loss"]
        logs, moved = update(distiller, given)
        updates.append(moved)
        losses.append(logs["loss"][0])
        if kind == "task":
            losses[-1] += found
    # Over all eight images, of which these are worth four.
    assert losses[0] == pytest.approx(losses[1] / 2, rel=1e-4)
    assert max(np.abs(moved).max() for moved in updates[1]) > 1e-5
    for one, other in zip(*updates, strict=True):
        np.testing.assert_allclose(one, other / 2, rtol=1e-3, atol=1e-7)


def test_points_may_be_a_list_of_names(network, teacher, batch):
    named, listed = (
        fit(compiled(teacher, network(2), STEP2, teacher_points=given, student_points=given), batch)
        for given in (dict(zip(POINTS, POINTS)), list(POINTS))
    )
    assert named == listed


def test_what_a_distiller_cannot_use_is_refused(network, teacher, student, batch):
    with refused("the same model"):
        SequentialDistiller(student, student, KD)
    with refused("0 inputs and 0 outputs"):
        SequentialDistiller(keras.Sequential([keras.layers.Dense(2)]), student, KD)
    softmax = keras.Model(teacher.input, keras.layers.Softmax()(teacher.output))
    with refused("the teacher .* ends with a softmax"):
        SequentialDistiller(softmax, student, KD)
    with refused("the student .* ends with a softmax"):
        SequentialDistiller(None, softmax, TASK)
    with refused("differ in shape: p0_p1"):
        SequentialDistiller(teacher, network(2, width=3), STEP1)
    distiller = compiled(teacher, student, KD)
    with refused(r"batches of \(images, labels\)"):
        distiller.train_step((batch[0],))
    with refused("one class number"):
        distiller.train_step((batch[0], tf.one_hot(batch[1], 4)))
    student.trainable = False
    with refused(r"set student\.trainable = True"):
        SequentialDistiller(teacher, student, KD)
