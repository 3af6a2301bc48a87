"""What a report says in numbers, from results.json alone: cells as texts, and the answer."""

import dataclasses

from skt_tf.methods.catalogue import ONE_START, TEACHERS, is_sequence, stages
from skt_tf.reports.confidence import mean, paired_difference
from skt_tf.reports.published import published
from skt_tf.reports.published_standard import REPDISTILLER
from skt_tf.utils.document import NONE, Table, percent

BASELINE, CONTROL, KD_CONTROL = "baseline", "baseline_long", "kd_long"
# What a control of its own is for, beside the students alone: their tasks have softened outputs.
_CONTROLLED = {KD_CONTROL: ("hint", "skt_kd")}
# Marks a method that has more iterations than the control.
_MORE = " †"
# Marks what is published of a training's best moment.
_BEST = " ‡"
# More columns than this help nobody, nor do more clauses of the same words.
_NETS_SHOWN = 5
_OPEN_SHOWN = 4


def summary(results):
    """A row for the teacher and each method: accuracy, cost, and what the slides print."""
    said, several = published(results), results["config"]["nets"] > 1
    # The slides have ensembles in one of their experiments.
    beside = several and any(paper.ensemble for paper in said.values())
    header = ["method", "accuracy %"] + ["ensemble %"] * several
    header += ["vs. baseline", "iterations", "seconds"]
    header += ["published %", "difference"] * bool(said)
    header += ["published ensemble %", "difference "] * beside
    entries = {name: (entry["mean"], entry) for name, entry in results["methods"].items()}
    if TEACHERS not in entries:
        entries = {"teacher": (results["teacher"]["accuracy"], results["teacher"]), **entries}
    baseline = entries.get(BASELINE, (None,))[0]
    rows = []
    for name, (accuracy, entry) in entries.items():
        ensemble, paper = _ensemble(entry), said.get(name)
        compared = name not in ("teacher", TEACHERS, BASELINE)
        row = [
            name + _MORE * (name in _surplus(results)),
            "failed" if entry.get("failed") else percent(accuracy),
        ]
        row += [percent(ensemble)] * several
        row += [points(accuracy, baseline if compared else None)]
        row += [f"{entry['iterations']:,}", f"{entry['seconds']:,.0f}"]
        if said:
            row += _beside(accuracy, paper, "accuracy")
        if beside:
            row += _beside(ensemble, paper, "ensemble")
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


def nets(results):
    """A row for each method: its nets, their spread, and their ensemble; None for one net."""
    number = results["config"]["nets"]
    if number == 1:
        return None
    shown = number if number <= _NETS_SHOWN else 0
    header = ["method", *(f"net {net + 1}" for net in range(shown))]
    header += ["mean %", "s.d.", "95 % interval", "ensemble %"]
    rows = []
    for name, entry in results["methods"].items():
        if entry.get("failed"):
            continue
        found = mean(entry["accuracies"])
        cells = [percent(share) for share in entry["accuracies"][:shown]]
        cells += [NONE] * (shown - len(cells))
        several = found.deviation is not None
        cells += [percent(found.value), f"{100 * found.deviation:.2f}" if several else NONE]
        cells += [_range(found.interval) if several and name not in ONE_START else NONE]
        cells += [percent(_ensemble(entry))]
        rows.append((name, *cells))
    return Table(tuple(header), tuple(rows))


def differences(results):
    """Each method against the controls, net by net; None for one net."""
    bases = [
        name
        for name in (BASELINE, CONTROL, KD_CONTROL)
        if _is_done(results, name)
        and any(_is_control(results, name, m) for m in results["methods"])
    ]
    compared = [name for name in results["methods"] if _is_compared(results, name)]
    if results["config"]["nets"] == 1 or not bases or not compared:
        return None
    header = ["method"] + [cell for base in bases for cell in (f"vs. {base}", "95 % interval")]
    rows = []
    for name in compared:
        row = [name]
        for base in bases:
            if not _is_control(results, base, name):
                row += [NONE, NONE]
                continue
            difference = _difference(results, name, base)
            row += [f"{difference.value:+.2f}", _signed(difference.interval)]
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


def answer(results):
    """One sentence: does each method beat the student alone, and is it more than chance?"""
    number = results["config"]["nets"]
    parts = []
    for base, alone in (
        (BASELINE, "the student alone at the same number of task iterations"),
        (CONTROL, "the student alone at the same number of iterations in all"),
        (KD_CONTROL, "softened outputs at the same number of iterations in all"),
    ):
        if not _is_done(results, base):
            continue
        least = 0 if base != CONTROL else _iterations(results, BASELINE)
        # Without transfer there are no further iterations to give to the task.
        compared = {
            f"`{name}`{_unlike(results, name, base)}": _difference(results, name, base)
            for name in results["methods"]
            if _is_control(results, base, name) and _iterations(results, name) > least
        }
        if compared:
            parts.append(f"against {alone} (`{base}`), " + ", ".join(_verdicts(compared)))
    if not parts:
        return "No trained method stands beside a trained student alone, so nothing is compared."
    start = "One net a method, so no interval can be given and a point may be chance: "
    if number > 1:
        pairs = f"{number} pairs of nets"
        if not _is_even(results):
            pairs = "the nets that both have"
        start = f"In points of accuracy, with 95 % intervals over {pairs}: "
    return start + "; ".join(parts) + "."


