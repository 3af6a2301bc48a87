"""metrics.csv: what the stages of one net logged."""

import csv
import io

from skt_tf.errors import UserError
from skt_tf.files import write_text


def write_metrics(path, records):
    """Writes the rows of a net's `StageRecord`s; `iteration` counts on over the stages."""
    rows, before = [], 0
    for record in records:
        rows += [{"iteration": before + row["step"], **row} for row in record.rows]
        before += record.steps
    first = ["iteration", "stage", "step", "learning_rate", "loss"]
    names = first + sorted({name for row in rows for name in row} - set(first))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_metrics(path):
    """The rows of a metrics.csv: dicts, numbers as floats, empty cells left out.

    Raises:
        ValueError: what is there was not written by `write_metrics`.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [
                {
                    name: cell if name == "stage" else float(cell)
                    for name, cell in row.items()
                    if cell
                }
                for row in csv.DictReader(file)
            ]
    except (ValueError, TypeError, csv.Error):
        rows = []
    if not rows or not all({"iteration", "stage", "step"} <= row.keys() for row in rows):
        raise UserError(f"{path} is damaged, or no log of this project: train its network again")
    return rows
