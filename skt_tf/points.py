"""Flow points and flows by name, without TensorFlow.

A network has a stem, which ends at `p0`, and sections k = 1, 2, 3, each with a middle
`m<k>` and an end `p<k>`. A flow is a pair of points. [FSP] and [SKT] as in flows.py.
"""

from skt_tf.errors import UserError

SECTIONS = 3
HINT_POINT = "m2"  # The middle of the network, where [FitNets] gives its hint.


def check_depth(depth):
    """Raises a ValueError that lists the nearest valid depths unless `depth` is 6n+2, n ≥ 1."""
    if depth >= 8 and (depth - 2) % 6 == 0:
        return
    lower = max(8, (depth - 2) // 6 * 6 + 2)
    nearest = [lower] if depth < 8 else [lower, lower + 6]
    raise UserError(
        f"depth {depth} is not 6n+2 with n ≥ 1: the nearest valid "
        f"{'depth is' if len(nearest) == 1 else 'depths are'} {' and '.join(map(str, nearest))}"
    )


def flow_name(flow):
    """`("p0", "p1")` → `"p0_p1"`: the name of a flow in logs, tables and results."""
    return "_".join(flow)


def disjoint_flows(sections=SECTIONS):
    """The n₀ flows of [FSP] and of step 1 of [SKT], one a section.

    Example:
        >>> disjoint_flows()
        (('p0', 'p1'), ('p1', 'p2'), ('p2', 'p3'))
    """
    return tuple((f"p{k}", f"p{k + 1}") for k in range(sections))


def dense_flows(overlap="span", sections=SECTIONS):
    """The 2n₀−1 flows of step 2 of [SKT]: the disjoint ones, then n₀−1 overlapping ones.

    Args:
        overlap: `"span"`: each overlapping flow spans two neighbouring sections, as
            the slides draw it; `"half"`: a window one section long slides by half a
            section, from middle to middle.
        sections: n₀.

    Raises:
        ValueError: another `overlap`.

    Example:
        >>> dense_flows()[3:], dense_flows("half")[3:]
        ((('p0', 'p2'), ('p1', 'p3')), (('m1', 'm2'), ('m2', 'm3')))
    """
    if overlap == "span":
        overlapping = tuple((f"p{k - 1}", f"p{k + 1}") for k in range(1, sections))
    elif overlap == "half":
        overlapping = tuple((f"m{k}", f"m{k + 1}") for k in range(1, sections))
    else:
        raise UserError(f"overlap '{overlap}' is unknown: expected 'span' or 'half'")
    return disjoint_flows(sections) + overlapping


def flows_up_to(flows, section):
    """The flows that end no deeper than the end of `section`."""
    return tuple(flow for flow in flows if int(flow[1][1:]) <= section)
