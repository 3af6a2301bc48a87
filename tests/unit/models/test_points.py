"""Flow points and flows by name."""

import pytest
from sentences import refused

from skt_tf.models.points import check_depth, dense_flows, disjoint_flows, flow_name, flows_up_to


def test_disjoint_flows_are_one_a_section_from_the_input_upwards():
    assert disjoint_flows() == (("p0", "p1"), ("p1", "p2"), ("p2", "p3"))


@pytest.mark.parametrize(
    ("overlap", "overlapping"),
    [("span", (("p0", "p2"), ("p1", "p3"))), ("half", (("m1", "m2"), ("m2", "m3")))],
)
def test_dense_flows_are_the_disjoint_ones_then_the_overlapping_ones(overlap, overlapping):
    assert dense_flows(overlap) == (("p0", "p1"), ("p1", "p2"), ("p2", "p3"), *overlapping)


def test_dense_flows_span_sections_by_default():
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
    with refused("'third' is unknown: expected 'span' or 'half'"):
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
        (13, "depths are 8 and 14"),
        (27, "depths are 26 and 32"),
        (31, "depths are 26 and 32"),
        (7, "depth is 8"),
        (5, "depth is 8"),
        (2, "depth is 8"),
        (-4, "depth is 8"),
    ],
)
def test_another_depth_is_refused_with_the_nearest_valid_ones(depth, nearest):
    with refused(rf"depth {depth} is not 6n\+2.* {nearest}$"):
        check_depth(depth)
