"""Tables of the replication, from the results.json files that its runs left.

    python -m docs.replication.tables [docs/results/replication]

Reads every results.json below the folder and writes tables.md into it: accuracies, net by net the
differences to `baseline_long` and to `kd_long`, and what the papers print. Intervals are Student's
t, 95 %, over the pairs of nets.
"""

import json
import pathlib
import sys

from docs.replication.protocol import SETTINGS, VARIATIONS, owner
from skt_tf.reports.confidence import mean, paired_difference
from skt_tf.reports.published import OF_FSP, published

CONTROLS = "baseline_long", "kd_long"
TITLES = {
    "a": "CIFAR-10, network minimization: 26 layers teach 8",
    "b64": "The same at a sixty-fourth of the iterations, one cycle",
    "b16": "The same at a sixteenth of the iterations, one cycle",
    "b4": "The same at a quarter of the iterations, one cycle",
    "c_within": "As the first, flows within sections",
    "c_equal": "As the first, λ = 1 and rates from 0.001",
    "d": "CIFAR-10, fast optimization: 26 layers teach 26",
    "e": "CIFAR-100, network minimization: 32 layers teach 14",
    "f": "CIFAR-100, fast optimization: 32 layers teach 32",
    "g": "Sequences, judged by held-out training images",
}


def read(folder):
    """{precision: ({table: {method: {net: percent}}}, {table/method: (nets, percent)})}."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("results.json")):
        record = json.loads(path.read_text())
        if record["rehearsal"] or record["budget"] != 1:
            continue
        tables, ensembles = found.setdefault(record["precision"], ({}, {}))
        for unit in record["units"]:
            methods = tables.setdefault(unit["table"], {})
            methods.setdefault(unit["method"], {})[unit["net"]] = 100 * unit["accuracy"]
        for place, (nets, accuracy) in record["ensembles"].items():
            if nets >= ensembles.get(place, (0, 0))[0]:
                ensembles[place] = nets, 100 * accuracy
    return found


def of_papers(table):
    """({method: `Published`}, {method: [FSP]'s own}) of a table at the papers' budget."""
    setting = SETTINGS[table]
    if setting.budget != 1:
        return {}, {}
    fast = setting.depth == setting.teacher_depth
    results = {
        "experiment": "fast_optimization" if fast else "minimization",
        "dataset": setting.dataset,
        "teacher": {"depth": setting.teacher_depth},
        "config": {
            "student_depth": setting.depth,
            "width": setting.width,
            "crop": "pad" if setting.crop else "none",
            "mirror": setting.mirror,
        },
    }
    place = results["experiment"], setting.dataset, setting.teacher_depth, setting.depth
    return published(results), OF_FSP.get(place, {})


def difference(nets, others):
    """Net by net in points, with its interval; `-` without a pair."""
    pairs = sorted(nets.keys() & others.keys())
    if not pairs or nets is others:
        return "-"
    found = paired_difference([nets[k] for k in pairs], [others[k] for k in pairs])
    if not found.interval:
        return f"{found.value:+.2f}"
    return f"{found.value:+.2f} ({found.interval[0]:+.2f} to {found.interval[1]:+.2f})"


def row(name, nets, controls, ensemble, papers):
    value = mean(nets.values())
    cells = [name, ", ".join(f"{nets[k]:.2f}" for k in sorted(nets)), f"{value.value:.2f}"]
    # A teacher's seeds are its own: it is nobody's pair.
    pairs = {} if name == "teachers" else controls
    cells += [difference(nets, pairs.get(control, {})) for control in CONTROLS]
    cells.append(f"{ensemble[1]:.2f} (of {ensemble[0]})" if ensemble else "-")
    here, of_fsp = papers
    cells.append(f"{here.accuracy:.2f}" if here else "-")
    cells.append(f"{of_fsp:.2f}" if of_fsp else "-")
    return f"| {' | '.join(cells)} |"


def table(name, tables, ensembles):
    """Markdown lines of one table, and of those whose rows stand in it."""
    methods, papers = tables.get(name, {}), of_papers(name)
    controls = tables.get(owner(name), {}) | methods
    # The task of fast optimization is another one: no table's controls but its own are equal.
    controls = methods if SETTINGS[name].task != SETTINGS[owner(name)].task else controls
    rows = dict(methods)
    if name == "g":
        controls = methods
        for variation in VARIATIONS:
            for method, nets in tables.get(variation, {}).items():
                rows[f"{variation.removeprefix('g_')}, {method}"] = nets
    elif "teachers" not in rows and "teachers" in tables.get(owner(name), {}):
        rows = {"teachers": tables[owner(name)]["teachers"]} | rows
    header = ["method", "nets %", "mean", *(f"minus `{c}`" for c in CONTROLS)]
    header += ["ensemble", "SKT", "FSP"]
    lines = [f"## {TITLES[name]}", "", f"| {' | '.join(header)} |", "|---|---" + "|---:" * 6 + "|"]
    for method, nets in rows.items():
        key = "teacher" if method == "teachers" and "teachers" not in papers[0] else method
        place = f"{owner(name) if method == 'teachers' else name}/{method}"
        known = papers[0].get(key), papers[1].get(method)
        lines.append(row(method, nets, controls, ensembles.get(place), known))
    return [*lines, ""]


def main(folder="docs/results/replication"):
    found = read(folder)
    if not found:
        sys.exit(f"{folder} has no results.json of a run at the whole budget")
    lines = ["# Tables of the replication", "", f"`python -m docs.replication.tables {folder}`", ""]
    for precision, (tables, ensembles) in found.items():
        if len(found) > 1:
            lines += [f"# In {precision}", ""]
        for name in TITLES:
            if name in tables:
                lines += table(name, tables, ensembles)
    (pathlib.Path(folder) / "tables.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