def unequal(results):
    """A sentence on methods whose iterations are not those of the control, or None."""
    base = next((name for name in (CONTROL, KD_CONTROL) if _is_done(results, name)), None)
    if base is None:
        return None
    control = _iterations(results, base)
    others = [
        f"`{name}` {_iterations(results, name):,}"
        for name in results["methods"]
        if _is_compared(results, name) and _iterations(results, name) != control
    ]
    if not others:
        return None
    return f"A net of `{base}` has {control:,} iterations in all, one of {', '.join(others)}."


def more(results):
    """A sentence on the methods that the summary marks, or None."""
    said = [
        f"a net of `{name}` has {_iterations(results, name):,} iterations, {surplus:,} more than "
        f"one of `{other}`"
        for name, (surplus, other) in _surplus(results).items()
    ]
    return f"†: {'; '.join(said)}." if said else None


def best(results):
    """A sentence on the published accuracies that are marked, or None."""
    said = published(results)
    if not any(said[name].best for name in ("teacher", *results["methods"]) if name in said):
        return None
    return (
        f"{_BEST.strip()}: the highest test accuracy of all epochs, as its source prints it, where "
        "the others, and ours, are those after the last."
    )


def one_start(results):
    """A sentence on the methods whose nets are not independent, or None."""
    names = [f"`{name}`" for name in results["methods"] if name in ONE_START]
    if not names or results["config"]["nets"] == 1:
        return None
    return (
        f"All nets of {', '.join(names)} begin their task with the same weights, so they are not "
        "independent of each other, and an interval over them would be too narrow: none is given. "
        "Iterations that they share are counted once."
    )


def points(share, other):
    """The difference of two shares in points, signed."""
    return NONE if None in (share, other) else f"{100 * (share - other):+.2f}"


def _ensemble(entry):
    return entry.get("ensemble") if len(entry.get("accuracies", ())) > 1 else None  # One is none.


def _beside(share, paper, name):
    value = paper and getattr(paper, name)
    if value is None:
        return [NONE, NONE]
    source = "" if paper.source in ("SKT", REPDISTILLER) else f" [{paper.source}]"
    return [f"{value:.2f}{source}{_BEST * paper.best}", points(share, value / 100)]


def _is_done(results, name):
    entry = results["methods"].get(name)
    return bool(entry) and not entry.get("failed")


def _is_compared(results, name):
    return name not in (TEACHERS, BASELINE, CONTROL) and _is_done(results, name)


def _is_control(results, base, name):
    """Whether `base` is what the method `name` is held against."""
    if not _is_compared(results, name) or (name == KD_CONTROL and base != CONTROL):
        return False
    # Any sequence may soften outputs, and is to be better than doing so alone.
    return base not in _CONTROLLED or name in _CONTROLLED[base] or is_sequence(name)


def _is_even(results):
    """Whether all methods have as many nets."""
    return len({len(e["accuracies"]) for e in results["methods"].values() if not e["failed"]}) < 2


def _surplus(results):
    """{method: (iterations beyond those of what spends the transfer's, the most of these)}."""
    numbers = {name: _iterations(results, name) for name in results["methods"] if name != TEACHERS}
    # What spends the iterations of transfer, as the control does.
    equal = [
        name
        for name in numbers
        if name == CONTROL
        or any("transfer" in stage.iterations for stage in stages(name, own=True))
    ]
    longest = max(equal, key=numbers.get, default=None)
    most = numbers.get(longest)
    return {n: (k - most, longest) for n, k in numbers.items() if most and k > most}


def _iterations(results, name):
    """Of one net."""
    if not _is_done(results, name):
        return 0
    return sum(stage["steps"] for stage in results["methods"][name]["stages"])


def _unlike(results, name, base):
    """What the control's clause says of a method that has not the control's iterations."""
    number, control = _iterations(results, name), _iterations(results, base)
    # The papers' methods have those of `baseline` for the last stage, a sequence for all of them.
    if number == control or (base == BASELINE and not is_sequence(name)):
        return ""
    return f" ({number:,} iterations against {control:,})"


def _difference(results, name, base):
    """In points of accuracy."""
    one, other = (results["methods"][method]["accuracies"] for method in (name, base))
    number = min(len(one), len(other))  # Net k of every method has the same seed.
    one, other = ([100 * share for share in shares[:number]] for shares in (one, other))
    found = paired_difference(one, other)
    if name in ONE_START:
        found = dataclasses.replace(found, interval=None)
    return found


def _verdicts(compared):
    """A clause for each method; those that are not shown to differ in one, where they are many.

    Args:
        compared: {what the method is called: its difference}.
    """
    open_ones = [name for name, found in compared.items() if found.interval and found.includes_zero]
    if len(open_ones) <= _OPEN_SHOWN:
        open_ones = []
    clauses = [f"{n} {_verdict(found)}" for n, found in compared.items() if n not in open_ones]
    if open_ones:
        said = ", ".join(f"{name} ({compared[name].value:+.2f})" for name in open_ones)
        clauses.append(f"{len(open_ones)} are not shown to differ: {said}")
    return clauses


def _verdict(difference):
    value, interval = difference.value, difference.interval
    if interval is None and round(value, 2) == 0:
        return "ends level"
    if interval is None:
        return f"ends {abs(value):.2f} points {'above' if value >= 0 else 'below'}"
    if difference.includes_zero:
        return f"is not shown to differ: {value:+.2f} ({_signed(interval)}, which includes zero)"
    verb = "beats it by" if value > 0 else "falls short of it by"
    return f"{verb} {abs(value):.2f} ({_signed(interval)})"


def _range(interval):
    return " to ".join(percent(end) for end in interval)


def _signed(interval):
    if interval is None:
        return NONE
    return " to ".join(f"{end:+.2f}" for end in interval)
