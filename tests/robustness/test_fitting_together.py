"""Teachers, students and data that do not fit together are told so before any training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import skt_tf
from skt_tf.training.pair_checks import say_teacher
from skt_tf.utils.errors import UserError

POINTS = {"teacher_points": ["a", "b"], "student_points": ["a", "b"]}


def network(shape=(8, 8, 1), classes=4, between=lambda x: x, ending=lambda x: x, seed=0, name=None):
    keras.utils.set_random_seed(seed)
    images = keras.Input(shape)
    scale = layers.Normalization(mean=[2.0] * shape[-1], variance=[4.0] * shape[-1])
    x = layers.Conv2D(4, 3, padding="same", name="a")(scale(images))
    x = between(layers.BatchNormalization()(x))
    x = layers.Conv2D(4, 3, 2, padding="same", name="b")(x)
    logits = layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, ending(logits), name=name)


@pytest.fixture
def data():
    images = np.random.default_rng(0).integers(0, 4, (24, 8, 8, 1)).astype("float32")
    return images, np.arange(24) % 4


def taught(teacher, student, data, method="kd", **options):
    points = {} if method in ("kd", "baseline") else POINTS
    options = {**points, "verbose": 0, **options}
    return skt_tf.distill(
        teacher, student, data, data, method=method, transfer_steps=2, task_steps=2, hint_steps=1,
        batch_size=8, evaluations=1, learning_rate=1e-3, transfer_learning_rate=1e-3, **options,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["kd", "hint", "fsp"])
@pytest.mark.parametrize("shape", [(16, 16, 1), (8, 8, 3), (None, None, 3)])
def test_a_teacher_of_other_images_is_refused(data, method, shape):
    student = network(seed=1)
    before = student.get_weights()
    with pytest.raises(UserError, match=r"the teacher .* takes images of shape .* have \(8, 8, 1"):
        taught(network(shape), student, data, method)
    if method == "kd":
        with pytest.raises(UserError, match="the same images"):
            skt_tf.SequentialDistiller(network(shape), student, skt_tf.stages(method)[0])
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("method", ["kd", "hint", "fsp"])
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_weights_that_are_no_numbers_are_found_before_the_first_step(data, method, role):
    networks = {"teacher": network(), "student": network(seed=1)}
    networks[role].get_layer("a").bias.assign([1.0, np.nan, 1.0, 1.0])
    with pytest.raises(UserError, match=rf"the {role} .* holds weights that are NaN .*a/bias"):
        taught(**networks, data=data, method=method)


def test_probabilities_are_refused_in_a_method_that_softens_or_trains_them(data):
    ends = network(ending=keras.ops.softmax)
    with pytest.raises(UserError, match=r"teacher .* softmax: .* for 8 images are"):
        taught(ends, network(seed=1), data)
    with pytest.raises(UserError, match=r"student .* softmax"):
        taught(network(), ends, data, "fsp")
    taught(ends, network(seed=1), data, "fsp")  # What flows is compared alone.


def test_a_student_of_too_few_outputs_is_told_so(data):
    with pytest.raises(UserError, match="has one output"):
        taught(None, network(classes=1), (data[0], data[1] % 2), "baseline")
    with pytest.raises(UserError, match=r"labels from 0 to 3: .* for 3 outputs of the student"):
        taught(None, network(classes=3), data, "baseline")


class Halved(layers.Layer):
    """A layer that Keras cannot copy, since it cannot write down its function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, maps):
        return self.function(maps)


