"""Presets: networks that the project's own tables trained, by their names.

They lie where their run has written them, in docs/results, and are committed there once; a wheel
brings the same files along (pyproject.toml). What is said of them is read from the run's results.
"""

import dataclasses
import pathlib

from skt_tf.utils.errors import UserError, unknown
from skt_tf.utils.files import read_json

# {run: the command that trains its teacher and, with --methods, each of its students again}.
_RUNS = {
    "cifar10_sixteenth": (
        "python -m skt_tf.main --flagfile=flags/cifar10_short.flags --precision=mixed_bfloat16"
    )
}
# Where a wheel has the runs, and where a clone has them.
_PLACES = (
    pathlib.Path(__file__).with_name("trained"),
    pathlib.Path(__file__).parents[2] / "docs/results",
)
# In the order of the outputs.
_LABEL_NAMES = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Preset:
    """A network that is trained already, and how it was made.

    Attributes:
        name: what `load_preset` calls it.
        network: a `keras.Model` from raw images, grey levels 0…255, [batch, 32, 32, 3] for
            CIFAR-10, to logits [batch, classes], float32; it computes in the precision that it
            was trained in.
        label_names: of the classes, in the order of the outputs.
        accuracy: share of the dataset's test images that it was right on after its last
            iteration; those images chose nothing.
        dataset: what it was trained on, a name of `load_dataset`.
        method: what it was trained by, a name of `skt_tf.methods.catalogue.METHOD_NAMES`; None
            for a teacher, which the labels alone trained.
        command: what trains it again, in a clone.
        run: folder of the run in a clone, with its report.
    """

    name: str
    network: object = dataclasses.field(repr=False)
    label_names: tuple[str, ...]
    accuracy: float
    dataset: str
    method: str | None
    command: str
    run: str


def presets():
    """The presets that there are, as {name: accuracy on the test images}.

    Of each method it is the first net of its run, whichever net is the best on the test images.
    A wheel lacks those of `baseline` and `kd`, which a clone has.

    Example:
        >>> skt_tf.presets()
        {'cifar10_resnet26': 0.874, 'cifar10_resnet8_skt': 0.8285, …}
    """
    return {name: preset.accuracy for name, (preset, *_) in _found().items()}


def load_preset(name):
    """Loads a network that the project's own tables trained; nothing is downloaded.

    Args:
        name: one of `presets()`, such as `"cifar10_resnet26"`, a teacher.

    Returns:
        A `Preset`.

    Raises:
        ValueError: an unknown name, with those that there are, or a file that is not the one
            whose accuracy is known.
    """
    found = _found()
    if not isinstance(name, str) or name not in found:
        raise UserError(unknown(f"the preset '{name}'", name, found))
    from skt_tf.models.saving import load_network, weights_digest  # Loads TensorFlow.

    preset, path, weights = found[name]
    if weights_digest(path) != weights:
        raise UserError(
            f"{path} holds other weights than those of the preset '{name}': install the package "
            "again, or check the file out again"
        )
    return dataclasses.replace(preset, network=load_network(path))


def _found():
    """{name: (`Preset` without its network, the network's file, the digest of its weights)}.

    Of the networks that lie beside the results of their runs.
    """
    found = {}
    for run, command in _RUNS.items():
        folder = next((place / run for place in _PLACES if (place / run).is_dir()), None)
        if folder is None:
            raise UserError(
                f"the presets of {run} are neither beside the package nor in docs/results of a "
                "clone: install the package again"
            )
        results = read_json(folder / "results.json")
        dataset, teacher = results["dataset"], results["teacher"]
        facts = None, "teacher/model.keras", teacher["accuracy"], teacher["weights"]
        nets = {f"{dataset}_resnet{teacher['depth']}": facts}
        for method, entry in results["methods"].items():
            # The first of a method's nets: the best would be one that the test images chose.
            name = f"{dataset}_resnet{results['config']['student_depth']}_{method}"
            first = entry["accuracies"][0], entry["weights"][0]
            nets[name] = method, f"{method}/net0/student.keras", *first
        for name, (method, path, accuracy, weights) in nets.items():
            preset = Preset(
                name,
                None,
                _LABEL_NAMES[dataset],
                accuracy,
                dataset,
                method,
                f"{command} --methods={method or 'baseline'}",
                f"docs/results/{run}",
            )
            if (folder / path).is_file():
                found[name] = preset, folder / path, weights
    return found
