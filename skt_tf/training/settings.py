"""What decides one training, checked: the settings that `distill` takes.

The command line's configuration extends them (configuration.py). Nothing here loads TensorFlow.
"""

import dataclasses
import json
from fractions import Fraction

from skt_tf.methods.catalogue import listed, spelled, stages, transfers
from skt_tf.models.points import SECTION_FLOWS, layout
from skt_tf.training.setting_checks import OPTIMIZERS, check, shares
from skt_tf.utils.fields import COUNT, DECAY, NATURAL, POSITIVE, TEMPERATURE, setting

SCHEDULES = ("steps", "onecycle")
# Where the rate falls to a tenth, as shares of the stage (docs/method.md, *Protocol*).
TASK_BOUNDARIES = (Fraction(32, 64), Fraction(48, 64))
BOUNDARIES = {"transfer": (Fraction(11, 21), Fraction(16, 21)), "hint": (Fraction(25, 35),)}

# Settings that are of use where a loss is of these objectives alone; `"objective"` stands for any
# of the field's.
_NEEDED_BY = {
    ("hint",): ("hint_reduction",),
    ("soft_task",): ("temperature",),
    ("transfer",): ("section_flows", "dense_flows", "flow_weights", "project"),
    ("hint", "transfer", "objective"): (
        "transfer_batch_norm", "teacher_points", "student_points", "sections",
    ),
    ("hint", "transfer", "soft_task", "objective"): ("teacher_precision",),
}  # fmt: skip
# And in stages that have the rate and the schedule of one.
_RATED = {
    "hint": ("hint_learning_rate",),
    "transfer": ("transfer_learning_rate", "transfer_split", "transfer_boundaries"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What one training does.

    Raises:
        ValueError: a value that is not possible, in one sentence.
    """

    methods: tuple[str, ...] = setting(("skt",), "Methods, or sequences of losses, to train by")
    seed: int = setting(
        0, "Integer that fixes initial weights, data order and augmentation", limits=NATURAL
    )
    batch_size: int = setting(128, "Images per iteration", limits=COUNT)
    transfer_steps: int = setting(
        21_000,
        "Iterations of transfer, shared evenly among a method's transfer stages",
        limits=COUNT,
    )
    hint_steps: int = setting(21_000, "Iterations of the hint stage", limits=COUNT)
    task_steps: int = setting(64_000, "Iterations of the task stage", limits=COUNT)
    transfer_split: tuple[float, ...] | None = setting(
        None,
        "Part of the transfer iterations for each transfer stage of skt, skt_kd and "
        "skt_bottom_up, comma-separated, such as 1,3; equal parts if not given",
    )
    transfer_boundaries: tuple[str, ...] | None = setting(
        None,
        "Where transfer stages divide their rate by ten, as rising shares of the stage between 0 "
        "and 1, comma-separated, such as 1/2,3/4; 11/21,16/21 if not given",
    )
    task_boundaries: tuple[str, ...] | None = setting(
        None,
        "Likewise the stages that train the task, and the teacher, in steps; 1/2,3/4 if not given, "
        "and for students of fast_optimization 11/21,16/21",
    )
    section_flows: str = setting(
        "ends",
        "Where the flow of a section begins: at the section's input, or within, at the first "
        "activation inside of it",
        SECTION_FLOWS,
    )
    dense_flows: str = setting(
        "span",
        "What the overlapping flows cover: two sections, or one from middle to middle",
        ("span", "half"),
    )
    flow_weights: str | tuple[float, ...] = setting(
        "normalized",
        "Weights of the flows: normalized (each flow's loss is a relative error), equal (the "
        "paper's letter), or one number per dense flow, comma-separated",
    )
    schedule: str = setting(
        "steps",
        "Learning rate over a task stage: the paper's steps, or one cycle; other stages keep steps",
        SCHEDULES,
    )
    optimizer: str = setting(
        "sgd",
        "What moves the student: sgd, with the papers' momentum of 0.9; or adamw, for networks "
        "without batch normalisation",
    )
    nesterov: bool = setting(False, "Nesterov's momentum with sgd, in place of the papers'")
    learning_rate: float | None = setting(
        None,
        "First (steps) or highest (onecycle) rate of task stages; 0.1, or 0.001 with adamw, if not "
        "given",
        limits=POSITIVE,
    )
    transfer_learning_rate: float | None = setting(
        None,
        "First rate of transfer stages; if not given, 0.1 with sgd and normalized flow weights, "
        "0.001 otherwise",
        limits=POSITIVE,
    )
    hint_learning_rate: float | None = setting(
        None, "First rate of the hint stage; 0.0001 if not given", limits=POSITIVE
    )
    weight_decay: float | None = setting(
        None,
        "Factor of half the squared norm of the kernels in the loss, 0.0001 if not given; with "
        "adamw its own decay, 0.004 if not given",
        limits=DECAY,
    )
    temperature: float = setting(
        3.0, "Temperature that softens the teacher's outputs", limits=TEMPERATURE
    )
    hint_reduction: str = setting(
        "sum", "How the hint loss takes the entries of a map together", ("sum", "mean")
    )
    transfer_batch_norm: str = setting(
        "batch",
        "Statistics the student normalises by in transfer and hint stages",
        ("batch", "inference"),
    )
    teacher_precision: str = setting(
        "auto",
        "What the frozen teacher computes in; auto is bfloat16 where the machine computes in it",
        ("auto", "float32", "bfloat16", "float16"),
    )
    jit_compile: bool = setting(False, "Compile each step with XLA; slower on CPUs")
    checkpoint_every: str = setting(
        "60s", "How often a network in training is saved: iterations (500) or seconds (60s)"
    )
    evaluations: int = setting(
        20, "Points of each curve: how often a stage is logged and tested", limits=COUNT
    )
    teacher_points: tuple[str, ...] | None = setting(
        None,
        "Names of the teacher's layers at the flow points in order of depth, comma-separated: "
        "2n+1, the ends and middles of n sections, or n+1, their ends; those of the networks that "
        "are built here, p0,m1,p1,m2,p2,m3,p3, if not given",
    )
    student_points: tuple[str, ...] | None = setting(None, "Likewise of the student, as many")
    sections: int | None = setting(
        None, "n, the number of sections, where a number of points could mean both"
    )
    project: bool = setting(
        False,
        "Bridge channels that differ between teacher and student by trained 1×1 convolutions on "
        "the student's side, which are thrown away after transfer",
        jobs=("experiment", "tune"),
    )

    # What may change from one start to the next, since it does not decide the results.
    FREE = ("checkpoint_every",)

    def __post_init__(self):
        if all(isinstance(method, str) for method in self.methods):
            object.__setattr__(self, "methods", tuple(map(spelled, listed(self.methods))))
        for name in ("transfer_boundaries", "task_boundaries"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, shares(name, getattr(self, name)))
        check(self)
        for name, value in self.left_open(self.optimizer).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @staticmethod
    def left_open(optimizer):
        """{setting: value} of what depends on the optimizer, where it is not given."""
        if optimizer == "sgd":
            values = 0.1, 0.0001, 0.0001
        elif optimizer == "adamw":
            values = 0.001, 0.0001, 0.004
        else:  # One of a user's own has a rate, and may have a decay.
            rate = json.loads(optimizer)["config"]["learning_rate"]
            values = rate, rate, 0.0
        return dict(zip(("learning_rate", "hint_learning_rate", "weight_decay"), values))

    @property
    def iterations(self):
        """{kind: iterations}."""
        return {kind: getattr(self, f"{kind}_steps") for kind in ("transfer", "hint", "task")}

    @property
    def layout(self):
        """The `Layout` of the networks' flow points."""
        return layout(self.teacher_points, self.student_points, sections=self.sections)

    @property
    def points(self):
        """{point: layer name} of the teacher and of the student."""
        return self.layout.named(self.teacher_points), self.layout.named(self.student_points)

    @property
    def flows(self):
        """All flows that a stage may transfer."""
        return self.layout.flows(self.dense_flows, self.section_flows)

    def stages(self, method, even=False, own=False):
        """The stages of `method` with this configuration's flows, and their shares.

        With `even` the transfer stages have equal ones; with `own` losses may be unknown.
        """
        split = None if even else self.transfer_split
        options = self.dense_flows, split, self.layout, self.section_flows
        return stages(method, *options, own=own or self.knows_own)

    @property
    def knows_own(self):
        """Whether a sequence may name objectives that are not known yet."""
        return False

    def transfers(self, methods):
        """Whether any of `methods` has a transfer stage."""
        return any(transfers(self.stages(method, own=True)) for method in methods)

    def unused(self):
        """The names of the settings that none of the methods uses."""
        plan = [stage for method in self.methods for stage in self.stages(method)]
        spent = {kind for stage in plan for kind in stage.iterations}
        found = {f"{kind}_steps" for kind in self.iterations if kind not in spent}
        used = {objective for stage in plan for objective in stage.uses}
        rated = {stage.kind for stage in plan}
        found |= {
            n for needing, names in _NEEDED_BY.items() if not used & {*needing} for n in names
        }
        return found | {n for kind, names in _RATED.items() if kind not in rated for n in names}

    def boundaries(self, stage):
        """Shares of `stage` at which its rate falls; None stands for its objective's own."""
        name = "transfer_boundaries" if stage.kind == "transfer" else "task_boundaries"
        given = getattr(self, name) if stage.kind != "hint" else None
        return tuple(map(Fraction, given)) if given else None

    @staticmethod
    def rate_name(objective):
        """The setting of the first or highest learning rate of a stage with `objective`."""
        prefix = objective + "_" if objective in ("hint", "transfer") else ""
        return f"{prefix}learning_rate"

    def rate(self, objective):
        """The first or highest learning rate of a stage with `objective`."""
        found = getattr(self, self.rate_name(objective))
        return _transfer_rate(vars(self)) if found is None else found

    def as_dict(self):
        """What decides the results, as plain JSON values."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in self.FREE}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def differing(self, there, here=None, aside=(), strangers=True):
        """What differs between two records of settings.

        A setting that an older record lacks has its default, and one that is not given the
        value that it stands for.

        Args:
            there: {name: value}, as `as_dict` gave it.
            here: likewise; these settings, if not given.
            aside: names that may differ.
            strangers: whether names that are no settings, of other versions, count.

        Returns:
            {name: (value there, value here)}.
        """
        there, here = self.settled(there), self.settled(here or self.as_dict())
        names = [*here, *(name for name in there if name not in here and strangers)]
        return {
            name: (there.get(name), here.get(name))
            for name in names
            if there.get(name) != here.get(name) and name not in aside
        }

    @classmethod
    def settled(cls, values):
        """The values of a record with what they stand for where they are not given or lacking."""
        fields = [field for field in dataclasses.fields(cls) if field.name not in cls.FREE]
        values = {field.name: field.default for field in fields} | values
        own = {"transfer_boundaries": BOUNDARIES["transfer"], "task_boundaries": TASK_BOUNDARIES}
        for name, boundaries in own.items():
            if values[name] is None:
                values[name] = [str(share) for share in boundaries]
        if values["transfer_learning_rate"] is None:
            values["transfer_learning_rate"] = _transfer_rate(values)
        return values


def _transfer_rate(values):
    """The rate of transfer stages that a record's values stand for where it is not given."""
    if values["optimizer"] not in OPTIMIZERS:
        return values["learning_rate"]
    return 0.1 if (values["optimizer"], values["flow_weights"]) == ("sgd", "normalized") else 0.001
