"""How a network was trained, from the record that its folder holds."""

import dataclasses
import pathlib
import re

import numpy as np

from skt_tf.data.images import held_out_name
from skt_tf.methods.catalogue import needs_teacher, stages
from skt_tf.methods.sequences import folder_name
from skt_tf.models.saving import load_network, weights_digest
from skt_tf.training.distillation import RECORD
from skt_tf.utils.errors import UserError
from skt_tf.utils.files import read_json

# Of an experiment, as the rooms above write it.
_RESULTS = "results.json"


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What a record says of one network's training; what it does not say is None or empty.

    Attributes:
        method: its name, or the text of its sequence; None for a teacher.
        stages: ((name, iterations), …), in order.
        teacher: {fact: value} of the network that taught it; empty where none did.
        accuracies: {name of a part of the images, such as "test": share}, after the last
            iteration.
        dataset: the name of the images.
        class_names: of all classes, in the order of their numbers.
        test_name: what the test images are called.
        data: digest of the images and labels.
        loading: {argument: value} of `load_dataset` that decides the images; empty where it did
            not load them.
        grey_levels: whether it was trained on raw images, grey levels 0…255.
        versions: {package: version} that trained it.
    """

    method: str | None
    stages: tuple
    teacher: dict
    accuracies: dict
    dataset: str | None
    data: str | None
    loading: dict
    grey_levels: bool
    versions: dict
    class_names: tuple | None = None
    test_name: str = "test"

    @property
    def distilled(self):
        """Whether it learned from a teacher; to begin with its weights alone is not that."""
        return any(stage.uses != {"task"} for stage in self.plan)

    @property
    def plan(self):
        """The stages of its method, as the catalogue has them."""
        return stages(self.method, own=True) if self.method else ()


def provenance(path):
    """The `Provenance` of a network's file, or None where no record speaks of it.

    It is that of `distill`, beside `student.keras`, or of an experiment, in the folder above
    `<method>/net<k>/`. Of an experiment, a file with other weights than the record's is not its.

    Args:
        path: of a .keras file.
    """
    path = pathlib.Path(path).resolve()
    for read in (_of_distill, _of_experiment):
        # A record that is damaged, or of an older version, says nothing.
        try:
            found = read(path)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            continue
        if found is not None:
            return found
    return None


def provenance_of(student, trained_in):
    """Likewise of a `keras.Model` in memory.

    Args:
        student: the network.
        trained_in: the folder that `distill` wrote, or the path of the student's .keras file.

    Raises:
        ValueError: there is no record, or it is one of other weights.
    """
    path = pathlib.Path(trained_in).expanduser()
    path = path / "student.keras" if path.is_dir() else path
    found = provenance(path) if path.is_file() else None
    if found is None:
        raise UserError(
            f"trained_in={trained_in} holds no record of a finished training: expected the folder "
            f"that distill wrote ({RECORD}), or the path of a network in that of an experiment"
        )
    mine, saved = student.get_weights(), load_network(path).get_weights()
    if len(mine) != len(saved) or not all(map(np.array_equal, mine, saved)):
        raise UserError(
            f"trained_in={trained_in} holds a network of other weights than the student "
            f"'{student.name}': give the folder that it was trained in, or leave it out"
        )
    return found


def _of_distill(path):
    record = read_json(path.with_name(RECORD))
    settings, history = record["settings"], record["history"]
    if path.name != "student.keras" or history is None:
        return None
    if record.get("trained") not in (None, weights_digest(path)):
        return None
    (method,) = settings["methods"]
    tested = any("test_accuracy" in rows for rows in history.values())
    watched = record.get("watched") or ("test" if tested else "validation")
    accuracy, teacher = record["accuracy"], record["teacher"]
    if not needs_teacher(stages(method, own=True)):
        teacher = None  # It may have been given, and was not asked.
    return Provenance(
        method=method,
        stages=tuple((name, rows["step"][-1]) for name, rows in history.items()),
        teacher={"weights": teacher} if teacher else {},
        accuracies={} if accuracy is None else {watched: accuracy},
        dataset=record.get("dataset"),
        class_names=tuple(record.get("class_names") or ()) or None,
        data=record["data"],
        loading={},
        # Of a `Dataset` alone it is known, and of that alone there is an augmentation.
        grey_levels=bool(record.get("augmentation")),
        versions=_versions(record["environment"]),
    )


def _of_experiment(path):
    if path.parts[-2:] == ("teacher", "model.keras"):
        folder, method, net = path.parents[1], None, 0
    else:
        folder, method = path.parents[2], path.parts[-3]
        net = int(re.fullmatch(r"net(\d+)/student\.keras", "/".join(path.parts[-2:]))[1])
    results = read_json(folder / _RESULTS)
    teacher, config = results["teacher"], results["config"]
    if method is None:
        if teacher["source"] is not None:
            return None  # It was given: where it was trained, nobody noted.
        entry = {"weights": [teacher["weights"]]}
        entry["stages"] = [{"name": "teacher", "steps": teacher["iterations"]}]
        entry |= {
            name.replace("accuracy", "accuracies"): [value]
            for name, value in teacher.items()
            if name.endswith("accuracy")
        }
    else:
        # A sequence's folder has another name.
        method = {folder_name(name): name for name in results["methods"]}[method]
        entry = results["methods"][method]
    if entry["weights"][net] != weights_digest(path):
        return None
    test_name = results.get("test_name", "test")
    parts = {test_name: "accuracies", held_out_name(test_name): "validation_accuracies"}
    taught = method is not None and needs_teacher(stages(method, own=True))
    return Provenance(
        method=method,
        stages=tuple((stage["name"], stage["steps"]) for stage in entry["stages"]),
        teacher=_teacher(teacher, config.get("teacher_network")) if taught else {},
        accuracies={part: entry[name][net] for part, name in parts.items() if entry.get(name)},
        dataset=results["dataset"],
        test_name=test_name,
        data=results.get("data"),
        loading={name: config.get(name) for name in ("image_size", "image_bits", "crop")},
        grey_levels=True,
        versions=_versions(results["environment"]),
    )


def _teacher(entry, name):
    facts = {"accuracy": entry["accuracy"], "weights": entry.get("weights")}
    if name:
        facts["network"] = name
    elif entry["source"] is None:  # Of one that was given, the depth is that of another network.
        facts["layers"] = entry["depth"]
    return facts | {"parameters": entry["parameters"]}


def _versions(environment):
    return {name: environment[name] for name in ("skt_tf", "keras", "tensorflow")}
