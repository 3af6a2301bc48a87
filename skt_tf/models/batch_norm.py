"""Batch normalisation that costs less: fused in training, folded in a frozen teacher.

The teacher of a transfer is frozen and in inference mode, so its batch normalisation is an
affine map of each channel, and the convolution in front of it can do that itself.
"""

import collections
import contextlib
import itertools

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from skt_tf.models.nested import inner_graph, unnested
from skt_tf.utils.errors import one_line, warn
from skt_tf.utils.precision import precision_of_teacher


class FusedBatchNormalization(layers.Layer):
    """Does what `normalization`, a layer that it holds, does, with TensorFlow's fused kernel.

    Args:
        normalization: a built `keras.layers.BatchNormalization` over the last axis of maps.
    """

    def __init__(self, normalization, **kwargs):
        # Inputs come as they are, in half precision too; the variables stay in float32.
        super().__init__(name=f"{normalization.name}_fused", dtype="float32", autocast=False)
        self.normalization = normalization
        self.built = True

    def call(self, inputs, training=False, mask=None):
        layer = self.normalization
        if not training or not layer.trainable:
            return layer(inputs, training=False)
        channels = inputs.shape[-1]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones([channels]),
            tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros([channels]),
            epsilon=layer.epsilon,
            is_training=True,
        )
        # The kernel's running variance is the unbiased one, Keras' is not.
        number = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance *= (number - 1) / number
        for moving, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + now * (1 - layer.momentum))
        return outputs

    def compute_output_shape(self, input_shape):
        return input_shape


@contextlib.contextmanager
def synchronized(model):
    """Within the block, a model's batch normalisations see the batch of all replicas."""
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    found = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if several and isinstance(layer, layers.BatchNormalization) and not layer.synchronized
    ]
    try:
        for layer in found:
            layer.synchronized = True
        yield
    finally:  # By its layers a student is known again.
        for layer in found:
            layer.synchronized = False


