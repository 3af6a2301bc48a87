"""What holds of every objective: its name, its refusals, its heads, and that nothing is NaN."""

import importlib
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from objective_inputs import (
    MAPS,
    batch_of,
    built,
    differentiated,
    of_sections,
    seen,
    shapes,
)
from sentences import refused

from skt_tf.methods import objective_names
from skt_tf.methods.objective import Objective, Seen
from skt_tf.methods.objective_names import find

NAMES = objective_names.objective_names()
WITH_HEADS = ("cc", "crd", "fitnet", "ickd", "reviewkd", "vid")


class OfOnes(Objective):
    """The mean of the student's logits; what users write looks so."""

    name = "of_ones"

    def __init__(self, factor=1.0):
        self.factor = factor

    def loss(self, teacher, student, batch):
        return self.factor * tf.reduce_mean(student.logits, 1)


def test_names_are_listed_without_tensorflow(monkeypatch):
    for module in ("tensorflow", "keras", "skt_tf.methods.objective"):
        monkeypatch.setitem(sys.modules, module, None)
    assert importlib.reload(objective_names).objective_names() == NAMES
    assert {"dkd", "at", "crd", "simkd", "mlkd"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_module_is_one_objective_of_its_name(name):
    kind = find(name)
    assert kind.name == name
    assert kind.__module__.endswith(f".{name}")
    assert set(kind().looks_at) <= {"logits", "embedding", "maps"}
    parameters = json.loads(json.dumps(kind().parameters()))
    assert json.dumps(kind(**parameters).parameters()) == json.dumps(kind().parameters())
    assert kind.__doc__.strip()


def test_an_objective_of_ones_own_is_found_by_its_name():
    assert find("of_ones") is OfOnes
    assert OfOnes(2.0).parameters() == {"factor": 2.0}

    class Other(Objective):
        name = "of_ones_too"

    again = type("Other", (Objective,), {"name": "of_ones_too", "__qualname__": "Another"})
    with refused("could be .*Other and .*Another"):
        find("of_ones_too")
    assert again is not Other
    with refused(r"'dists' is unknown \(did you mean dist\?\): expected one of at, "):
        find("dists")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["zeros", "alike", "same", "one", "large"])
def test_degenerate_batches_give_finite_losses_and_gradients(name, kind):
    objective = built(find(name))
    number = 1 if kind == "one" else 4
    teacher, student = seen(1, number), seen(2, number)
    if kind == "zeros":  # Dead maps, embeddings and logits.
        student = tf.nest.map_structure(tf.zeros_like, student)
    if kind == "alike":  # A batch of one image, again and again.
        student = tf.nest.map_structure(lambda x: tf.repeat(x[:1], 4, axis=0), student)
    if kind == "same":  # A perfect student.
        student = teacher
    if kind == "large":
        student = tf.nest.map_structure(lambda x: 1e3 * x, student)
    batch = batch_of(number, second=(teacher, student))
    loss, gradients = differentiated(objective, teacher, student, batch)
    assert np.isfinite(loss)
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        # Nothing is divided by the least that a norm may be.
        assert kind == "large" or np.abs(gradient).max() < 1e5


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_float32_for_each_image_or_for_the_batch(name):
    objective = built(find(name))
    teacher, student = (of_sections(objective, seen(seed)) for seed in (1, 2))
    found = objective.loss(teacher, student, batch_of(second=(teacher, student)))
    assert found.dtype == tf.float32
    assert found.shape in ((), (4,))


@pytest.mark.parametrize("name", WITH_HEADS)
def test_heads_are_float32_and_the_same_bytes_in_every_run(name, policy):
    policy("mixed_bfloat16")
    first, second = (built(find(name)).heads for _ in range(2))
    assert len(first) > 0
    for one, other in zip(first, second):
        assert [v.path for v in one.variables] == [v.path for v in other.variables]
        for a, b in zip(one.variables, other.variables):
            assert a.dtype in ("float32", "int64")
            assert a.numpy().tobytes() == b.numpy().tobytes()
    random = [v.numpy() for head in first for v in head.variables if v.numpy().std() > 0]
    drawn = [x.ravel()[:4].tobytes() for x in random]
    assert len(set(drawn)) == len(drawn)
    teacher, student = seen(1), seen(2)
    objective = built(find(name))
    loss, gradients = differentiated(objective, teacher, student, batch_of())
    assert loss.dtype == tf.float32
    assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize("name", ["dkd", "dist", "logit_std_kd", "mlkd"])
