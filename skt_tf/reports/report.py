"""`--job=report`, and the end of every run: results.json and metrics.csv → a report.

Reads these files alone, so that a report can be made again without training, and of several
runs together. It is written as report.md, with its pictures beside it, and as report.html, one
file that holds everything.
"""

import pathlib

from skt_tf.reports import pooled_runs, sections, tables
from skt_tf.reports.results import RESULTS, failures, pair
from skt_tf.utils import document
from skt_tf.utils.document import Bullets, Heading, show
from skt_tf.utils.errors import UserError

# Of other work with a report or a page of its own.
_RECORDS = (RESULTS, "search.json", "export.json")


def run(config):
    """Makes the report of the run in `config.output_dir`, or that of `config.runs` together.

    Raises:
        ValueError: runs that are not finished or do not belong together; a place for the
            report that holds something else.
    """
    folder = pathlib.Path(config.output_dir)
    found = [name for name in _RECORDS if config.runs and (folder / name).exists()]
    if found:
        raise UserError(
            f"--output_dir={folder} is the folder of other work, as {found[0]} says, which may "
            "have a report of its own: give another for the report of --runs"
        )
    if config.runs and folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir={folder} is a file: expected a folder")
    write(folder, config, config.runs)


def write(folder, config, runs=None):
    """Writes report.md, report.html and the pictures, and prints the table.

    Args:
        folder: where to.
        config: a `Config`, which knows the flags of recorded configurations, and what differs.
        runs: folders of finished runs that differ in their seeds alone; `folder` if not given.
    """
    folder = pathlib.Path(folder)
    pool = pooled_runs.read(runs or (folder,), config)
    document.write(folder, _title(pool.results), _blocks(pool, folder, config))
    _print(pool.results)
    print(f"report: {folder / 'report.html'}, {folder / 'report.md'}")


def _print(results):
    show(_title(results), tables.summary(results))
    for sentence in (tables.more(results), tables.best(results), tables.answer(results)):
        if sentence:
            print(sentence.replace("`", ""))
    for sentence in failures(results).values():
        print(f"failed: {sentence}")


def _title(results):
    name = results["experiment"].replace("_", " ").capitalize()
    return f"{name}, {results['dataset']}: {pair(results)}, {_number_of_nets(results)} a method"


def _number_of_nets(results):
    entries = results["methods"].values()
    numbers = {len(e["accuracies"]) for e in entries if not e.get("failed")}
    most = results["config"]["nets"]
    least = f"{min(numbers)} to " if len(numbers) > 1 else ""
    return f"{least}{most} net{'s' * (most > 1)}"


def _blocks(pool, folder, config):
    results = pool.results
    rows = {
        method: pool.rows(method)
        for method, entry in results["methods"].items()
        if not entry.get("failed")
    }
    return [
        *sections.accuracies(pool),
        *sections.curves(results, rows, folder),
        *sections.transfer(results, rows, folder),
        *sections.costs(results),
        *sections.stages_and_weights(pool),
        Heading("Which images were used for what"),
        Bullets(tuple(sections.use_of_images(results))),
        *sections.origin(pool, config),
    ]
