"""The accuracies that the papers print, in percent, for the tables to show beside ours."""

# Iterations of the task behind the accuracies of network minimization.
TASK_STEPS = 64_000
# (experiment, dataset, teacher depth, student depth) → {row: accuracy} [SKT, slides].
ACCURACIES = {
    ("minimization", "cifar10", 26, 8): {
        "teacher": 91.91,
        "baseline": 87.94,
        "hint": 88.40,
        "fsp": 88.72,
        "skt": 88.96,
    },
    ("minimization", "cifar100", 32, 14): {
        "teacher": 64.69,
        "baseline": 62.37,
        "hint": 63.38,
        "fsp": 64.74,
        "skt": 65.06,
    },
}


def accuracies(results):
    """{row: published accuracy in percent} for the setting of `results`, or {}."""
    config = results["config"]
    key = (
        results["experiment"],
        results["dataset"],
        results["teacher"]["depth"],
        config["student_depth"],
    )
    return ACCURACIES.get(key, {}) if config["width"] == 16 else {}