def test_other_classes_are_refused_with_both_numbers(name):
    with refused("teacher has 5 classes and the student 7"):
        built(find(name), student=shapes(classes=7))
    with refused("a single class"):
        built(find(name), *[shapes(classes=1)] * 2)


@pytest.mark.parametrize("name", ["dkd", "dist", "logit_std_kd", "mlkd"])
def test_two_classes_are_too_few_for_standardised_logits(name):
    """Whatever two logits are, (z − mean z) / std z is ±1/√2: there is no gradient."""
    given = () if name == "logit_std_kd" else ("standardized",)
    with refused("two classes.*'soft' does not"):
        built(find(name), *[shapes(classes=2)] * 2, **dict.fromkeys(given, True))
    if given:
        built(find(name), *[shapes(classes=2)] * 2)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fsp", {}),
        ("fitnet", {"regressor": False}),
        ("ickd", {"embedding": False}),
        ("reviewkd", {"fused": False}),
        ("simkd", {}),
    ],
)
def test_other_channels_are_refused_with_both_numbers(name, parameters):
    wider = shapes(maps=tuple((h, w, 2 * c) for h, w, c in MAPS))
    with refused(r"maps have \d channels in the teacher and \d+ in the student"):
        built(find(name), student=wider, **parameters)


@pytest.mark.parametrize("name", ["at", "nst", "vid", "fitnet", "simkd"])
def test_of_other_sizes_the_larger_is_pooled_and_crossed_ones_are_refused(name):
    smaller = shapes(maps=tuple((h, w - w // 2, c) for h, w, c in MAPS))
    for pair in ((shapes(), smaller), (smaller, shapes())):
        objective = built(find(name), *pair)
        outputs = (seen(k, of=of) for k, of in enumerate(pair))
        assert np.isfinite(differentiated(objective, *outputs, batch_of())[0])
    crossed = shapes(maps=tuple((2 * h, w // 2, c) for h, w, c in MAPS))
    with refused(r"of size \d×\d in the teacher and \d+×\d in the student"):
        built(find(name), student=crossed)


@pytest.mark.parametrize("name", ["sp", "ickd", "rkd", "pkt", "cc", "crd", "at", "nst", "vid"])
def test_other_channels_and_widths_are_no_matter(name):
    other = shapes(features=9, maps=tuple((h, w, 2 * c) for h, w, c in MAPS))
    objective = built(find(name), student=other)
    loss, _ = differentiated(objective, seen(1), seen(2, of=other), batch_of())
    assert np.isfinite(loss)


def test_what_has_no_meaning_is_refused():
    with refused("fewer|expected as many of each, 1 or more"):
        find("at")().build(shapes(), shapes(maps=MAPS[:1]))
    with refused("2 or more"):
        find("fsp")().build(*[shapes(maps=MAPS[:1])] * 2)
    with refused("takes 6 features and the student's 7"):
        built(find("cc"), student=shapes(features=7), width=None)
    with refused("differ in size"):
        halved = tuple((h // 2, w // 2, c) for h, w, c in MAPS)
        built(find("reviewkd"), student=shapes(maps=halved), fused=False)
    with refused("how many there are is not known: expected two or more"):
        find("crd")().build(shapes(), shapes())
    with refused("kernel 'flat' is unknown"):
        find("cc")(kernel="flat")
    with refused("pooling 'min' is unknown"):
        find("fsp")(pooling="min")
    with refused("terms all: expected some of kd, class, batch"):
        find("mlkd")(terms=("all",))
    with refused("temperature 0 is out of range"):
        find("dkd")(temperature=0)


def test_objectives_run_within_a_graph_of_unknown_batch():
    for name in ("cc", "crd", "dkd", "ickd", "mlkd", "nst", "reviewkd", "rkd"):
        objective = built(find(name))

        def loss(logits, embedding, maps, objective=objective):
            one = of_sections(objective, Seen(logits, embedding, tuple(maps)))
            batch = batch_of(second=(one, one))
            return tf.reduce_mean(objective.loss(one, one, batch))

        specs = [tf.TensorSpec((None, *shape)) for shape in ((5,), (6,))]
        specs.append([tf.TensorSpec((None, *shape)) for shape in MAPS])
        student = seen(2)
        graph = tf.function(loss, input_signature=specs)
        assert np.isfinite(graph(student.logits, student.embedding, [*student.maps])), name
