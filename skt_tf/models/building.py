"""The teacher and the student that a configuration asks for, where their paths are not given."""

from skt_tf.models.resnet import resnet_for
from skt_tf.models.standard_networks import standard_network


def build(config, side, dataset, seed):
    """A new network for the images of a `Dataset`, which standardises them itself.

    Args:
        config: a `Config`.
        side: `"teacher"` or `"student"`.
        dataset: the `Dataset`.
        seed: integer that fixes the initial weights.
    """
    name = getattr(config, f"{side}_network")
    if name is None:
        return resnet_for(dataset, getattr(config, f"{side}_depth"), config.width, seed)
    return standard_network(
        name,
        dataset.num_classes,
        dataset.image_shape,
        normalization=(dataset.mean.tolist(), dataset.variance.tolist()),
        seed=seed,
    )
