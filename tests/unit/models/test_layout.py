"""Layouts of flow points: which of how many sections, and how they are named."""

import pytest
from sentences import refused

from skt_tf.methods.catalogue import stages
from skt_tf.models.points import Layout, layout


@pytest.mark.parametrize(
    ("number", "sections", "expected"),
    [
        (3, None, Layout(1)), (5, None, Layout(2)), (7, None, Layout(3)), (9, None, Layout(4)),
        (2, None, Layout(1, False)), (4, None, Layout(3, False)), (6, None, Layout(5, False)),
        (5, 2, Layout(2)), (5, 4, Layout(4, False)), (3, 2, Layout(2, False)),
    ],
)  # fmt: skip
def test_a_number_of_names_says_which_points_there_are(number, sections, expected):
    names = [f"layer{k}" for k in range(number)]
    found = layout(names, names[::-1], sections=sections)
    assert found == expected
    assert len(found.points) == number
    assert found.named(names) == dict(zip(found.points, names))


def test_points_are_in_order_of_depth():
    assert Layout(2).points == ("p0", "m1", "p1", "m2", "p2")
    assert Layout(2, False).points == ("p0", "p1", "p2")


@pytest.mark.parametrize(
    ("given", "point"), [(Layout(3), "m2"), (Layout(2), "p1"), (Layout(1), "m1")]
)
def test_a_hint_is_given_in_the_middle(given, point):
    assert given.hint_point == point
    assert stages("hint", layout=given)[0].point == point


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_points_than_a_flow_has_are_refused(number):
    with refused(f"{number} points: expected 2n\\+1"):
        layout(["a"] * number, ["a"] * number)


@pytest.mark.parametrize("sections", [-1, 0, 1001, 2**40])
@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
def test_sections_that_no_network_has_are_refused_at_once(names, sections):
    with refused(f"^{sections} sections: expected 1 to 1000$"):
        layout(names, None, sections=sections)


@pytest.mark.parametrize("sections", [1, 2, 3, 5])
def test_methods_have_the_flows_of_n_sections(sections):
    given = Layout(sections)
    disjoint, dense, _ = stages("skt", layout=given)
    assert (len(disjoint.flows), len(dense.flows)) == (sections, 2 * sections - 1)
    assert {point for flow in dense.flows for point in flow} <= set(given.points)
    plan = stages("skt_bottom_up", layout=given)
    assert len(plan) == sections + 1
    assert [len(stage.flows) for stage in plan[:-1]] == [2 * k - 1 for k in range(1, sections + 1)]
    assert sum(stage.iterations.get("transfer", 0) for stage in plan) == 1
