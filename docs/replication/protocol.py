"""The tables that are replicated: settings, methods as stages, and what is done in which order.

Written from docs/method.md, with nothing of skt_tf and without JAX.
"""

import dataclasses
import math
import typing
from fractions import Fraction

import numpy as np

FIRST = "baseline_long", "skt", "kd_long", "skt_kd", "fsp"
OTHERS = "baseline", "kd", "hint", "skt_bottom_up"
FAST = "teachers", "baseline", "baseline_long", "teacher_copied", "hint", "fsp", "skt"
TEMPERATURE = 3.0
# In order of depth; f: the first activation inside of a section.
POINTS = "p0", "f1", "m1", "p1", "f2", "m2", "p2", "f3", "m3", "p3"


@dataclasses.dataclass(frozen=True)
class Setting:
    """The protocol of a table; the numbers of iterations are the papers', times `budget`."""

    dataset: str = "cifar10"
    teacher_depth: int = 26
    depth: int = 8
    width: int = 16
    crop: bool = True
    mirror: bool = True
    teacher: int = 64_000
    transfer: int = 21_000
    hint: int = 35_000
    task: int = 64_000
    budget: float = 1.0
    onecycle: bool = False
    rate: float = 0.1
    decay: float = 1e-4
    falls: tuple = ("1/2", "3/4")  # Shares of a task stage at which its rate falls to a tenth.
    transfer_rate: float = 0.1
    transfer_falls: tuple = ("11/21", "16/21")
    split: tuple = (1, 1)
    sections: str = "ends"
    dense: str = "span"
    equal: bool = False  # λ = 1, else 1 / mean ‖G‖² of the teacher.
    held_out: int = 0
    taught_in: str = ""  # The table whose teacher teaches here, if it is another.
    keep: bool = False  # The teacher's outputs for all views of the images are computed once.

    @property
    def classes(self):
        return 100 if self.dataset == "cifar100" else 10


class Stage(typing.NamedTuple):
    """One optimisation, from the last stage's weights."""

    kind: str  # task, soft_task, transfer or hint
    steps: int
    rate: float
    falls: tuple = ()  # Iterations from which on the rate is a tenth; None: one cycle.
    flows: tuple = ()
    soft: tuple = (0.0, 0.0)  # Weight of softened outputs at the first and the last iteration.


def flows(sections, dense):
    """The disjoint flows, and those that overlap them in the dense ones."""
    disjoint = tuple((f"p{k - 1}" if sections == "ends" else f"f{k}", f"p{k}") for k in (1, 2, 3))
    overlap = {"span": (("p0", "p2"), ("p1", "p3")), "half": (("m1", "m2"), ("m2", "m3"))}
    return disjoint, overlap[dense]


def stages(method, setting):
    """The stages of a method, in order."""
    kinds = "teacher", "transfer", "hint", "task"
    number = {k: max(1, math.floor(getattr(setting, k) * setting.budget + 0.5)) for k in kinds}
    disjoint, overlapping = flows(setting.sections, setting.dense)
    dense = disjoint + overlapping

    def fall(shares, steps):
        return tuple(math.ceil(Fraction(share) * steps) for share in shares)

    def task(steps, kind="task", soft=(0.0, 0.0), falls=setting.falls):
        falls = None if setting.onecycle else fall(falls, steps)
        return Stage(kind, steps, setting.rate, falls, (), soft)

    def transfer(groups, shares):
        found, before = [], Fraction(0)
        for group, share in zip(groups, shares):
            until = before + Fraction(share) / sum(shares)
            steps = int(number["transfer"] * until) - int(number["transfer"] * before)
            falls = fall(setting.transfer_falls, steps)
            found.append(Stage("transfer", steps, setting.transfer_rate, falls, group))
            before = until
        return tuple(found)

    long, constant = number["task"] + number["transfer"], (TEMPERATURE**2, TEMPERATURE**2)
    fsp = transfer((disjoint,), (1,))
    skt = transfer((disjoint, dense), setting.split)
    upward = [tuple(flow for flow in dense if int(flow[1][1]) <= k) for k in (1, 2, 3)]
    hint = Stage("hint", number["hint"], 0.0001, fall(("25/35",), number["hint"]))
    end = (task(number["task"]),)
    return {
        "teachers": (task(number["teacher"], falls=("1/2", "3/4")),),
        "baseline": end,
        "baseline_long": (task(long),),
        "teacher_copied": end,
        "kd": (task(number["task"], "soft_task", constant),),
        "kd_long": (task(long, "soft_task", constant),),
        "hint": (hint, task(number["task"], "soft_task", (4.0, 1.0))),
        "fsp": fsp + end,
        "fsp_shared": fsp + end,
        "skt": skt + end,
        "skt_shared": skt + end,
        "skt_kd": (*skt, task(number["task"], "soft_task", constant)),
        "skt_bottom_up": transfer(upward, (1, 1, 1)) + end,
    }[method]


def rates(stage):
    """The learning rate of each iteration."""
    step = np.arange(stage.steps)
    if stage.falls is not None:
        return stage.rate / 10.0 ** np.searchsorted(stage.falls, step, side="right")
    rise = max(1, round(stage.steps / 5))
    down = (stage.steps - step) / max(1, stage.steps + 1 - rise)
    return stage.rate * np.minimum((step + 1) / rise, down)


