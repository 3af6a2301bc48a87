"""Flow points and flows by name, without TensorFlow.

A network has a stem, which ends at `p0`, and sections k = 1, 2, 3, …, each with a middle
`m<k>` and an end `p<k>`, and a first layer inside of it, `f<k>`. A flow is a pair of points.
[FSP] and [SKT] as in methods/fsp.py.
"""

import dataclasses

from skt_tf.utils.errors import UserError, check_one_of

SECTIONS = 3
SECTION_FLOWS = ("ends", "within")
# More than any network has; each is a name or two.
_MOST_SECTIONS = 1000


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which flow points a pair of networks has.

    Attributes:
        sections: n₀, the number of sections.
        middles: whether each section has a middle beside its end.
    """

    sections: int = SECTIONS
    middles: bool = True

    @property
    def points(self):
        """The names of the points in order of depth: `p0`, `m1`, `p1`, `m2`, …"""
        names = ["p0"]
        for k in range(1, self.sections + 1):
            names += [f"m{k}", f"p{k}"] if self.middles else [f"p{k}"]
        return tuple(names)

    @property
    def hint_point(self):
        """The middle of the network, where [FitNets] gives its hint."""
        return self.points[len(self.points) // 2]

    def flows(self, overlap="span", section_flows="ends"):
        """All flows of these points: the dense ones, or without middles the disjoint ones."""
        if self.middles:
            return dense_flows(overlap, self.sections, section_flows)
        return disjoint_flows(self.sections, section_flows)

    def named(self, layers):
        """{point: layer name}, for layer names in order of depth; None stands for the points' own.

        Raises:
            ValueError: another number of names than there are points.
        """
        if layers is None:
            return dict(zip(self.points, self.points))
        if len(layers) != len(self.points):
            raise UserError(
                f"{len(layers)} layers were named for the points {', '.join(self.points)}: "
                "expected a layer for each"
            )
        return dict(zip(self.points, layers))


# Of the networks that are built here.
RESNET = Layout()


def layout(*lists, sections=None):
    """The `Layout` of lists of layer names, in order of depth.

    Args:
        lists: of each network its layer names, or None for the points' own names. 2n+1 names are
            the ends and middles of n sections, n+1 of them the ends alone.
        sections: n, where a number of names could mean both, such as 5: the ends and middles
            of two sections, unless `sections` says 4.

    Raises:
        ValueError: numbers that differ, or that are neither, or a name that comes twice.
    """
    if sections is not None and not 1 <= sections <= _MOST_SECTIONS:
        raise UserError(f"{sections} sections: expected 1 to {_MOST_SECTIONS}")
    given = [tuple(names) for names in lists if names is not None]
    for names in given:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"the layer '{twice[0]}' is named for two points: expected one each")
    number = len(given[0]) if given else 2 * (sections or SECTIONS) + 1
    if len(given) < len(lists) and given:  # The other network has the points' own names.
        given.append(Layout(sections or SECTIONS).points)
    if any(len(names) != number for names in given):
        raise UserError(
            f"{len(given[0])} and {len(given[1])} points: expected as many of the teacher as of "
            f"the student ({' '.join(given[0])} and {' '.join(given[1])})"
        )
    if sections is None:
        middles = number % 2 == 1
        sections = (number - 1) // 2 if middles else number - 1
    else:
        middles = number == 2 * sections + 1
    if sections < 1 or number != len(Layout(sections, middles).points):
        raise UserError(
            f"{number} points for {sections} sections: expected {2 * sections + 1}, their ends and "
            f"middles, or {sections + 1}, their ends alone"
            if sections >= 1
            else f"{number} points: expected 2n+1, the ends and middles of n sections, or n+1"
        )
    return Layout(sections, middles)


def by_point(points):
    """{point: layer name} of a list of layer names, in order of depth; else as it is given."""
    return layout(points).named(points) if isinstance(points, list | tuple) else points


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


def disjoint_flows(sections=SECTIONS, section_flows="ends"):
    """The n₀ flows of [FSP] and of step 1 of [SKT], one a section.

    Args:
        sections: n₀.
        section_flows: where a section's flow begins, which the text and the drawing of [FSP]
            say differently: `"ends"`, at the section's input; `"within"`, at the first layer
            inside of it, `f<k>`, so that matrices are square and nothing is pooled.

    Raises:
        ValueError: another `section_flows`.

    Example:
        >>> disjoint_flows(), disjoint_flows(section_flows="within")[:1]
        ((('p0', 'p1'), ('p1', 'p2'), ('p2', 'p3')), (('f1', 'p1'),))
    """
    check_one_of("section_flows", section_flows, SECTION_FLOWS)
    numbers = range(1, sections + 1)
    return tuple((f"p{k - 1}" if section_flows == "ends" else f"f{k}", f"p{k}") for k in numbers)


def dense_flows(overlap="span", sections=SECTIONS, section_flows="ends"):
    """The 2n₀−1 flows of step 2 of [SKT]: the disjoint ones, then n₀−1 overlapping ones.

    Args:
        overlap: `"span"`: each overlapping flow spans two neighbouring sections, as
            the slides draw it; `"half"`: a window one section long slides by half a
            section, from middle to middle.
        sections: n₀.
        section_flows: of the disjoint ones, as in `disjoint_flows`; it changes no other.

    Raises:
        ValueError: another `overlap` or `section_flows`.

    Example:
        >>> dense_flows()[3:], dense_flows("half")[3:]
        ((('p0', 'p2'), ('p1', 'p3')), (('m1', 'm2'), ('m2', 'm3')))
    """
    check_one_of("overlap", overlap, ("span", "half"))
    numbers = range(1, sections)
    if overlap == "span":
        overlapping = tuple((f"p{k - 1}", f"p{k + 1}") for k in numbers)
    else:
        overlapping = tuple((f"m{k}", f"m{k + 1}") for k in numbers)
    return disjoint_flows(sections, section_flows) + overlapping


def flows_up_to(flows, section):
    """The flows that end no deeper than the end of `section`."""
    return tuple(flow for flow in flows if int(flow[1][1:]) <= section)
