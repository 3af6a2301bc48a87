"""Flow points, layouts of them and flows, by name."""

import pytest
from sentences import refused

from skt_tf.methods.catalogue import stages
from skt_tf.models.points import (
    Layout,
    check_depth,
    dense_flows,
    disjoint_flows,
    flow_name,
    flows_up_to,
    layout,
)


def test_disjoint_flows_are_one_a_section_from_the_input_upwards():
    assert disjoint_flows() == (("p0", "p1"), ("p1", "p2"), ("p2", "p3"))


@pytest.mark.parametrize(
    ("overlap", "overlapping"),
    [("span", (("p0", "p2"), ("p1", "p3"))), ("half", (("m1", "m2"), ("m2", "m3")))],
)
def test_dense_flows_are_the_disjoint_ones_then_the_overlapping_ones(overlap, overlapping):
    assert dense_flows(overlap) == (("p0", "p1"), ("p1", "p2"), ("p2", "p3"), *overlapping)
    assert dense_flows() == dense_flows("span")


@pytest.mark.parametrize("overlap", ["span", "half"])
@pytest.mark.parametrize("sections", [1, 2, 3, 4, 5])
def test_n_sections_have_n_disjoint_and_2n_minus_1_dense_flows(overlap, sections):
    disjoint, dense = disjoint_flows(sections), dense_flows(overlap, sections)
    assert (len(disjoint), len(set(dense))) == (sections, 2 * sections - 1)
    assert dense[:sections] == disjoint
    deepest = max(int(point[1:]) for flow in dense for point in flow)
    assert deepest == sections


def test_an_unknown_overlap_is_refused_with_the_known_ones():
    with refused("=third is unknown: expected one of span, half"):
        dense_flows("third")


def test_flows_up_to_a_section_end_within_it():
    span, half = dense_flows("span"), dense_flows("half")
    assert flows_up_to(span, 1) == (("p0", "p1"),)
    assert flows_up_to(span, 2) == (("p0", "p1"), ("p1", "p2"), ("p0", "p2"))
    assert flows_up_to(span, 3) == span
    assert flows_up_to(half, 1) == (("p0", "p1"),)
    assert flows_up_to(half, 2) == (("p0", "p1"), ("p1", "p2"), ("m1", "m2"))
    assert flows_up_to(half, 3) == half


def test_a_flow_is_named_by_its_points():
    assert flow_name(("p0", "p1")) == "p0_p1"


@pytest.mark.parametrize("depth", [8, 14, 20, 26, 32, 110])
def test_a_depth_of_6n_plus_2_is_accepted(depth):
    assert check_depth(depth) is None


@pytest.mark.parametrize(
    ("depth", "nearest"),
    [
        (10, "depths are 8 and 14"),
        (27, "depths are 26 and 32"),
        (7, "depth is 8"),
        (-4, "depth is 8"),
    ],
)
def test_another_depth_is_refused_with_the_nearest_valid_ones(depth, nearest):
    with refused(rf"depth {depth} is not 6n\+2.* {nearest}$"):
        check_depth(depth)


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


def test_another_number_of_layers_than_points_is_refused():
    with refused("2 layers were named for the points p0, p1, p2"):
        Layout(2, middles=False).named(["stem", "end"])


@pytest.mark.parametrize(
    ("given", "point"), [(Layout(3), "m2"), (Layout(2), "p1"), (Layout(1), "m1")]
)
def test_a_hint_is_given_in_the_middle(given, point):
    assert given.hint_point == point
    assert stages("hint", layout=given)[0].point == point


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


@pytest.mark.parametrize(
    ("teacher", "student", "sections", "says"),
    [
        ("abcdefg", "abc", None, "7 and 3 points"),
        ("a", "ab", None, "1 and 2 points"),
        ("abcdefg", "abcdefg", 2, "7 points for 2 sections: expected 5, .*, or 3, their ends"),
        ("a", "a", None, "1 points: expected 2n\\+1"),
        ("", "", None, "0 points: expected 2n\\+1"),
        ("abc", "aba", None, "'a' is named for two points"),
    ],
)
def test_names_that_make_no_layout_are_refused(teacher, student, sections, says):
    with refused(says):
        layout([*teacher], [*student], sections=sections)
