"""Which networks a configuration asks for: by name, by depth, or by path. Loads no TensorFlow."""

from skt_tf.models.architectures import STANDARD, WIDTH, same_channels
from skt_tf.models.points import SECTIONS, check_depth
from skt_tf.utils.errors import UserError, about

TEACHER_DEPTH, _STUDENT_DEPTH = 26, 8
_SIDES = ("teacher", "student")


def implied_networks(config):
    """{flag: value} of those flags that say which networks there are, where others imply it.

    A network that is named has its own depth; in fast_optimization the student is as the teacher.
    """
    found = {"student_network": config.student_network, "student_depth": config.student_depth}
    same = _are_alike(config)
    if found["student_depth"] is None:
        if same and found["student_network"] is None and not config.student:
            found["student_network"] = config.teacher_network
        found["student_depth"] = config.teacher_depth if same else _STUDENT_DEPTH
        if found["student_network"] in STANDARD:
            found["student_depth"] = STANDARD[found["student_network"]].depth
    # The default is what nobody asked for.
    if config.teacher_network in STANDARD and config.teacher_depth == TEACHER_DEPTH:
        found["teacher_depth"] = STANDARD[config.teacher_network].depth
    return found


def implied_depths(values):
    """{flag: value} of the depths that a record's names of networks say already."""
    found = {side: STANDARD.get(values.get(f"{side}_network")) for side in _SIDES}
    return {f"{side}_depth": network.depth for side, network in found.items() if network}


def _are_alike(config):
    """Whether the student is a network like its teacher, as in fast_optimization."""
    return config.experiment == "fast_optimization" and config.job == "experiment"


def idle(config):
    """The names of those flags that say nothing where networks are given by their paths."""
    found = ["teacher_steps"] * bool(config.teacher) + ["student_depth"] * bool(config.student)
    if config.teacher and (config.student or not _are_alike(config)):
        found.append("teacher_depth")
    return found + ["width"] * bool(config.teacher and config.student)


def named_networks(config):
    """`--teacher_network=…` and `--student_network=…` as far as they are given, in words."""
    names = {side: getattr(config, f"{side}_network") for side in _SIDES}
    return " and ".join(f"--{side}_network={name}" for side, name in names.items() if name)


def check_networks(config):
    """Raises a ValueError where the networks of a `Config` cannot be, or not together."""
    names = {side: getattr(config, f"{side}_network") for side in _SIDES}
    for side, name in names.items():
        _check_side(config, side, name)
    if any(names.values()):
        _check_named(config, names)
    _check_alike(config, names)
    # Networks that are given are looked at before training, whatever was named.
    if not config.student and config.job != "report" and config.layout.sections > SECTIONS:
        raise UserError(
            f"--teacher_points, --student_points, --sections: {config.layout.sections} sections, "
            f"and networks that are built here have {SECTIONS}: expected no more, or a --student "
            "of your own"
        )
    if config.student_weights == "saved" and not config.student:
        raise UserError("--student_weights=saved needs --student, the path of the saved network")


def _check_side(config, side, name):
    depth = getattr(config, f"{side}_depth")
    if name is None:
        with about(f"--{side}_depth"):
            check_depth(depth)
        return
    path = getattr(config, side)
    if path and config.job != "export":
        raise UserError(
            f"--{side}_network={name} names another {side} than --{side}={path}: leave out one of "
            "them"
        )
    if depth != STANDARD[name].depth:
        raise UserError(
            f"--{side}_depth={depth} is not that of --{side}_network={name}, whose layers are its "
            "own: leave out one of them"
        )


def _check_named(config, names):
    given = named_networks(config)
    if config.width != WIDTH and all(names[side] or getattr(config, side) for side in _SIDES):
        raise UserError(
            f"--width={config.width} is of no use to {given}, whose channels are their "
            "own: leave it out"
        )
    if config.peers:
        raise UserError(
            f"--peers measures PyTorch's networks of a depth beside {given}, which are "
            "others: leave out one of them"
        )
    if config.job == "benchmark" and same_channels(config) is False:
        raise UserError(
            f"{given}: their maps differ in channels, and --job=benchmark measures the transfer of "
            "flows too: give two of the same channels"
        )


def _check_alike(config, names):
    """In fast_optimization the student is a network like its teacher."""
    if config.student or not _are_alike(config):
        return
    kinds = {side: name or getattr(config, f"{side}_depth") for side, name in names.items()}
    # A teacher that is given may be any of them.
    if kinds["student"] != kinds["teacher"] and not (names["student"] and config.teacher):
        teacher, student = (
            f"--{side}_{'network' if names[side] else 'depth'}={kinds[side]}" for side in _SIDES
        )
        raise UserError(
            f"{student} differs from {teacher}: in fast_optimization the student is as deep as the "
            "teacher, so leave it out"
        )
