"""SimKD: Chen et al., *Knowledge Distillation with the Reused Teacher Classifier*, CVPR 2022."""

import keras
import tensorflow as tf

from skt_tf.methods.heads import batch_norm, convolution
from skt_tf.methods.numerics import squared_errors
from skt_tf.methods.objective import Objective
from skt_tf.methods.shapes import check_channels, check_pairs, check_sizes, pooled_alike
from skt_tf.models.checks import check_network
from skt_tf.models.maps import layer_of
from skt_tf.models.nested import unnested
from skt_tf.utils.errors import UserError

PROJECTED = "simkd_projected"


class SimKD(Objective):
    """mean (P(Fˢ) − Fᵗ)² over the map that is pooled, [height, width, channels]; no labels.

    Fᵗ is what the teacher's classifier pools, of `resnet…` the end of the last section. P is the
    projector in a student that `with_classifier_of` has made, which classifies by the teacher's
    classifier. The recipe trains with this alone. A teacher's map that is larger is average-pooled
    to the student's. arXiv 2203.14001.
    """

    looks_at = ("maps",)
    sections = slice(-1, None)
    weight = 1.0

    def layer_names(self, teacher, student):
        # Not the last section's end: in wrn_… that is normalised and rectified before it is pooled.
        pooled, _ = _classifier(teacher, "teacher")
        if PROJECTED not in {layer.name for layer in student.layers}:
            raise UserError(
                f"the student '{student.name}' has no layer '{PROJECTED}', which '{self.name}' "
                "compares: make it with with_classifier_of(teacher, student)"
            )
        return (layer_of(teacher, pooled),), (PROJECTED,)

    def build(self, teacher, student, number=None):
        check_pairs(self.name, teacher, student)
        again = "make the student with with_classifier_of(teacher, student) of this teacher"
        check_channels(self.name, teacher, student, again)
        check_sizes(self.name, teacher, student)

    def loss(self, teacher, student, batch):
        """[batch], of maps."""
        losses = []
        for pair in zip(teacher.maps, student.maps):
            taught, maps = pooled_alike(*pair)
            losses.append(tf.reduce_mean(squared_errors(maps, taught), 1))
        return tf.add_n(losses)


def with_classifier_of(teacher, student, factor=2, epsilon=1e-5):
    """`student` with a projector to the teacher's channels, and the teacher's classifier.

    The projector is three convolutions, 1×1 to 1/`factor` of the teacher's channels, 3×3, and 1×1
    to the teacher's channels, each with batch normalisation and ReLU. It stays in the student.
    Its last layer is called `simkd_projected`; the classifier is a copy, and frozen. A student's
    map that is larger than the teacher's is average-pooled before.

    Args:
        teacher: a functional or Sequential `keras.Model` from images to logits, which ends with
            global average pooling and what follows of it, such as a dense layer.
        student: likewise. Its layers up to the pooling are shared: training one trains both.
        factor: channels of the teacher over those within the projector.
        epsilon: ε of the batch normalisations.

    Returns:
        A functional `keras.Model` of images to the teacher's classes, of Keras' own layers beside
        those of `student` and of the teacher's classifier.

    Raises:
        ValueError: networks that do not end so, or maps of sizes that cannot be joined.

    Example:
        >>> student = with_classifier_of(teacher, skt_tf.resnet(20, 100))
    """
    taught, tail = _classifier(teacher, "teacher")
    x, replaced = _classifier(student, "student")
    policy, maps, size = replaced[0].dtype_policy, x.shape, tuple(taught.shape[1:3])
    if any(s > t for s, t in zip(maps[1:3], size)):
        if any(s % t for s, t in zip(maps[1:3], size)):
            raise UserError(
                f"the student's last map is of size {maps[1]}×{maps[2]} and the teacher's of "
                f"{size[0]}×{size[1]}: expected it to be no larger, or a multiple"
            )
        window = (maps[1] // size[0], maps[2] // size[1])
        x = keras.layers.AveragePooling2D(window, dtype=policy, name="simkd_pool")(x)
    channels = taught.shape[-1]
    inner = max(1, channels // factor)
    for k, (wide, width) in enumerate(((inner, 1), (inner, 3), (channels, 1)), start=1):
        x = convolution(wide, width, f"simkd_{k}_conv", dtype=policy)(x)
        x = batch_norm(f"simkd_{k}_norm", epsilon, dtype=policy)(x)
        x = keras.layers.ReLU(dtype=policy, name=f"simkd_{k}_relu" if k < 3 else PROJECTED)(x)
    for layer in tail:
        config = {**layer.get_config(), "name": f"teacher_{layer.name}", "trainable": False}
        copy = type(layer).from_config(config)
        x = copy(x)
        copy.set_weights(layer.get_weights())
    return keras.Model(unnested(student).model.inputs[0], x, name=student.name)


def _classifier(network, role):
    """(the map that is pooled, the layers from the pooling on) of a network."""
    check_network(network)
    tensor, layers = unnested(network).model.outputs[0], []
    while True:
        layer, index, _ = tensor._keras_history
        inputs = layer._inbound_nodes[index].input_tensors
        if len(inputs) != 1 or not isinstance(layer, keras.layers.Layer):
            raise UserError(
                f"the {role} '{network.name}' does not classify by global average pooling: "
                "expected a GlobalAveragePooling2D, and behind it layers of one input each"
            )
        layers.insert(0, layer)
        tensor = inputs[0]
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            if None in tensor.shape[1:]:
                raise UserError(
                    f"the {role} '{network.name}' takes images of any size: build it for those of "
                    "one, for its last map to have a size"
                )
            return tensor, layers
