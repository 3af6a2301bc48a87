"""Networks anew: the same layers with newly drawn weights."""

import random

import keras


def draw_weights(network, seed):
    """A copy of `network` whose trainable layers have new weights, by their own initialisers.

    Layers without trainable weights, such as an input's standardisation, keep theirs.

    Args:
        network: a functional or Sequential `keras.Model`.
        seed: integer that fixes the weights, and what random layers such as dropout draw.
    """
    copy = type(network).from_config(_seeded(network.get_config(), random.Random(seed)))
    if not copy.built:
        copy.build(network.input_shape)
    for old, new in zip(network._flatten_layers(), copy._flatten_layers()):
        if new.weights and not new.trainable_weights and not hasattr(new, "layers"):
            new.set_weights(old.get_weights())
            if isinstance(new, keras.layers.Normalization):
                new.finalize_state()  # Its weights alone do not say what it subtracts.
    return copy


def _seeded(config, numbers):
    """`config` with a new seed, drawn from `numbers`, wherever it has one."""
    if isinstance(config, list | tuple):
        return [_seeded(part, numbers) for part in config]
    if not isinstance(config, dict):
        return config
    return {
        name: numbers.getrandbits(31) if name == "seed" else _seeded(part, numbers)
        for name, part in config.items()
    }
