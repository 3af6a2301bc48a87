"""The methods as data: stages, their flows and what they spend."""

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import refused

from skt_tf.methods.catalogue import METHOD_NAMES, ONE_START, TEACHER, stage_steps, stages

DISJOINT = (("p0", "p1"), ("p1", "p2"), ("p2", "p3"))


SPAN = (*DISJOINT, ("p0", "p2"), ("p1", "p3"))


HALF = (*DISJOINT, ("m1", "m2"), ("m2", "m3"))


PAPER = {"teacher": 64_000, "transfer": 21_000, "hint": 35_000, "task": 64_000}


def summary(method, overlap="span"):
    return [(stage.name, stage.objective, stage.flows) for stage in stages(method, overlap)]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("baseline", [("task", "task", ())]),
        ("baseline_long", [("task", "task", ())]),
        ("kd", [("task", "soft_task", ())]),
        ("kd_long", [("task", "soft_task", ())]),
        ("teacher_copied", [("task", "task", ())]),
        ("hint", [("hint", "hint", ()), ("task", "soft_task", ())]),
        ("fsp", [("transfer", "transfer", DISJOINT), ("task", "task", ())]),
        (
            "skt",
            [
                ("step1", "transfer", DISJOINT),
                ("step2", "transfer", SPAN),
                ("task", "task", ()),
            ],
        ),
        (
            "skt_kd",
            [
                ("step1", "transfer", DISJOINT),
                ("step2", "transfer", SPAN),
                ("task", "soft_task", ()),
            ],
        ),
        ("teachers", [("teacher", "task", ())]),
        (
            "skt_bottom_up",
            [
                ("section1", "transfer", (("p0", "p1"),)),
                ("section2", "transfer", (("p0", "p1"), ("p1", "p2"), ("p0", "p2"))),
                ("section3", "transfer", SPAN),
                ("task", "task", ()),
            ],
        ),
    ],
)
def test_a_method_is_its_stages_in_order(method, expected):
    assert summary(method) == expected


def test_half_section_windows_change_the_dense_stages_alone():
    assert summary("skt", "half") == [
        ("step1", "transfer", DISJOINT),
        ("step2", "transfer", HALF),
        ("task", "task", ()),
    ]
    assert [flows for _, _, flows in summary("skt_bottom_up", "half")] == [
        (("p0", "p1"),),
        (("p0", "p1"), ("p1", "p2"), ("m1", "m2")),
        HALF,
        (),
    ]
    assert summary("fsp", "half") == summary("fsp", "span")


WITHIN = (("f1", "p1"), ("f2", "p2"), ("f3", "p3"))


@pytest.mark.parametrize(("overlap", "overlapping"), [("span", SPAN[3:]), ("half", HALF[3:])])
def test_flows_within_sections_change_the_disjoint_flows_alone(overlap, overlapping):
    disjoint, dense, task = stages("skt", overlap, section_flows="within")
    assert (disjoint.flows, dense.flows, task.flows) == (WITHIN, WITHIN + overlapping, ())
    assert stages("fsp", section_flows="within")[0].flows == WITHIN
    first, *_ = stages("skt_bottom_up", overlap, section_flows="within")
    assert first.flows == WITHIN[:1]
    with refused("section_flows=inside is unknown"):
        stages("skt", section_flows="inside")


def test_controls_share_their_transfer_or_begin_as_the_teacher():
    for name in ("fsp", "skt"):
        *transfer, task = stages(f"{name}_shared")
        assert all(stage.shared for stage in transfer)
        own = [dataclasses.replace(stage, shared=False) for stage in transfer]
        assert (*own, task) == stages(name)
    (task,) = stages("teacher_copied")
    assert (task.start, task.iterations) == ("teacher", {"task": 1})
    assert ONE_START == ("teacher_copied", "fsp_shared", "skt_shared")


def test_only_the_softened_outputs_after_a_hint_fade():
    weights = {m: [stage.soft_weight for stage in stages(m)] for m in METHOD_NAMES}
    assert weights.pop("hint") == [None, (4.0, 1.0)]
    assert all(weight is None for plan in weights.values() for weight in plan)


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        ("baseline", [64_000]),
        ("baseline_long", [85_000]),
        ("kd", [64_000]),
        ("kd_long", [85_000]),
        ("teacher_copied", [64_000]),
        ("skt_shared", [10_500, 10_500, 64_000]),
        ("hint", [35_000, 64_000]),
        ("fsp", [21_000, 64_000]),
        ("skt", [10_500, 10_500, 64_000]),
        ("skt_kd", [10_500, 10_500, 64_000]),
        ("teachers", [64_000]),
        ("skt_bottom_up", [7_000, 7_000, 7_000, 64_000]),
    ],
)
def test_stages_spend_the_papers_budget(method, steps):
    assert stage_steps(stages(method), PAPER) == steps


def test_the_teacher_spends_its_own_budget_on_the_task():
    assert TEACHER.objective == "task"
    assert stage_steps((TEACHER,), PAPER) == [64_000]


@pytest.mark.parametrize("method", METHOD_NAMES)
@settings(max_examples=50)
@given(data=st.data())
def test_stages_together_spend_exactly_the_budget(method, data):
    counts = st.integers(1, 100_000)
    budget = {kind: data.draw(counts, label=kind) for kind in PAPER}
    plan = stages(method)
    steps = stage_steps(plan, budget)
    kinds = {kind for stage in plan for kind in stage.iterations}
    assert sum(steps) == sum(budget[kind] for kind in kinds)
    transfer = [n for n, stage in zip(steps, plan) if stage.objective == "transfer"]
    assert not transfer or max(transfer) - min(transfer) <= 1
    last = budget["teacher" if method == "teachers" else "task"]
    assert steps[-1] == last + budget["transfer"] * method.endswith("_long")


def test_shares_are_exact():
    shares = [s for m in METHOD_NAMES for stage in stages(m) for s in stage.iterations.values()]
    assert all(isinstance(share, Fraction) for share in shares)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with refused(
        r"'skd' is unknown \(did you mean kd\?\): expected one of teachers, .*_up, or a sequence"
    ):
        stages("skd")


@given(
    parts=st.lists(st.floats(0.01, 100), min_size=2, max_size=2),
    transfer=st.integers(1, 100_000),
)
def test_a_split_spends_the_same_in_other_parts(parts, transfer):
    steps = stage_steps(stages("skt", split=parts), {**PAPER, "transfer": transfer})
    assert sum(steps[:2]) == transfer
    assert abs(steps[0] - transfer * parts[0] / sum(parts)) <= 1
    assert steps[2] == PAPER["task"]
