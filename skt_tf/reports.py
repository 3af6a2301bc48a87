"""A finished run's results.json and metrics.csv → a table, curves, report.md.

Reads the folder alone: a report can be made again without training.
"""

import itertools
import pathlib
import sys

from skt_tf.files import read_json, whole, write_text
from skt_tf.metrics import read_metrics
from skt_tf.published import TASK_STEPS as PUBLISHED_TASK_STEPS
from skt_tf.published import accuracies
from skt_tf.results import RESULTS, failures, network_path

# Okabe and Ito's palette: told apart with any colour vision.
COLOURS = ("#000000", "#7f7f7f", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2")


def write(folder):
    """Writes report.md and the PNG curves into a run's folder and prints the table.

    Args:
        folder: the output folder of an experiment.
    """
    folder = pathlib.Path(folder)
    results = read_json(folder / RESULTS)
    metrics = {
        method: _mean_rows(folder, method, results)
        for method, entry in results["methods"].items()
        if not entry.get("failed")
    }
    figures = {
        "accuracy.png": (f"{_watched(results)} accuracy against iterations", _accuracy_figure),
        "flows.png": ("Loss of each flow during transfer", _flow_figure),
    }
    drawn = {}
    for name, (title, draw) in figures.items():
        figure = draw(results, metrics)
        if figure is None:
            continue
        with whole(folder / name) as draft:
            figure.savefig(draft, dpi=110, bbox_inches="tight")
        drawn[name] = title
    write_text(folder / "report.md", _markdown(results, drawn))
    _print(results)
    print(f"report: {folder / 'report.md'}")


def table(results):
    """The header and the rows of the table, as strings; accuracies in percent."""
    published = accuracies(results)
    several = results["config"]["nets"] > 1
    header = ["method", "accuracy %"] + (["ensemble %"] if several else [])
    header += ["vs. baseline", "iterations", "seconds"] + (["published %"] if published else [])
    teacher = results["teacher"]
    baseline = results["methods"].get("baseline")

    def percent(share):
        return "-" if share is None else f"{share:.2%}"[:-1]

    def row(name, accuracy, ensemble, difference, iterations, seconds):
        accuracy = "failed" if accuracy is None else percent(accuracy)
        cells = [name, accuracy] + ([ensemble] if several else [])
        cells += [difference, f"{iterations:,}", f"{seconds:,.0f}"]
        shown = published.get(name)
        return cells + ([f"{shown:.2f}" if shown else "-"] if published else [])

    rows = [
        row("teacher", teacher["accuracy"], "-", "-", teacher["iterations"], teacher["seconds"])
    ]
    for name, entry in results["methods"].items():
        difference = "-"
        if baseline and name != "baseline" and None not in (entry["mean"], baseline["mean"]):
            difference = f"{100 * (entry['mean'] - baseline['mean']):+.2f}"
        rows.append(
            row(
                name,
                entry["mean"],
                percent(entry["ensemble"]),
                difference,
                entry["iterations"],
                entry["seconds"],
            )
        )
    return header, rows


def _print(results):
    from rich import box, console
    from rich.table import Table

    header, rows = table(results)
    shown = Table(title=_title(results), box=box.SIMPLE_HEAD)
    for number, name in enumerate(header):
        shown.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    print()
    # A pipe has no width to keep to.
    console.Console(width=None if sys.stdout.isatty() else 200).print(shown)
    for sentence in failures(results).values():
        print(f"failed: {sentence}")


def _title(results):
    config = results["config"]
    return (
        f"{results['dataset']}: {results['teacher']['depth']} layers teach "
        f"{config['student_depth']}, "
        f"{config['nets']} net{'s' * (config['nets'] > 1)} a method"
    )


def _markdown(results, figures):
    header, rows = table(results)
    config, environment = results["config"], results["environment"]
    lines = [
        f"# {_title(results)}",
        "",
        "Accuracy on the test images at the last iteration; the test images chose nothing. "
        "`baseline_long` is the student alone with the transfer's iterations added to its own. "
        "Iterations and seconds are summed over a method's nets.",
        "",
        "| " + " | ".join(header) + " |",
        "|---|" + "---:|" * (len(header) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]
    lines += [f"Failed: {sentence}.\n" for sentence in failures(results).values()]
    if config["nets"] == 1:
        lines += ["One net a method: differences of a point may be chance.", ""]
    if "published %" in header:
        lines += [
            "Published accuracies are those of the paper's slides, whose students have "
            f"{PUBLISHED_TASK_STEPS:,} iterations of the task; those of this run have "
            f"{round(config['task_steps'] * config['budget']):,}.",
            "",
        ]
    for name, title in figures.items():
        lines += [f"![{title}]({name})", ""]
    lines += [
        "## Stages",
        "",
        "| method | stage | iterations | loss at the end |",
        "|---|---|---:|---:|",
    ]
    for name, entry in results["methods"].items():
        for stage in entry["stages"]:
            loss = "-" if stage["final_loss"] is None else f"{stage['final_loss']:.4g}"
            lines.append(f"| {name} | {stage['name']} | {stage['steps']:,} | {loss} |")
    if results["flow_weights"]:
        lines += ["", "## Weights of the flows", "", "| flow | λ |", "|---|---:|"]
        lines += [f"| {name} | {weight:.4g} |" for name, weight in results["flow_weights"].items()]
    lines += ["", "## Which images were used for what", "", *_use_of_images(results)]
    lines += ["", "## Configuration", ""]
    lines += [f"- `{name}`: {value}" for name, value in config.items() if value is not None]
    lines += ["", "## Environment", ""]
    lines += [f"- {name}: {value}" for name, value in environment.items()]
    return "\n".join(lines) + "\n"


def _watched(results):
    """The part of the images that the curves show."""
    return "Validation" if results["config"].get("validation") else "Test"


def _use_of_images(results):
    held = results["config"].get("validation")
    curves = "the test images after each interval, for the curves alone, which chose nothing"
    if held:
        curves = (
            f"{held:,} of the training images, held out, stratified, the same ones for every seed: "
            "after each interval, for the curves, and for whatever is chosen between runs"
        )
    return [
        "- trained on, with the statistics that images are standardised by, and the weights of "
        "the flows: the training images" + (", without those held out" if held else ""),
        f"- evaluated during training: {curves}",
        "- accuracies of the table: the test images, read once for each net after its last "
        "iteration",
    ]


def _mean_rows(folder, method, results):
    """The rows of a method's metrics.csv, each number the mean over its nets."""
    nets = [
        read_metrics(network_path(folder, method, net).with_name("metrics.csv"))
        for net in range(results["config"]["nets"])
    ]
    return [
        {
            name: cell if name == "stage" else sum(row[name] for row in rows) / len(rows)
            for name, cell in rows[0].items()
        }
        for rows in zip(*nets)
    ]


def _axes(plots, width, height):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, plots, squeeze=False, sharey=True)[0]
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _accuracy_figure(results, metrics):
    part = _watched(results).lower()
    figure, (axis,) = _axes(1, 8, 4.5)
    for (method, rows), colour in zip(metrics.items(), itertools.cycle(COLOURS)):
        rows = [row for row in rows if f"{part}_accuracy" in row]
        axis.plot(
            [row["iteration"] for row in rows],
            [100 * row[f"{part}_accuracy"] for row in rows],
            color=colour,
            marker=".",
            label=method,
        )
    prefix = "validation_" if part == "validation" else ""
    teacher = results["teacher"][f"{prefix}accuracy"]
    if teacher is not None:
        axis.axhline(100 * teacher, color="#999999", linestyle="--", label="teacher")
    axis.set(
        xlabel="iterations of the net, transfer included",
        ylabel=f"{part} accuracy, %",
        title=_title(results),
    )
    if axis.lines:
        axis.legend(frameon=False, ncols=2)
    return figure


def _flow_figure(results, metrics):
    flows = list(results["flow_weights"] or {})
    shown = {m: [row for row in rows if set(flows) & set(row)] for m, rows in metrics.items()}
    shown = {method: rows for method, rows in shown.items() if rows}
    if not shown:
        return None
    figure, axes = _axes(len(shown), 4 * len(shown), 3.6)
    for axis, (method, rows) in zip(axes, shown.items()):
        for flow, colour in zip(flows, COLOURS[2:]):
            points = [(row["iteration"], row[flow]) for row in rows if row.get(flow, 0) > 0]
            if points:
                axis.plot(*zip(*points), color=colour, marker=".", label=flow.replace("_", "-"))
        axis.set(title=method, xlabel="iterations", yscale="log")
    axes[0].set_ylabel("loss of a flow, λ‖Gᵀ − Gˢ‖²")
    # One legend for all: the last method of the list may not use every flow.
    handles = {}
    for axis in axes:
        handles.update(zip(*reversed(axis.get_legend_handles_labels())))
    figure.legend(
        handles.values(),
        handles,
        frameon=False,
        loc="upper center",
        ncols=len(handles),
        bbox_to_anchor=(0.5, 0.02),
    )
    return figure
