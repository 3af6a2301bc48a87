"""Names of networks and layers: TensorFlow's graphs take fewer than Keras."""

import contextlib
import re


def plain(name):
    """`name` as a graph takes it, and unlike any other's: `"étudiant 8"` → `".e9.tudiant.20.8"`."""
    name = re.sub(r"[^\w.-]", lambda sign: f".{ord(sign[0]):x}.", name, flags=re.ASCII)
    return name if re.match(r"[^_-]", name) else f".{name}"


@contextlib.contextmanager
def plain_names(*networks):
    """Within the block, `networks` and all their layers have names that a graph takes."""
    changed = [pair for network in networks if network for pair in use_plain_names(network)]
    try:
        yield
    finally:
        for part, name in changed:
            part.name = name


def use_plain_names(network):
    """Gives `network` and all its layers such names; returns (layer, name) of what had others."""
    changed = [(part, part.name) for part in network._flatten_layers()]
    changed = [(part, name) for part, name in changed if plain(name) != name]
    for part, name in changed:
        part.name = plain(name)
    return changed
