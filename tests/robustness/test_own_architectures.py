"""Networks that are no relatives of the project's own: attention, inverted residuals."""

import keras
import pytest
from chains import CLASSES, NAMES, SHAPE, chain, examples
from command_line import SLOW
from keras import layers
from reference import same, values

import skt_tf


@pytest.fixture(scope="module")
def data():
    return examples()


def vision_transformer(dataset, width, depth, heads=2, seed=0):
    """Patches of 2×2 pixels, encoded by attention: no batch normalisation anywhere."""
    keras.utils.set_random_seed(seed)
    images = keras.Input(dataset.image_shape)
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Reshape((-1, width))(layers.Conv2D(width, 2, 2)(x))
    places = layers.Embedding(x.shape[1], width)(keras.ops.arange(x.shape[1]))
    x = x + places
    for _ in range(depth):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(heads, width // heads)(y, y)
        y = layers.LayerNormalization()(x)
        x = x + layers.Dense(width)(layers.Dense(2 * width, activation="gelu")(y))
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(images, layers.Dense(dataset.num_classes)(x))


@pytest.mark.parametrize(("steps", "least"), [(60, 0.15), pytest.param(300, 0.7, marks=SLOW)])
def test_a_pair_of_vision_transformers_learns_with_adamw(steps, least, digits):
    data, options = (digits.train_images, digits.train_labels), {"batch_size": 64, "verbose": 0}
    test = digits.test_images, digits.test_labels
    options |= {"optimizer": "adamw", "learning_rate": 0.01, "schedule": "onecycle"}
    teacher = vision_transformer(digits, 16, 1)
    found = skt_tf.distill(None, teacher, data, test, "baseline", task_steps=steps, **options)
    assert found.accuracy > least
    student = vision_transformer(digits, 16, 1, seed=1)
    found = skt_tf.distill(teacher, student, data, test, "kd", task_steps=steps, **options)
    assert found.accuracy > least


def mobile(classes=CLASSES, seed=1):
    """A teacher of inverted residuals with squeeze-and-excitation, as MobileNetV3's."""
    keras.utils.set_random_seed(seed)
    images = x = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = layers.Activation("hard_silu", name="stem")(layers.BatchNormalization(epsilon=1e-3)(x))
    for section, (number, strides) in enumerate(((8, 1), (12, 2), (16, 2)), start=1):
        for block in range(2):
            inner, step = x, strides if block == 0 else 1
            inner = layers.Conv2D(3 * number, 1, use_bias=False)(inner)
            inner = layers.Activation("hard_silu")(layers.BatchNormalization()(inner))
            inner = layers.DepthwiseConv2D(3, step, "same", use_bias=False)(inner)
            inner = layers.ReLU()(layers.BatchNormalization()(inner))
            gate = layers.GlobalAveragePooling2D(keepdims=True)(inner)
            gate = layers.Conv2D(3 * number, 1, activation="hard_sigmoid")(gate)
            inner = layers.Conv2D(number, 1, use_bias=False)(layers.Multiply()([inner, gate]))
            inner = layers.BatchNormalization()(inner)
            if inner.shape == x.shape:
                inner = layers.Add()([x, inner])
            x = layers.Identity(name=f"section{section}_block{block}")(inner)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, layers.Dense(classes)(x))


MOBILE = ("stem", *(f"section{k}_block{b}" for k in (1, 2, 3) for b in (0, 1)))


def test_a_mobile_teacher_teaches_a_small_student_of_other_channels(data):
    teacher, student = mobile(), chain()
    before, parameters = values(teacher), student.count_params()
    found = skt_tf.distill(
        teacher, student, data, data, "skt", 40, 60,
        teacher_points=MOBILE, student_points=NAMES, project=True, batch_size=16, evaluations=4,
        learning_rate=0.01, transfer_learning_rate=0.003,
    )  # fmt: skip
    assert same(values(teacher), before)
    assert found.student is student
    assert student.count_params() == parameters
    assert not any("projection" in layer.name for layer in student.layers)
    assert list(found.history) == ["step1", "step2", "task"]
    # The second step begins where the first has ended, with two more flows.
    losses = found.history["step2"]["loss"]
    assert losses[-1] < losses[0]
    # Counted by hand, over Keras' own prediction.
    hits = student.predict(data[0], verbose=0).argmax(1) == data[1]
    assert found.accuracy == hits.mean() > 0.5
    assert found.history["task"]["validation_accuracy"][-1] == pytest.approx(found.accuracy)
    assert list(found.flow_weights) == list(skt_tf.dense_flows())