# What --check compares: {name: (kind, flows, λ = 1, weight of softened outputs, rate)}.
_DISJOINT, _OVERLAPPING = flows("ends", "span")
CASES = {
    "disjoint": ("transfer", _DISJOINT, False, 0.0, 0.1),
    "equal": ("transfer", _DISJOINT, True, 0.0, 0.001),
    "within": ("transfer", flows("within", "span")[0], False, 0.0, 0.1),
    "dense_span": ("transfer", _DISJOINT + _OVERLAPPING, False, 0.0, 0.1),
    "dense_half": ("transfer", _DISJOINT + flows("ends", "half")[1], False, 0.0, 0.1),
    "section1": ("transfer", _DISJOINT[:1], False, 0.0, 0.1),
    "hint": ("hint", (), False, 0.0, 0.0001),
    "task": ("task", (), False, 0.0, 0.1),
    "soft_task": ("soft_task", (), False, TEMPERATURE**2, 0.1),
    "fading": ("soft_task", (), False, 4.0, 0.1),
}
# Its weight decay; and of gradients and variables it compares one number in so many.
DECAY, EVERY = 0.01, 13
ALL_FLOWS = tuple(dict.fromkeys(flow for case in CASES.values() for flow in case[1]))


def needs_teacher(method):
    return method not in ("teachers", "baseline", "baseline_long")


_SHORT = {"onecycle": True, "rate": 0.3, "decay": 5e-4, "hint": 21_000}
_FAST = {"task": 21_000, "falls": ("11/21", "16/21")}
_C10 = Setting(keep=True)
_C100 = {"dataset": "cifar100", "teacher_depth": 32, "width": 64, "crop": False, "mirror": False}
_C100 |= {"transfer": 32_000, "transfer_falls": ("1/2", "3/4"), "keep": True}
_SEARCH = Setting(budget=1 / 16, held_out=5000, **_SHORT)
SETTINGS = {
    "a": _C10,
    "b64": Setting(budget=1 / 64, **_SHORT),
    "b16": Setting(budget=1 / 16, **_SHORT),
    "b4": Setting(budget=1 / 4, keep=True, **_SHORT),
    "c_within": dataclasses.replace(_C10, sections="within", taught_in="a"),
    "c_equal": dataclasses.replace(_C10, equal=True, transfer_rate=0.001, taught_in="a"),
    "d": dataclasses.replace(_C10, depth=26, hint=25_000, taught_in="a", keep=False, **_FAST),
    "e": Setting(depth=14, **_C100),
    "f": Setting(depth=32, taught_in="e", **_C100, **_FAST),
    "g": _SEARCH,
}
# Beside g, one thing at a time: the share of all iterations that is transfer is 5 % if not said.
VARIATIONS = {
    "g_share2": {"share": 2},
    "g_share5": {},
    "g_share10": {"share": 10},
    "g_share20": {"share": 20},
    "g_rate0.01": {"transfer_rate": 0.01},
    "g_rate0.03": {"transfer_rate": 0.03},
    "g_rate0.3": {"transfer_rate": 0.3},
    "g_within": {"sections": "within"},
    "g_half": {"dense": "half"},
    "g_within_half": {"sections": "within", "dense": "half"},
    "g_equal": {"equal": True, "transfer_rate": 0.001},
    "g_quarter": {"split": (1, 3)},
    "g_three_quarters": {"split": (3, 1)},
}
for _name, _changes in VARIATIONS.items():
    _all = _SEARCH.transfer + _SEARCH.task
    _transfer = round(_all * _changes.get("share", 5) / 100)
    _changes = {name: value for name, value in _changes.items() if name != "share"}
    _changes |= {"transfer": _transfer, "task": _all - _transfer, "taught_in": "g"}
    SETTINGS[_name] = dataclasses.replace(_SEARCH, **_changes)


def queue(tables=None, methods=None, number=None):
    """(table, method, net) of all there is to do, in its order.

    Args:
        tables: those alone, or None for all.
        methods: instead of each table's own.
        number: of nets, likewise.
    """
    three = range(3)
    rows = [("a", FIRST, [0]), ("a", FIRST, [1, 2]), ("a", OTHERS, three)]
    rows += [(table, FIRST, range(5)) for table in ("b64", "b16", "b4")]
    rows += [(table, ("skt", "fsp"), three) for table in ("c_within", "c_equal")]
    rows += [("d", (*FAST, "fsp_shared", "skt_shared"), three)]
    rows += [("e", (*FIRST, *OTHERS[:3]), [0]), ("f", (*FAST, "fsp_shared", "skt_shared"), three)]
    rows += [("g", ("baseline_long", "kd_long"), range(2))]
    rows += [(table, ("skt_kd",), range(2)) for table in VARIATIONS]
    rows += [(f"g_share{share}", ("skt",), range(2)) for share in (2, 5, 10, 20)]
    rows += [("g_share5", ("skt_bottom_up",), range(2))]
    rows = [
        (table, methods or names, range(number) if number else nets)
        for table, names, nets in rows
        if table in (tables or SETTINGS)
    ]
    units = [(table, name, net) for table, names, nets in rows for name in names for net in nets]
    # Teachers are trained for the table that owns them.
    units = [(owner(t) if name == "teachers" else t, name, net) for t, name, net in units]
    return list(dict.fromkeys(units))


def owner(table):
    """The table whose teachers a table has."""
    return SETTINGS[table].taught_in or table
