"""skt_tf.distill with networks and images that are not the project's own."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from chains import CLASSES, NAMES, SHAPE, SHORT, chain, examples, taught
from keras import layers
from reference import same, values
from sentences import refused

import skt_tf
from skt_tf.methods.heads import bridge
from skt_tf.utils.errors import UserError


@pytest.fixture(scope="module")
def data():
    return examples()


class Record(keras.callbacks.Callback):
    """Writes down what Keras tells it."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(f"begin {self.model.stage.name}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(epoch)

    def on_train_end(self, logs=None):
        self.calls.append("end")


@pytest.fixture(scope="module")
def transferred(data):
    """(result, what a callback was told) of `fsp` by the ends of a teacher of 100 classes."""
    record, ends = Record(), NAMES[::2]
    # Five iterations in intervals of two: two fits of Keras'.
    found = skt_tf.distill(
        chain(classes=100, seed=1), chain(), data, data, method="fsp", teacher_points=ends,
        student_points=list(ends), transfer_steps=5, task_steps=2, evaluations=3, batch_size=8,
        callbacks=[record],
    )  # fmt: skip
    return found, record.calls


def test_a_teacher_of_100_classes_teaches_by_its_flows_but_not_by_its_outputs(data, transferred):
    assert 0 <= transferred[0].accuracy <= 1
    points = {"teacher_points": NAMES, "student_points": NAMES}
    for method in ("kd", "hint", "skt_kd"):
        with refused("the teacher has 100 classes and the student 4"):
            skt_tf.distill(chain(classes=100), chain(), data, method=method, **points, **SHORT)


def test_maps_of_other_sizes_are_compared(data):
    """A teacher that sees the images at twice their size."""
    images = keras.Input((None, None, 3))
    inner = chain(shape=(32, 32, 3), seed=1)
    x = layers.Resizing(32, 32, name="larger")(images)
    for layer in inner.layers[1:]:
        x = layer(x)
    teacher = keras.Model(images, x)
    assert inner.get_layer("c6").output.shape[1] == 8 != chain().get_layer("c6").output.shape[1]
    points = {"teacher_points": NAMES, "student_points": NAMES}
    found = skt_tf.distill(teacher, chain(), data, method="fsp", **points, **SHORT)
    assert np.isfinite(found.history["task"]["loss"][-1])
    names = dict(zip(skt_tf.layout().points, NAMES))
    distiller = skt_tf.SequentialDistiller(
        teacher, chain(), skt_tf.stages("hint")[0], teacher_points=names, student_points=names
    )
    distiller.compile(keras.optimizers.SGD(1e-4), run_eagerly=True)
    images, labels = data[0][:8], data[1][:8]
    assert np.isfinite(distiller.fit(images, labels, 8, verbose=0).history["loss"]).all()


def test_ends_alone_are_enough_for_fsp_and_not_for_skt(data, transferred):
    assert list(transferred[0].flow_weights) == [("p0", "p1"), ("p1", "p2"), ("p2", "p3")]
    ends = {"teacher_points": NAMES[::2], "student_points": NAMES[::2]}
    for method in ("skt", "skt_bottom_up"):
        with refused(r"dense flows, which need the middles.*'fsp'"):
            skt_tf.distill(chain(seed=1), chain(), data, method=method, **ends, **SHORT)


def test_two_sections_have_three_dense_flows(data):
    points = {"teacher_points": NAMES[:5], "student_points": NAMES[:5]}
    found = skt_tf.distill(taught(), chain(), data, method="skt_bottom_up", **points, **SHORT)
    assert list(found.history) == ["section1", "section2", "task"]
    assert list(found.flow_weights) == [("p0", "p1"), ("p1", "p2"), ("p0", "p2")]


