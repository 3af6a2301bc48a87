"""A loss of a user's own: what is wrong with it is said in a sentence, before or as it is used."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from sentences import refused

import skt_tf
from skt_tf import main
from skt_tf.configuration import Config
from skt_tf.methods.catalogue import stages
from skt_tf.utils.errors import Diverged

SHAPE, CLASSES = (8, 8, 1), 4
COUNT = itertools.count()


@pytest.fixture
def networks():
    return [skt_tf.resnet(8, CLASSES, SHAPE, 2, seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    return random.random((32, *SHAPE)).astype("float32"), np.arange(32) % CLASSES


def made(loss=lambda student: tf.reduce_sum(student.logits, 1), **attributes):
    """The name of a new objective, whose loss is that of what is seen of the student."""
    name = f"own_{next(COUNT)}"

    def call(self, teacher, student, batch):
        return loss(student)

    type("Own", (skt_tf.Objective,), {"name": name, "loss": call, **attributes})
    return name


def forgets_its_head(self, teacher, student, number=None):
    self.head = keras.layers.Dense(2, name="forgotten")
    self.head.build((None, *student.logits))


def train(networks, data, method, **options):
    options = {"transfer_steps": 1, "task_steps": 1, "batch_size": 16, "verbose": 0, **options}
    return skt_tf.distill(*networks, data, method=method, **options)


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda student: student.logits, r"shape \(16, 4\) for 16 images"),
        (lambda student: student.logits[:, :1], r"shape \(16, 1\)"),
        (lambda student: tf.reduce_sum(student.logits, 1)[:4], r"shape \(4,\) for 16"),
        (lambda student: None, "NoneType"),
        (lambda student: {"a": 1.0}, "dict"),
    ],
)
def test_what_is_neither_a_number_an_image_nor_a_scalar(loss, says, networks, data):
    with refused(says):
        train(networks, data, f"{made(loss)}+task")


@pytest.mark.parametrize(
    "loss",
    [
        lambda student: tf.cast(tf.reduce_sum(student.logits**2, 1), tf.float64),
        lambda student: tf.cast(tf.reduce_mean(student.logits**2), tf.float16),
    ],
)
def test_any_float_will_do(loss, networks, data):
    name = made(loss)
    found = train(networks, data, f"{name}+task").history[f"{name}+task"]
    assert np.isfinite(found[name]).all()


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"looks_at": ("embeddings",)}, "looks_at"),
        ({"looks_at": ()}, "looks_at"),
        ({"looks_at": "logits"}, "looks_at"),
        ({"looks_at": ("maps",), "sections": 1}, "sections=1.*slice"),
        ({"before_relu": ("teachers",)}, "before_relu of teachers: .*some of 'teacher', 'student'"),
        ({"warmup": 20}, "warmup=20: expected a number, a share of the stage"),
        ({"weight": -1}, "has the weight -1: expected a number above 0"),
        ({"weight": "5"}, "has the weight '5': expected a number above 0"),
        ({"heads": 3}, "no list of Keras layers"),
        ({"heads": [keras.layers.Dense(2, name="late")]}, "'late'.*build"),
        ({"build": forgets_its_head}, "'forgotten'.*none of its heads"),
    ],
)
def test_what_it_says_of_itself(attributes, says, networks, data):
    with refused(says):
        train(networks, data, f"{made(**attributes)}+task")


def test_its_heads_are_in_float32_whatever_networks_compute_in(data, policy):
    heads = []

    def build(self, teacher, student, number=None):
        heads[:] = self.heads = [keras.layers.Dense(CLASSES, name="own_head")]
        heads[0].build((None, *student.embedding))

    def loss(student):
        return tf.reduce_sum(student.logits - heads[0](student.embedding), 1)

    name = made(loss, looks_at=("logits", "embedding"), build=build)
    policy("mixed_bfloat16")
    pair = [skt_tf.resnet(8, CLASSES, SHAPE, 2, seed=seed) for seed in (1, 2)]
    found = train(pair, data, f"{name}+task").history[f"{name}+task"]
    assert np.isfinite(found["loss"]).all()
    assert heads[0].compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_a_loss_that_is_not_written(networks, data):
    type("Own", (skt_tf.Objective,), {"name": "unwritten"})
    with refused("no loss"):
        train(networks, data, "unwritten+task")


@pytest.mark.parametrize(
    "name",
    [
        "at", "task", "dense", "my-loss", "__main__", "", "cross_entropy", "softened", "loss",
        "accuracy", "kd", "skt", "anchor", "p0_p1",
    ],
)  # fmt: skip
def test_names_that_are_taken_or_none(name):
    with refused("name"):
        type("Own", (skt_tf.Objective,), {"name": name})


def test_what_is_not_finite_is_named(networks, data):
    name = made(lambda student: tf.reduce_sum(student.logits, 1) * tf.math.log(-1.0))
    with pytest.raises(
        Diverged, match=f"{name} is nan .* the other losses are finite: give {name}"
    ):
        train(networks, data, f"{name}+task")


def test_it_may_stand_alone_and_unknown_ones_say_how_they_become_known(networks, data):
    name = made()
    assert stages(name)[0].losses[0].name == name
    with refused("skt_tf.Objective"):
        skt_tf.sequence("nowhere+task")
    config = Config(methods=("nowhere",), import_modules=("mine",))
    assert config.methods == ("nowhere",)
    # Once the modules are there, and before a teacher is trained.
    with refused("'nowhere' is unknown"):
        main._check_losses(config)
    with refused("'nowhere' is no loss"):
        main._check_losses(Config(methods=("skt", "task+nowhere"), import_modules=("mine",)))
    main._check_losses(Config(methods=(name, f"task+{name}*2", "skt"), import_modules=("mine",)))
    with refused("did you mean skt"):
        Config(methods=("sktt",), import_modules=("mine",))


def test_a_sum_in_another_order_is_no_other_method():
    with refused("'at.task' is 'task.at' once more"):
        Config(methods=("task+at", "skt", "at+task"))
    Config(
        methods=("task+at", "task+at*2", "task+at:0.5", "at>task", "task>at", "task", "baseline")
    )


def test_a_stage_is_no_text(networks):
    for stage in ("task+at", skt_tf.sequence("task+at"), None):
        with refused("a stage is .*expected a Stage"):
            skt_tf.SequentialDistiller(*networks, stage)


def test_a_batch_of_one_has_nothing_to_compare(networks, data):
    with refused("batch_size of 2"):
        train(networks, data, "sp+task", batch_size=1)


def test_parameters_are_listed_where_one_is_unknown(networks, data):
    with refused("at.p=2.*power, squared"):
        train(networks, data, "at(p=2)+task")


def test_a_sequence_of_objects_and_one_with_spaces_are_taken(networks, data):
    plan = skt_tf.sequence("at+task")
    assert list(train(networks, data, plan).history) == ["at+task"]
    assert list(train(networks, data, " kd ").history) == ["task"]
    with refused("a list.*sequence"):
        train(networks, data, ["at"])


def test_the_distiller_of_several_losses_predicts(networks, data):
    distiller = skt_tf.SequentialDistiller(*networks, skt_tf.sequence("at+task")[0])
    distiller.compile("sgd")
    assert distiller.predict(data[0][:4], verbose=0).shape == (4, CLASSES)


def test_lists_may_be_quoted_and_parameters_may_have_commas():
    given = ("flows>task+soft, at*5+task", "mlkd(terms=('class'", "'batch'))+task")
    assert Config(methods=given).methods == (
        "flows>task+soft",
        "at*5+task",
        "mlkd(terms=('class', 'batch'))+task",
    )