def test_a_teacher_that_cannot_be_copied_teaches_as_it_is(data, capsys):
    teacher = network(between=Halved(lambda maps: 0.5 * maps))
    own = taught(teacher, network(seed=1), data, teacher_precision="float32").student
    assert "is not folded" in (said := capsys.readouterr().err)
    assert "Halved" in said
    assert all(layer.trainable for layer in teacher.layers)
    same = network(between=layers.Rescaling(0.5))
    kerass = taught(same, network(seed=1), data, teacher_precision="float32").student
    for ours, theirs in zip(own.get_weights(), kerass.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_student_that_cannot_be_saved_is_not_trained_for_a_folder(data, tmp_path):
    student = network(between=Halved(lambda maps: 0.5 * maps))
    taught(network(), student, data)
    with pytest.raises(UserError, match=r"cannot be saved .*Halved.* leave output_dir out"):
        taught(network(), student, data, output_dir=tmp_path / "new")


def test_networks_of_any_name_are_trained_and_keep_it(data, tmp_path):
    layer = layers.ReLU(name="activation: été")
    student, teacher = (network(seed=k, between=layer, name=f"_mon élève {k}") for k in (1, 2))
    for name in ("a", "b"):
        for net in (teacher, student):
            net.get_layer(name).name = f"étage {name}"
    points = ["étage a", "étage b"]
    options = {"teacher_points": points, "student_points": points, "output_dir": tmp_path / "new"}
    taught(teacher, student, data, "fsp", **options)
    saved = keras.models.load_model(tmp_path / "new" / "student.keras")
    assert (saved.name, student.name) == ("_mon élève 1", "_mon élève 1")
    assert saved.get_layer("étage a")


def test_a_teacher_is_not_judged_by_images_of_one_class(data, capsys):
    order = np.argsort(data[1], kind="stable")
    images, labels = (part[order] for part in data)
    images[:] = 4.0 * labels[:, None, None, None]  # Told apart by their grey alone.
    start = keras.Input((8, 8, 1))
    grey = layers.GlobalAveragePooling2D()(start)
    teacher = keras.Model(start, layers.Dense(4)(grey))
    classes = np.arange(4.0)
    teacher.layers[-1].set_weights([classes[None], -2.0 * classes**2])
    for given in ((images, labels), tf.data.Dataset.from_tensor_slices((images, labels))):
        options = {"method": "kd", "task_steps": 1, "batch_size": 6, "verbose": 2}
        skt_tf.distill(teacher, network(seed=1), given, **options)
        found = capsys.readouterr()
        assert "teacher: 100.00% of the 6 training images" in found.out
        assert "not above chance" not in found.err


class Sharp(keras.Model):
    """A functional model that does more than its graph."""

    def call(self, images, training=None, mask=None):
        return 50.0 * super().call(images, training=training)


def test_what_a_call_of_ones_own_does_is_not_lost(data, capsys):
    plain = network()
    sharp = Sharp(plain.inputs, plain.outputs)
    options = {"teacher_precision": "float32", "verbose": 2}
    softened = [
        taught(teacher, network(seed=1), data, **options).history["task"]["softened"][0]
        for teacher in (plain, sharp)
    ]
    assert softened[1] > 2 * softened[0]
    assert "is not folded, and it runs in its own precision, for it has a call" in (
        capsys.readouterr().err
    )
    with pytest.raises(UserError, match="has a call of its own, of which nothing within"):
        taught(sharp, network(seed=1), data, "fsp")


def test_a_student_that_would_train_the_teacher_is_refused(data):
    teacher = network()
    inner = layers.GlobalAveragePooling2D()(teacher.get_layer("b").output)
    student = keras.Model(teacher.input, layers.Dense(4)(inner))
    with pytest.raises(UserError, match="shares a/kernel with the teacher"):
        taught(teacher, student, data)
    teacher.trainable = False
    before = teacher(data[0]).numpy()
    taught(teacher, student, data)
    np.testing.assert_array_equal(teacher(data[0]), before)


@pytest.mark.parametrize(
    ("dtype", "method"), [("float64", "kd"), ("float16", "fsp"), ("bfloat16", "hint")]
)
def test_students_of_any_dtype_are_trained(data, method, dtype, policy):
    policy(dtype)
    student = network(seed=1)
    policy("float32")
    found = taught(network(), student, data, method)
    assert np.isfinite(found.history["task"]["loss"]).all()


def test_a_dtype_of_the_last_layer_alone_may_differ(data):
    student = network(seed=1, classes=6, ending=layers.Dense(4, dtype="float64"))
    taught(network(), student, data, weight_decay=0.0)


@pytest.mark.parametrize("form", ["uint8", "int16", "uint32"])
def test_labels_of_any_integers_are_taken(data, form):
    given = tf.data.Dataset.from_tensor_slices((data[0], data[1].astype(form)))
    skt_tf.distill(None, network(), given, given, method="baseline", task_steps=1, batch_size=8)


def test_networks_of_two_strategies_are_refused(data):
    one, other = (tf.distribute.MirroredStrategy(["CPU:0"]) for _ in range(2))
    with one.scope():
        teacher, student = network(), network(seed=1)
    taught(teacher, student, data)  # In the scope that both were made in.
    with other.scope():
        student = network(seed=1)
        with pytest.raises(UserError, match=r"the teacher .* was made in the scope of"):
            taught(teacher, student, data)
    with pytest.raises(UserError, match=r"was made in the scope of"):
        taught(teacher, network(seed=1), data)
    with one.scope(), pytest.raises(UserError, match=r"scope of a tf.distribute.Strategy that the"):
        taught(None, student, data, "baseline")


def test_the_teachers_accuracy_is_said_first(data, capsys):
    taught(network(), network(seed=1), data, verbose=2)
    said = capsys.readouterr().out
    assert (
        said.index("teacher: ") < said.index("% of the validation images") < said.index("stage 1")
    )
    skt_tf.distill(network(), network(seed=1), data, method="kd", task_steps=1, batch_size=8)
    assert "of the 8 training images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("accuracy", "labels", "warns"),
    [
        (0.1, np.arange(1000) % 10, True),
        (0.115, np.arange(1000) % 10, True),  # Within two standard errors.
        (0.13, np.arange(1000) % 10, False),
        (0.9, np.arange(1000) < 900, True),  # By one answer to all images.
        (0.92, np.arange(1000) < 900, False),
    ],
)
def test_a_teacher_that_guesses_is_warned_of(accuracy, labels, warns, capsys):
    for verbose in (False, True):
        say_teacher(accuracy, labels.astype(int), 10, "validation", verbose)
        said = capsys.readouterr()
        assert bool(said.out) == verbose
        assert ("not above chance" in said.err) == warns
    say_teacher(accuracy, labels.astype(int), 10, "test", given=False)
    assert not capsys.readouterr().err