def test_the_loss_is_that_of_the_named_layers(data):
    """The first loss of a transfer, against NumPy on the layers' maps."""
    teacher, student = taught(), chain()
    images = data[0][:8]
    fresh = chain()
    found = skt_tf.distill(
        teacher, student, (images, data[1][:8]), method="fsp", teacher_points=NAMES,
        student_points=NAMES, flow_weights="equal", transfer_steps=1, task_steps=1, batch_size=8,
        teacher_precision="float32", transfer_batch_norm="inference",
    )  # fmt: skip

    def matrices(network):
        outputs = [network.get_layer(name).output for name in NAMES[::2]]
        maps = map(np.asarray, keras.Model(network.input, outputs)(images, training=False))
        result = []
        for first, second in itertools.pairwise(maps):
            n, height, width, _ = second.shape
            ratio = first.shape[1] // height
            first = first.reshape(n, height, ratio, width, ratio, -1).max(axis=(2, 4))
            result.append(np.einsum("bhwi,bhwj->bij", first, second) / (height * width))
        return result

    expected = sum(
        np.mean(np.sum((a - b) ** 2, axis=(1, 2)))
        for a, b in zip(matrices(teacher), matrices(fresh))
    )
    assert found.history["transfer"]["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_projections_are_trained_over_the_stages_and_bridge_differing_points_alone(data):
    teacher, student = taught((4, 4, 4, 6, 6, 9, 9)), chain()
    points = (dict(zip(skt_tf.layout().points, NAMES)),) * 2
    found = bridge(teacher, student, skt_tf.dense_flows(), points)
    assert {point: layer.kernel.shape for point, layer in found.items()} == {
        "p0": (1, 1, 3, 4),
        "p3": (1, 1, 8, 9),
    }
    start = found["p0"].kernel.numpy()
    for stage in skt_tf.stages("skt")[:2]:
        distiller = skt_tf.SequentialDistiller(
            teacher, student, stage, teacher_points=points[0], student_points=points[1],
            project=found,
        )  # fmt: skip
        assert distiller.projections["p0"] is found["p0"]
        distiller.compile(keras.optimizers.SGD(1e-4), run_eagerly=True)
        before = found["p0"].kernel.numpy()
        distiller.fit(data[0][:16], data[1][:16], batch_size=8, verbose=0)
        assert not np.array_equal(found["p0"].kernel.numpy(), before)
    again = bridge(teacher, student, skt_tf.dense_flows(), points)
    assert np.array_equal(again["p0"].kernel.numpy(), start)


def test_any_form_of_the_same_images_trains_the_same(data):
    """Batches or single examples, labels as columns: a tf.data.Dataset is taken in its order."""
    images, labels = data
    single = tf.data.Dataset.from_tensor_slices((images, labels))
    forms = {
        "single": single,
        "columns": tf.data.Dataset.from_tensor_slices((images, labels[:, None])).batch(5),
    }
    found = {}
    for name, form in forms.items():
        student = chain()
        skt_tf.distill(None, student, form, method="baseline", batch_size=8, task_steps=15)
        found[name] = values(student)
    assert same(found["single"], found["columns"])
    # As a plain loop over the same batches, which go on over the end of the images.
    student = chain()
    distiller = skt_tf.SequentialDistiller(
        None, student, skt_tf.stages("baseline")[0], weight_decay=0.0001
    )
    distiller.compile(keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay(
        [7, 11], [0.1, 0.01, 0.001]), momentum=0.9))  # fmt: skip
    order = np.arange(15 * 8) % len(images)
    distiller.fit(images[order], labels[order], batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(found["single"], values(student)):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_arrays_are_shuffled_by_the_seed_alone_and_each_image_comes_once_an_epoch(data):
    from skt_tf.data.user_data import Stream

    images = np.arange(96, dtype=np.float32).reshape(96, 1, 1, 1)
    stream = Stream((images, data[1]), None, 8, (1, 1, 1), CLASSES)

    def order(**options):
        batches = stream.training_batches(8, **{"seed": 0, "steps": 24, **options})
        return np.concatenate([np.ravel(batch) for batch, _ in batches])

    whole = order()
    assert sorted(whole[:96]) == sorted(whole[96:]) == list(range(96))
    assert not np.array_equal(whole[:96], whole[96:])
    assert not np.array_equal(whole[:96], np.arange(96))
    assert np.array_equal(order(start=5), whole[40:])
    assert not np.array_equal(order(seed=1), whole)
    assert not np.array_equal(order(stream=1), whole)


def test_a_dataset_of_the_project_is_augmented_and_watched(digits):
    student = skt_tf.resnet(8, 10, (8, 8, 1), 2, seed=0)
    found = skt_tf.distill(None, student, digits, method="baseline", batch_size=8, task_steps=2)
    assert 0 <= found.accuracy <= 1
    with refused("images to watch of its own"):
        skt_tf.distill(None, student, digits, (digits.test_images, digits.test_labels), "baseline")


def test_callbacks_see_each_stage_as_one_training(transferred):
    assert transferred[1] == ["begin transfer", 0, 1, 2, "end", "begin task", 0, 1, "end"]


def test_a_callback_that_stops_training_ends_its_stage_and_others_know_what_is_better(data):
    class Early(Record):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch)
            if self.model.stage.name == "transfer" and epoch == 1:
                self.model.stop_training = True

    early = Early()
    # Each is logged in one of the stages, and is to be known in both.
    others = [
        keras.callbacks.EarlyStopping(monitor, patience=9) for monitor in ("val_accuracy", "p0_p1")
    ]
    found = skt_tf.distill(
        taught(), chain(), data, data, method="fsp", teacher_points=NAMES,
        student_points=NAMES, transfer_steps=12, task_steps=4, evaluations=4, batch_size=8,
        callbacks=[early, *others],
    )  # fmt: skip
    assert early.calls == ["begin transfer", 0, 1, "end", "begin task", 0, 1, 2, 3, "end"]
    assert found.history["transfer"]["step"] == [3, 6]
    assert found.history["task"]["step"] == [1, 2, 3, 4]