def fuse_batch_norm(model):
    """A view of `model`, with the same layers and variables, whose training is fused.

    Over several replicas the statistics of a batch are synchronised, which the kernel
    cannot do: there, `model` itself is returned.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return model
    model = unnested(model).model

    def fused(layer):
        fits = type(layer) is layers.BatchNormalization and layer.axis in (-1, 3)
        fits = fits and len(layer.input.shape) == 4 and layer.variable_dtype == "float32"
        # The kernel knows no renormalisation, and no smaller ε.
        fits = fits and not getattr(layer, "renorm", False) and layer.epsilon >= 1e-5
        return FusedBatchNormalization(layer) if fits else layer

    return keras.models.clone_model(model, model.input, clone_function=fused)


# Their results feed comparisons or come before any convolution: grey levels need more than
# bfloat16's 8 bits, and so do logits.
_FLOAT32 = (layers.Normalization, layers.Rescaling, layers.Dense, layers.Softmax)


@keras.saving.register_keras_serializable(package="skt_tf")
class FoldedConvolution(layers.Conv2D):
    """A convolution that does what the batch normalisation behind it does, in its place.

    It is called with what that is called with, the convolution's maps, and with the convolution's
    own input, of which it makes its result. Nothing then reads the maps, and a graph leaves them
    out, but where a point names them they are there.
    """

    # A convolution's own is of one input.
    input_spec = property(lambda self: None, lambda self, spec: None)

    def build(self, input_shape):
        super().build(input_shape[1])

    def call(self, inputs):
        return super().call(inputs[1])

    def compute_output_shape(self, input_shape):
        several = isinstance(input_shape[0], tuple | list)  # One, where a convolution builds it.
        return super().compute_output_shape(input_shape[1] if several else input_shape)


def fold_batch_norm(model, precision="float32"):
    """A copy of `model` in inference mode with batch normalisation folded into convolutions.

    Layers keep their names, and what they put out is the same to rounding. A batch
    normalisation stays as it is where the convolution before it has an activation, or
    others read its output too.

    Args:
        model: a functional `keras.Model`.
        precision: `"float32"`, `"bfloat16"` or `"float16"`, what the convolutions and all
            between them compute in; the input's standardisation and the dense layers stay
            in float32. As `"auto"`, bfloat16 where this machine computes in it.

    Returns:
        A `keras.Model` whose variables are its own and not trainable; or, with a warning, one of
        the same layers where one of them cannot be copied.
    """
    precision = precision_of_teacher(precision)
    if not inner_graph(model):
        _say_not_folded(model, "it has a call of its own")
        return model
    # A graph of its own: layers may have been called in others too.
    ends = model.outputs[0] if len(model.outputs) == 1 else model.outputs
    model = keras.Model(model.inputs[0], ends, name=model.name)
    try:
        return _folded(model, precision)
    # A layer of one's own, or of another program's: Keras passes on whatever it raises.
    except Exception as error:
        reason = one_line(error, wrapped=True)
        _say_not_folded(model, f"a layer of it cannot be copied: {reason}")
        return model


def _say_not_folded(model, reason):
    warn(
        f"batch normalisation of '{model.name}' is not folded, and it runs in its own precision, "
        f"for {reason}"
    )


def _folded(model, precision):
    folded = _foldable(model)

    def copy(layer):
        # Operations such as x + 1, and functions, have no weights and follow their inputs' dtype.
        if not isinstance(layer, layers.Layer) or isinstance(layer, layers.Lambda):
            return layer
        inner = inner_graph(layer)
        if inner:
            ends = inner._inputs_struct, inner._outputs_struct
            return _folded(keras.Model(*ends, name=layer.name), precision)
        kind, config = type(layer), layer.get_config()
        if layer.name in folded:
            before = model.get_layer(folded[layer.name]).get_config()
            kind, config = FoldedConvolution, {**before, "name": layer.name, "use_bias": True}
        if not isinstance(layer, (layers.InputLayer, *_FLOAT32)):
            # Weights stay in float32, which workers of a cluster can send each other.
            config["dtype"] = precision if precision == "float32" else f"mixed_{precision}"
        return kind.from_config(config)

    def call(layer, *arguments, **options):
        if not isinstance(layer, FoldedConvolution):
            return layer(*arguments, **options)
        (maps,) = arguments  # The options were a batch normalisation's.
        convolution, index, _ = maps._keras_history
        return layer([maps, *convolution._inbound_nodes[index].input_tensors])

    (images,) = model.inputs
    name = images._keras_history.operation.name
    images = keras.Input(batch_shape=images.shape, dtype=images.dtype, name=name)
    result = keras.models.clone_model(model, images, clone_function=copy, call_function=call)
    for layer in model.layers:
        if inner_graph(layer) or not layer.weights:
            continue
        copied, before = result.get_layer(layer.name), folded.get(layer.name)
        copied.set_weights(_fold(model.get_layer(before), layer) if before else layer.get_weights())
        for part in copied._flatten_layers():
            if isinstance(part, layers.Normalization):
                part.finalize_state()  # Its weights alone do not say what it subtracts.
    result.trainable = False
    return result


def _foldable(model):
    """{name of a batch normalisation: name of the convolution to fold it into}."""
    readers, calls = collections.defaultdict(list), collections.Counter()
    for node in itertools.chain(*model._nodes_by_depth.values()):
        calls[node.operation] += 1
        for tensor in node.input_tensors:
            readers[id(tensor)].append(node.operation)
    for tensor in model.outputs:
        readers[id(tensor)].append(None)
    return {
        readers[id(layer.output)][0].name: layer.name
        for layer in model.layers
        if type(layer) is layers.Conv2D
        and calls[layer] == 1
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
        and [type(reader) for reader in readers[id(layer.output)]] == [layers.BatchNormalization]
        and calls[readers[id(layer.output)][0]] == 1
        and readers[id(layer.output)][0].axis in (-1, 3)
    }


def _fold(convolution, normalization):
    """[kernel, bias] that do both: γ (W·x + b − μ) / √(σ² + ε) + β."""
    mean, variance = normalization.moving_mean.numpy(), normalization.moving_variance.numpy()
    factor = 1 / np.sqrt(variance + normalization.epsilon)
    if normalization.scale:
        factor = factor * normalization.gamma.numpy()
    bias = -mean if convolution.bias is None else convolution.bias.numpy() - mean
    bias = bias * factor
    if normalization.center:
        bias = bias + normalization.beta.numpy()
    return [convolution.kernel.numpy() * factor, bias]
