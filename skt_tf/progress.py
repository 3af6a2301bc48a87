"""How far a net has come, as plain data."""

import dataclasses


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
            as `skt_tf.matrices.picture` gives them; None where nobody asked.
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
