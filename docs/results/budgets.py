"""What each method gains over its control, against the budget: one picture of several runs.

    python -m docs.results.budgets docs/results/cifar10_short docs/results/cifar10_quarter …

Reads `results.json` of finished runs of one experiment, draws budgets.png and writes budgets.md,
the same as a table: each method minus `baseline_long`, `skt_kd` minus `kd_long`, `skt` minus `fsp`,
of equal iterations. Net k of both is a pair; intervals are Student's t, 95 %, over the pairs.
"""

import pathlib
import sys

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from skt_tf.reports.confidence import paired_difference
from skt_tf.reports.figures import COLOURS
from skt_tf.reports.published import setting
from skt_tf.reports.results import finished

HERE = pathlib.Path(__file__).parent
CONTROL = "baseline_long"
# What the paper says is that `skt` beats `fsp`.
PAIRS = (("skt_kd", "kd_long"), ("skt", "fsp"))
# Controls are what others are measured from; `baseline` and `kd` have fewer iterations.
NOT_COMPARED = ("teachers", "baseline", "kd", CONTROL)
SCHEDULES = {"onecycle": ("o", "one cycle"), "steps": ("s", "steps, as the paper")}


def compared(methods):
    """(method, control) of those that a run has."""
    pairs = [(name, CONTROL) for name in methods if name not in NOT_COMPARED]
    return [pair for pair in (*pairs, *PAIRS) if {*pair} <= methods.keys()]


def gains(runs):
    """{(method, control): [(budget, schedule, `Mean` of the difference in points), …]}."""
    found = {}
    if len({setting(results) for results in runs}) > 1:
        sys.exit("these are runs of several experiments: expected one table at several budgets")
    for results in runs:
        config, methods = results["config"], results["methods"]
        for pair in compared(methods):
            one, other = (methods[m]["accuracies"] for m in pair)
            number = min(len(one), len(other))
            shares = ([100 * share for share in each[:number]] for each in (one, other))
            point = config["budget"], config["schedule"], paired_difference(*shares)
            found.setdefault(pair, []).append(point)
    return {pair: sorted(points, key=lambda p: p[0]) for pair, points in found.items()}


def label(pair):
    name, control = pair
    return name if control == CONTROL else f"{name} − {control}"


def draw(found, path):
    figure = Figure(figsize=(8, 4.5))
    axis = figure.subplots()
    budgets = sorted({budget for points in found.values() for budget, *_ in points})
    for number, (pair, points) in enumerate(found.items()):
        # Side by side, so that intervals do not cover each other.
        shift = 1.035 ** (number - (len(found) - 1) / 2)
        colour = COLOURS[number % len(COLOURS)]
        line = ":" if pair[1] != CONTROL else "--" if number >= len(COLOURS) else "-"
        xs, ys = [shift * p[0] for p in points], [p[2].value for p in points]
        axis.plot(xs, ys, color=colour, linestyle=line, linewidth=1, label=label(pair))
        for x, (_, schedule, mean) in zip(xs, points):
            bars = [[mean.value - mean.interval[0]]] * 2 if mean.interval else None
            marker = SCHEDULES[schedule][0]
            face = colour if mean.interval else "none"
            style = {"color": colour, "marker": marker, "markerfacecolor": face, "capsize": 2}
            axis.errorbar([x], [mean.value], bars, markersize=5, linewidth=1, **style)
    points = [point for points in found.values() for point in points]
    for schedule in sorted({schedule for _, schedule, _ in points}):
        marker, name = SCHEDULES[schedule]
        axis.plot([], [], "k" + marker, label=name)
    if not all(mean.interval for *_, mean in points):
        axis.plot([], [], "ko", markerfacecolor="none", label="one net, no interval")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(
        xscale="log",
        xlabel="budget, as a share of the paper's iterations",
        ylabel=f"points above {CONTROL},\nwhich has as many iterations",
    )
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(budgets, [share(budget) for budget in budgets])
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axis.get_legend_handles_labels(),
        loc="center left",
        bbox_to_anchor=(0.92, 0.5),
        frameon=False,
    )
    figure.savefig(path, dpi=110, bbox_inches="tight")


def share(budget):
    return "1" if budget == 1 else f"1/{1 / budget:g}"


def unlike(runs):
    """A clause of the methods of other iterations than their control, if there are any."""
    others = set()
    for results in runs:
        entries = results["methods"].items()
        steps = {name: sum(stage["steps"] for stage in entry["stages"]) for name, entry in entries}
        others |= {f"`{m}`" for m, control in compared(steps) if steps[m] != steps[control]}
    return f", but for {', '.join(sorted(others))}" if others else ""


def table(found, folders, runs):
    lines = [
        "# What each method gains over its control, against the budget\n",
        f"```\npython -m docs.results.budgets {' '.join(map(str, folders))}\n```\n",
        "Points of test accuracy, net by net, with Student's 95 % intervals where there are "
        f"several nets. Control and method have the same iterations{unlike(runs)}.\n",
        "| budget | schedule | method | control | nets | points | 95 % interval |",
        "|---|---|---|---|---:|---:|---|",
    ]
    rows = [(*point, pair) for pair, points in found.items() for point in points]
    for budget, schedule, mean, (name, control) in sorted(rows, key=lambda row: row[0]):
        interval = "–"
        if mean.interval:
            interval = " to ".join(f"{end:+.2f}" for end in mean.interval)
        lines.append(
            f"| {share(budget)} | {schedule} | {name} | {control} | {mean.number} | "
            f"{mean.value:+.2f} | {interval} |"
        )
    return "\n".join(lines) + "\n"


def main(*folders):
    runs = [finished(pathlib.Path(folder)) for folder in folders]
    found = gains(runs)
    draw(found, HERE / "budgets.png")
    (HERE / "budgets.md").write_text(table(found, folders, runs), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
