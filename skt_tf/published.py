"""The numbers that the slides print [SKT], for the tables to show beside ours."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of one of the slides' tables; accuracies in percent.

    Attributes:
        accuracy: of the net, or the mean over `nets`.
        nets: accuracy of each net, where there are several.
        ensemble: of the nets' mean softmax outputs, where there are several.
        iterations: summed over the nets ("#iter"); where the slides give none, None.
    """

    accuracy: float
    nets: tuple[float, ...] = ()
    ensemble: float | None = None
    iterations: int | None = None


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


def published(results):
    """{row: `Published`} for the setting of `results`, or {}."""
    config = results["config"]
    key = (
        results["experiment"],
        results["dataset"],
        results["teacher"]["depth"],
        config["student_depth"],
    )
    own = config.get("student") or config.get("teacher_points")
    return _TABLES.get(key, {}) if config["width"] == 16 and not own else {}
