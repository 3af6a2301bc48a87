"""How far a net has come and what its stages logged: as plain data, and as metrics.csv."""

import csv
import dataclasses
import io

from skt_tf.utils.errors import UserError
from skt_tf.utils.files import write_text


@dataclasses.dataclass(frozen=True)
class StageRecord:
    """What one stage did.

    Attributes:
        name: the stage's name.
        steps: its iterations.
        seconds: time it took, evaluations for the curves included.
        rows: one dict for each logged interval: `stage`, `step` (iterations done in
            this stage), `learning_rate` (at that step), `loss` and what else the
            progress bar showed, means over the interval; where the stage trains the
            whole network, `test_accuracy`, or `validation_accuracy` if images were held out.
        matrices: of a transfer stage, the student's FSP matrices of one image at its end,
            as `skt_tf.methods.fsp.matrices` gives them; None where nobody asked.
    """

    name: str
    steps: int
    seconds: float
    rows: tuple[dict, ...]
    matrices: dict | None = None

    @property
    def final_loss(self):
        """The loss, averaged over the last interval."""
        return self.rows[-1]["loss"]


@dataclasses.dataclass
class Progress:
    """How far a net has come.

    Attributes:
        records: `StageRecord`s of the stages that are done.
        step: iterations done of the stage that follows.
        seconds: time these took.
        rows: what that stage has logged.
    """

    records: list = dataclasses.field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    rows: list = dataclasses.field(default_factory=list)

    @property
    def iterations(self):
        """Iterations of all stages so far."""
        return sum(record.steps for record in self.records) + self.step


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
