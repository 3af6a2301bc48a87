"""The report of a search: all trials, the best of them as a flagfile, and pictures."""

import fractions
import shlex

from skt_tf.reports import figures
from skt_tf.utils import document
from skt_tf.utils.document import Bullets, Code, Heading, Table, Text, bullets, percent
from skt_tf.utils.files import write_json, write_text

FLAGFILE = "best.flags"
# What a run of the best values decides by itself.
_OF_THE_SEARCH = ("validation", "evaluations")


def ranked(trials):
    """Trials by how far they went, then by accuracy, those without one last.

    Args:
        trials: dicts of `number`, `share` of the iterations, `accuracy` or None, `values` and
            `failed`, a sentence or None.
    """
    return sorted(
        trials,
        key=lambda t: (t["accuracy"] is None, -t["share"], -(t["accuracy"] or 0), t["number"]),
    )


def shortened(trial):
    """What the line of the best trial says where that had not all iterations."""
    if trial["share"] == 1:
        return ""
    part = fractions.Fraction(trial["share"]).limit_denominator(100)
    return f", after {part} of the iterations, as no trial of all has one: give more --trials"


def write(folder, record, trials, best):
    """Writes best.flags, trials.json, report.md and report.html into `folder`.

    Args:
        folder: the search's.
        record: what search.json holds.
        trials: as of `ranked`.
        best: the `Config` of the best trial, or None where none has an accuracy.
    """
    trials = ranked(trials)
    write_json(folder / "trials.json", trials)
    title, blocks = _title(record), _blocks(folder, record, trials, best)
    if best is not None:
        values = {k: v for k, v in best.as_dict().items() if k not in _OF_THE_SEARCH}
        # It decides no result, but without it the images would not be found.
        lines = best.as_flags(
            {**values, "data_dir": best.data_dir, "import_modules": best.import_modules}
        )
        comment = (
            f"# {title}: trial {trials[0]['number']}, {trials[0]['accuracy']:.2%} of the "
            f"validation images{shortened(trials[0])}."
        )
        write_text(folder / FLAGFILE, "\n".join([comment, *lines]) + "\n")
    document.write(folder, title, blocks)


def _title(record):
    settings = record["settings"]
    return f"Search of {settings['methods'][0]} on {settings['dataset']}, {settings['tuner']}"


def _blocks(folder, record, trials, best):
    done = [trial for trial in trials if trial["accuracy"] is not None]
    names = [name for name in (trials[0]["values"] if trials else ()) if "/" not in name]
    header = ("trial", "accuracy %", "share of the iterations", *names)
    rows = tuple(
        (
            str(trial["number"]),
            "failed" if trial["accuracy"] is None else percent(trial["accuracy"]),
            f"{trial['share']:.2f}",
            *(f"{trial['values'][name]:.4g}" for name in names),
        )
        for trial in trials
    )
    blocks = [Text(_answer(done))]
    if best is not None:
        flagfile = shlex.quote(str(folder / FLAGFILE))
        blocks.append(Code(f"python -m skt_tf.main --flagfile={flagfile}"))
    blocks += [Heading("Trials"), Table(header, rows)]
    if names:
        blocks.append(
            Text(
                "Weights of flows are factors on the teacher's λ, parts of the transfer iterations "
                "relative to its last stage."
            )
        )
    if done:
        points = {name: [(t["values"][name], t["accuracy"], t["share"]) for t in done]
                  for name in names}  # fmt: skip
        heading = "Accuracy against each value"
        canvas = figures.trials(points)
        blocks += [Heading(heading), figures.save(canvas, folder / "trials.png", heading)]
    blocks += [Text(f"Failed: {t['failed']}.") for t in trials if t["failed"]]
    blocks += [
        Heading("Which images were used for what"),
        Bullets(
            (
                "trained on: the training images without those held out",
                f"accuracies above: {record['validation']:,} of the training images, held out, "
                "stratified; the best of many is better than it will be on other images",
                f"{_kept_back(record)}: not read",
            )
        ),
        Heading("Environment"),
        bullets(record["environment"]),
    ]
    return blocks


def _kept_back(record):
    if record.get("test_name", "test") == "test":
        return "the test images"
    return f"the dataset's own {record['test_name']} images, which take the place of test images"


def _answer(done):
    if not done:
        return "No trial has an accuracy: see below why they failed."
    best = done[0]
    return (
        f"The best of {len(done)} trials is trial {best['number']}, with "
        f"{percent(best['accuracy'])} % of the validation images{shortened(best)}."
    )