def test_keras_own_early_stopping_restores_the_best_weights(data):
    stopping = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="max", patience=1, restore_best_weights=True
    )
    found = skt_tf.distill(
        None, chain(), data, data, method="baseline", task_steps=40, evaluations=20, batch_size=8,
        learning_rate=1e-6, callbacks=[stopping],
    )  # fmt: skip
    shown = found.history["task"]["validation_accuracy"]
    assert found.history["task"]["step"][-1] < 40
    assert found.accuracy == pytest.approx(max(shown))


def test_the_students_own_regularisers_count(data):
    norms = []
    for factor in (0.0, 1.0):
        network = chain(factor=factor)
        skt_tf.distill(
            None, network, data, method="baseline", task_steps=20, batch_size=8,
            learning_rate=0.01, weight_decay=0.0,
        )  # fmt: skip
        norms.append(np.linalg.norm(network.layers[2].kernel.numpy()))
    assert norms[1] < 0.9 * norms[0]


REFUSED = {
    "a wrong setting": ({"temprature": 2.0}, "no setting 'temprature' (did you mean temperature?)"),
    "no such layer": ({"student_points": (*NAMES[:6], "c9")}, "no layer named 'c9' (point p3)"),
    "out of order": (
        {"student_points": (*NAMES[:5], "c6", "c5")},
        "'c5' (point p3) does not follow from 'c6' (point m3)",
    ),
    "no map": (
        {"student_points": (*NAMES[:6], "global_average_pooling2d")},
        "puts out shape (None, 8): expected maps",
    ),
    "a string of labels": ({"labels": np.array(["a"] * 96)}, "labels of dtype <U1"),
    "labels out of range": ({"labels": np.arange(96)}, "labels from 0 to 95: expected 0 to 3"),
    "one-hot labels": ({"labels": np.eye(96)}, "labels of shape (96, 96)"),
    "images of another shape": ({"images": np.zeros((96, 8, 8, 3))}, "take, (16, 16, 3)"),
    "images that are NaN": (
        {"images": np.full((96, 16, 16, 3), np.nan)}, "train_data has pixels that are NaN",
    ),
    "no images": ({"images": np.zeros((0, 16, 16, 3)), "labels": np.zeros(0, int)}, "no images"),
    "images alone": ({"train_data": np.zeros((96, 16, 16, 3))}, "two arrays of one length"),
    "an empty tf.data.Dataset": (
        {"train_data": tf.data.Dataset.from_tensor_slices(
            (np.zeros((0, 16, 16, 3)), np.zeros(0, int)))},
        "has no images",
    ),
    "a tf.data.Dataset of images": (
        {"train_data": tf.data.Dataset.from_tensor_slices(np.zeros((4, 16, 16, 3)))},
        "expected (image, label)",
    ),
    "names in one string": ({"student_points": ",".join(NAMES)}, "expected a list of names"),
    "a number of iterations that is none": ({"task_steps": 8.0}, "task_steps=8.0 is no integer"),
    "a teacher that is missing": ({"teacher": None}, "needs a teacher"),
    "no seed": ({"seed": None}, "seed=None is no integer"),
    "a word for a switch": ({"project": "no"}, "project='no' is neither True nor False"),
    "a mistyped method": ({"method": "kd_lnog"}, "'kd_lnog' is unknown (did you mean kd_long?)"),
    "a method that is none": ({"method": None}, "method is a NoneType: expected a name"),
    "a number for names": ({"teacher_points": 5}, "teacher_points=5: expected a list of names"),
    "words for numbers": ({"flow_weights": ["1"] * 5}, "weights=1,1,1,1,1 is no list of numbers"),
    "too few weights in an array": ({"flow_weights": np.ones(3)}, "expected 5"),
    "a number for shares": ({"transfer_boundaries": 0.5}, "transfer_boundaries=0.5 is no list"),
    "a number of seconds": ({"checkpoint_every": 60}, "checkpoint_every=60 is no text"),
    "an input as a point": (
        {"student_points": ("images", *NAMES[1:])}, "no layer named 'images' (point p0)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(case, data, tmp_path):
    given, part = REFUSED[case]
    options = {"teacher_points": NAMES, "student_points": NAMES, **given}
    student = chain()
    student.layers[-2].name = "global_average_pooling2d"
    train = options.pop("images", data[0]), options.pop("labels", data[1])
    train = options.pop("train_data", train)
    teacher = options.pop("teacher", taught())
    before = values(student)
    with refused(None, part):
        skt_tf.distill(teacher, student, train, output_dir=tmp_path / "out", **options)
    assert same(values(student), before)
    assert not (tmp_path / "out").exists()


def test_no_student_and_no_path_are_told_from_one(data):
    for given, says in (({"student": None}, "a network is a NoneType"),
                        ({"output_dir": 5}, "output_dir=5 is no path")):  # fmt: skip
        options = {"teacher": None, "student": chain(), "method": "baseline", **given}
        with refused(says):
            skt_tf.distill(train_data=data, **options)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine.txt", "holds other files and no distill"),
        ("distill.json", r"distill\.json is not the record of a distillation"),
    ],
)
def test_a_folder_of_other_things_is_left_alone(name, says, data, tmp_path):
    (tmp_path / name).write_text("precious")
    with refused(says):
        skt_tf.distill(None, chain(), data, method="baseline", output_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def spoilt(kind):
    """A `tf.data.Dataset` whose first batches are sound."""
    images, labels = (np.asarray(part) for part in examples())

    def one_by_one():
        for k, (image, label) in enumerate(zip(images, labels)):
            if k == 20 and kind == "breaks":
                raise OSError("the shelf is empty")
            yield image, CLASSES + 3 if k == 20 and kind == "label" else label

    signature = tf.TensorSpec(SHAPE, tf.float32), tf.TensorSpec((), tf.int32)
    return tf.data.Dataset.from_generator(one_by_one, output_signature=signature)


@pytest.mark.parametrize(("kind", "part"), [("breaks", "shelf is empty"), ("label", "label")])
def test_data_that_turns_out_unfit_later_is_named_in_a_sentence(kind, part):
    with pytest.raises(UserError, match=f"train_data.*{part}") as error:
        skt_tf.distill(None, chain(), spoilt(kind), method="baseline", **SHORT)
    assert isinstance(error.value.__cause__, tf.errors.OpError)
