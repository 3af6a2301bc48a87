"""What Keras users do with Keras' own parts, done with the project's."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sentences import refused

import skt_tf
from skt_tf.methods.catalogue import METHOD_NAMES, Stage
from skt_tf.methods.objective import Batch, Seen
from skt_tf.methods.objective_names import find

FLOWS = skt_tf.dense_flows()


@pytest.fixture
def pair(network):
    return network(1), network(2)


def test_an_inner_model_runs_once(batch):
    """Twice, and its statistics would move twice a step."""
    images = x = keras.Input((8, 8, 1))
    for k in range(3):
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(x))
        x = keras.layers.ReLU(name=f"relu{k}")(x)
    backbone, whole = keras.Model(images, x, name="backbone"), keras.Input((8, 8, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(whole))
    student = keras.Model(whole, keras.layers.Dense(4)(pooled))
    points = {f"p{k}": f"backbone/relu{k}" for k in range(3)}
    seen, start = [], student.get_weights()
    for model in (student, skt_tf.with_flows(student, skt_tf.disjoint_flows(2), points)):
        student.set_weights(start)
        model(batch[0], training=True)
        seen.append(student.get_weights())
    assert all(np.array_equal(*pair) for pair in zip(*seen, strict=True))
    assert not np.array_equal(seen[0][4], start[4])


def test_a_loss_of_keras_distiller_is_the_formula(network, batch, reference_fsp):
    teacher, student = network(1), network(2)
    images = batch[0]

    def maps(model, point):
        return keras.Model(model.input, model.get_layer(point).output)(images).numpy()

    for flow in FLOWS:
        loss = skt_tf.FSPDistillation(flow, weight=0.5)
        matrices = [
            keras.Model(m.input, m.get_layer("_".join(flow)).output)(images)
            for m in (skt_tf.with_flows(teacher, FLOWS), skt_tf.with_flows(student, FLOWS))
        ]
        expected = [reference_fsp(*(maps(m, point) for point in flow)) for m in (teacher, student)]
        expected = 0.5 * np.mean(np.sum((expected[0] - expected[1]) ** 2, axis=(1, 2)))
        assert float(loss.compute_loss(*matrices)) == pytest.approx(expected, rel=1e-4)


def test_a_network_with_flows_is_the_same_network(pair, batch):
    _, student = pair
    wide = skt_tf.with_flows(student, FLOWS)
    assert np.array_equal(wide(batch[0]), student(batch[0]))
    assert {id(v) for v in wide.variables} == {id(v) for v in student.variables}
    assert [wide.get_layer("_".join(flow)).output.shape for flow in FLOWS] == [
        (None, 2, 2), (None, 2, 4), (None, 4, 8), (None, 2, 4), (None, 2, 8),
    ]  # fmt: skip


def test_keras_distiller_takes_flows_beside_its_own_losses(pair, batch):
    teacher, student = pair
    frozen = [v.numpy() for v in teacher.variables]
    start = [v.numpy() for v in student.trainable_variables]
    distiller = keras.distillation.Distiller(
        skt_tf.with_flows(teacher, FLOWS),
        skt_tf.with_flows(student, FLOWS),
        [skt_tf.FSPDistillation(flow) for flow in FLOWS]
        + [
            keras.distillation.LogitsDistillation(temperature=3.0),
            keras.distillation.FeatureDistillation("mse", "p2", "p2"),
        ],
    )
    distiller.compile(
        keras.optimizers.SGD(1e-5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=True,
    )
    logs = distiller.fit(*batch, batch_size=4, verbose=0).history
    assert np.isfinite(logs["distillation_loss"]).all()
    for before, variable in zip(frozen, teacher.variables):
        assert np.array_equal(before, variable.numpy())
    for before, variable in zip(start, student.trainable_variables):
        assert not np.array_equal(before, variable.numpy())


def test_a_distiller_of_keras_with_flows_is_saved_and_loaded_in_safe_mode(pair, batch, tmp_path):
    distiller = keras.distillation.Distiller(
        *(skt_tf.with_flows(network, FLOWS[:2]) for network in pair),
        [skt_tf.FSPDistillation(flow, 0.25) for flow in FLOWS[:2]],
    )
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras", safe_mode=True)
    assert np.array_equal(loaded(batch[0]), distiller(batch[0]))
    found = [(loss.flow, loss.weight) for loss in loaded.distillation_losses]
    assert found == [(flow, 0.25) for flow in FLOWS[:2]]


def test_networks_without_the_flow_are_refused_with_what_to_do(pair, network):
    teacher, student = pair
    with refused(r"student 'resnet8' has no layer 'p0_p1'.*with_flows"):
        keras.distillation.Distiller(
            skt_tf.with_flows(teacher, FLOWS), student, skt_tf.FSPDistillation(("p0", "p1"))
        )
    wider = skt_tf.with_flows(network(3, width=3), FLOWS)
    with refused(r"\(None, 2, 2\) in the teacher and \(None, 3, 3\)"):
        keras.distillation.Distiller(
            skt_tf.with_flows(teacher, FLOWS), wider, skt_tf.FSPDistillation(("p0", "p1"))
        )


def test_all_models_and_layers_are_registered(pair, tmp_path):
    _, student = pair
    for number, model in enumerate(
        (skt_tf.flow_model(student, FLOWS), skt_tf.with_flows(student, FLOWS))
    ):
        model.save(tmp_path / f"{number}.keras")
        loaded = keras.models.load_model(tmp_path / f"{number}.keras", safe_mode=True)
        images = tf.ones((2, 8, 8, 1))
        for one, other in zip(tf.nest.flatten(loaded(images)), tf.nest.flatten(model(images))):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_a_stage_is_made_again_from_plain_values(method):
    for stage in skt_tf.stages(method):
        assert Stage.from_dict(json.loads(json.dumps(stage.as_dict()))) == stage


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("at", {}), ("sp", {}), ("nst", {}), ("ickd", {"embedding": False}),
        ("fitnet", {"regressor": False}), ("reviewkd", {"fused": False, "pooled": False}),
        ("dist", {}), ("logit_std_kd", {"temperature": 3.0}),
        ("mlkd", {"terms": ("class", "batch")}), ("rkd", {}), ("pkt", {}), ("cc", {"width": None}),
    ],
)  # fmt: skip
def test_an_objective_of_one_layer_is_a_loss_of_keras(pair, batch, name, parameters):
    objective = find(name)(**parameters)
    kind = objective.looks_at[0]
    layer = {"logits": None, "maps": "p3", "embedding": "average"}[kind]
    loss = skt_tf.ObjectiveDistillation(objective, layer, layer)
    again = skt_tf.ObjectiveDistillation.from_config(json.loads(json.dumps(loss.get_config())))
    assert again.get_config() == loss.get_config()
    outputs = []
    for model in pair:
        loss.validate_model_compatibility(*pair)
        output = model.output if layer is None else model.get_layer(layer).output
        outputs.append(keras.Model(model.input, output)(batch[0]))
    seen = [Seen(**{kind: (x,) if kind == "maps" else x}) for x in outputs]
    expected = np.mean(objective.loss(*seen, Batch()))
    assert float(again.compute_loss(*outputs)) == pytest.approx(expected, rel=1e-5)
    assert expected > 0


def test_keras_distiller_trains_with_objectives_and_is_saved(pair, batch, tmp_path):
    teacher, student = pair
    losses = [
        skt_tf.ObjectiveDistillation("sp", "p3", "p3"),
        skt_tf.ObjectiveDistillation(find("at")(squared=False), "p1", "p1"),
        skt_tf.ObjectiveDistillation("dist"),
    ]
    start = [v.numpy() for v in student.trainable_variables]
    distiller = keras.distillation.Distiller(
        teacher, student, losses, distillation_loss_weights=[3.0, 1.0, 2.0]
    )
    distiller.compile(
        keras.optimizers.SGD(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    logs = distiller.fit(*batch, batch_size=4, verbose=0).history
    assert np.isfinite(logs["distillation_loss"]).all()
    assert logs["distillation_loss"][0] > 0
    for before, variable in zip(start, student.trainable_variables):
        assert not np.array_equal(before, variable.numpy())
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras", safe_mode=True)
    assert [loss.get_config() for loss in loaded.distillation_losses] == [
        loss.get_config() for loss in losses
    ]


def test_simkd_is_a_loss_of_keras_for_its_network(pair):
    teacher, student = pair
    joined = skt_tf.with_classifier_of(teacher, student)
    loss = skt_tf.ObjectiveDistillation("simkd", "p3", "simkd_projected")
    keras.distillation.Distiller(teacher, joined, loss)


@pytest.mark.parametrize(
    ("name", "layers", "sentence"),
    [
        ("dkd", (), "'dkd' compares with the labels, which keras.distillation shows no loss"),
        ("crd", ("average", "average"), "remembers each training image by its number"),
        ("mlkd", (), "'mlkd' compares with the labels"),
        (find("mlkd")(cross_entropy=0), (), "compares a second view of each image"),
        ("reviewkd", ("p1", "p1"), "looks at embedding and maps of a network at once"),
        ("at", (), "compares maps: expected both teacher_layer_name and student_layer_name$"),
        ("rkd", ("average", None), "compares embedding: expected both"),
        ("dist", ("logits", None), "expected both .* and student_layer_name, or neither$"),
        ("none", (), "'none' is unknown"),
    ],
)
def test_objectives_that_keras_has_no_place_for_are_refused(name, layers, sentence):
    with refused(sentence):
        skt_tf.ObjectiveDistillation(name, *layers)


def test_outputs_that_are_no_logits_are_refused(pair):
    student = pair[1]
    ended = keras.Model(student.inputs, keras.layers.Softmax()(student.outputs[0]))
    with refused("student .* ends with a softmax"):
        keras.distillation.Distiller(pair[0], ended, skt_tf.ObjectiveDistillation("dist"))


@pytest.mark.parametrize(
    ("name", "layer", "sentence"),
    [
        ("vid", "p3", r"trains layers beside the student \(vid1\), which keras.distillation would"),
        ("cc", "average", r"\(cc_student, cc_teacher\)"),
        ("fsp", "p3", "expected as many of each, 2 or more"),
        ("at", "p9", "teacher 'resnet8' has no layer 'p9': expected one that puts out maps"),
        ("at", "average", r"puts out shape \(None, 8\): the objective 'at' compares maps"),
        ("rkd", "p3", "the objective 'rkd' compares embedding of a known size"),
    ],
)
def test_objectives_that_do_not_fit_the_networks_are_refused(pair, name, layer, sentence):
    loss = skt_tf.ObjectiveDistillation(name, layer, layer)
    with refused(sentence):
        keras.distillation.Distiller(*pair, loss)
