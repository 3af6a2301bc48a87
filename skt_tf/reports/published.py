"""The numbers that the papers print, for the tables to show beside ours."""

import dataclasses
import math

from skt_tf.data.images import MIRRORED, image_size, plain_name
from skt_tf.reports import published_standard as standard
from skt_tf.reports.results import named_networks, pair


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of one of the papers' tables; accuracies in percent.

    Attributes:
        accuracy: of the net, or the mean over `nets`.
        nets: accuracy of each net, where there are several.
        ensemble: of the nets' mean softmax outputs, where there are several.
        iterations: summed over the nets ("#iter"); where none are given, None.
        source: the paper, or whose code.
        best: whether it is the highest test accuracy of all epochs, not that of the last.
    """

    accuracy: float
    nets: tuple[float, ...] = ()
    ensemble: float | None = None
    iterations: int | None = None
    source: str = "SKT"
    best: bool = False


# Iterations of the task behind the rows of each experiment.
TASK_STEPS = {"minimization": 64_000, "fast_optimization": 21_000}
# (experiment, dataset, teacher depth, student depth) → {row: what is published}.
_TABLES = {
    ("minimization", "cifar10", 26, 8): {
        "teacher": Published(91.91),
        "baseline": Published(87.94),
        "hint": Published(88.40),
        "fsp": Published(88.72),
        "skt": Published(88.96),
    },
    ("minimization", "cifar100", 32, 14): {
        "teacher": Published(64.69),
        "baseline": Published(62.37),
        "hint": Published(63.38),
        "fsp": Published(64.74),
        "skt": Published(65.06),
    },
    # The baseline is the slides' "teacher" of 21k iterations.
    ("fast_optimization", "cifar10", 26, 26): {
        "teachers": Published(91.75, (91.91, 91.68, 91.68), 93.29, 192_000),
        "baseline": Published(90.82, (90.92, 90.85, 90.69), 92.70, 63_000),
        "teacher_copied": Published(92.04, ensemble=92.71, source="FSP"),
        "hint": Published(91.87, (92.07, 91.75, 91.81), 93.02, 138_000),
        "fsp": Published(92.07, (91.84, 92.13, 92.25), 93.59, 126_000),
        "skt": Published(92.28, (92.36, 92.34, 92.15), 93.68, 126_000),
    },
    ("fast_optimization", "cifar100", 32, 32): {
        "teachers": Published(64.16, (64.69, 63.29, 64.52), 69.79, 192_000),
        "baseline": Published(62.15, (62.96, 62.69, 60.82), 67.91, 63_000),
        "hint": Published(64.01, (63.54, 64.43, 64.07), 68.68, 168_000),
        "fsp": Published(64.31, (64.16, 64.30, 64.48), 69.50, 159_000),
        "skt": Published(65.90, (66.65, 66.52, 64.54), 69.98, 159_000),
    },
}
# Students of the same networks in [FSP]'s own tables, which are other runs than the slides'.
OF_FSP = {
    ("minimization", "cifar10", 26, 8): {"baseline": 87.91, "hint": 88.57, "fsp": 88.70},
    ("minimization", "cifar100", 32, 14): {"baseline": 58.65, "hint": 61.28, "fsp": 63.33},
}
# dataset → (width, crop, mirrored) of the networks and images behind the published numbers
# (docs/method.md, *Protocol*).
_SETTINGS = {"cifar10": (16, "pad", True), "cifar100": (64, "none", False)}


def setting(results):
    """(experiment, dataset, teacher's depth, student's depth): which table a run is one of."""
    depths = results["teacher"]["depth"], results["config"]["student_depth"]
    return results["experiment"], _dataset(results), *depths


def _dataset(results):
    return plain_name(results["dataset"]).lower()


def published(results):
    """{row: `Published`} for the setting of `results`; {} where `unpublished` says why."""
    return {} if unpublished(results) else _table(results)


def _table(results):
    if not named_networks(results):
        return _TABLES.get(setting(results))
    if (_dataset(results), results["experiment"]) != (standard.DATASET, standard.EXPERIMENT):
        return None
    found = standard.table(*named_networks(results), results.get("methods", ()))
    return found and {
        row: Published(accuracy, source=source, best=source in standard.BEST)
        for row, (accuracy, source) in found.items()
    }


def unpublished(results):
    """Why nothing that is published can stand beside `results`: a clause, or None."""
    config, dataset = results["config"], results["dataset"]
    if config.get("student") or config.get("teacher_points"):
        return "the networks of this run are the user's own"
    if _table(results) is None:
        return (
            f"the papers have no table of {results['experiment'].replace('_', ' ')} on {dataset} "
            f"where {pair(results)}"
        )
    mirror = config.get("mirror")
    here = {
        "width": config["width"],
        "crop": config.get("crop", "pad"),
        "mirror": dataset in MIRRORED if mirror is None else mirror,
        "image_size": image_size(config.get("image_size")) or (32, 32),
    }
    there = standard.IMAGES
    if not named_networks(results):
        there = dict(zip(here, (*_SETTINGS[_dataset(results)], (32, 32))))
    differing = [
        f"{name} {there[name]}, not {here[name]}" for name in there if here[name] != there[name]
    ]
    return f"the papers' have {'; '.join(differing)}" if differing else None


def explained(results):
    """Whose the accuracies are that are `published` for `results`, and of how many iterations."""
    config = results["config"]
    steps = {
        kind: math.floor(config[f"{kind}_steps"] * config["budget"] + 0.5)  # As in `Config`.
        for kind in ("task", "transfer")
        if f"{kind}_steps" in config
    }
    if named_networks(results):
        return (
            f"Published accuracies are those of {standard.REPDISTILLER}'s table, or of the source "
            f"beside them, whose students have {standard.STEPS:,} iterations of 64 images in all; "
            f"those of this run have {sum(steps.values()):,} of {config['batch_size']}, task and "
            "transfer together. docs/method.md says where the protocols differ."
        )
    said = (
        "Published accuracies are those of the paper's slides, whose students have "
        f"{TASK_STEPS[results['experiment']]:,} iterations of the task; those of this "
        f"run have {steps['task']:,}."
    )
    others = OF_FSP.get(setting(results))
    if not others:
        return said
    values = ", ".join(f"`{name}` {value:.2f}" for name, value in others.items())
    return said + (
        f" [FSP]'s own table has {values} for the same networks: a gain depends on whose student "
        "alone it is measured from."
    )
