"""Each paper's method, written as data: a tuple of stages.

Pure Python, without TensorFlow: the command line checks its flags against it.
A new method is a new tuple here; no loop changes.
"""

import contextlib
import dataclasses
from fractions import Fraction

from skt_tf.methods.sequences import is_text, sequence
from skt_tf.methods.stage import Loss, Stage, stage_steps
from skt_tf.models.points import RESNET, dense_flows, disjoint_flows, flows_up_to
from skt_tf.utils.errors import UserError, close_to, unknown

__all__ = ["Loss", "Stage", "stage_steps", "stages"]


def transfers(plan):
    """The stages of `plan` that transfer flows."""
    return [stage for stage in plan if stage.flows]


def needs_teacher(plan):
    """Whether a stage of `plan` looks at the teacher, or begins with its weights."""
    return any(stage.uses != {"task"} or stage.start for stage in plan)


TASK = Stage("task", "task", {"task": Fraction(1)})
TEACHER = Stage("teacher", "task", {"teacher": Fraction(1)})
# The row of networks trained like the teacher, of which the teacher is the first.
TEACHERS = "teachers"


def stages(method, overlap="span", split=None, layout=RESNET, section_flows="ends", own=False):
    """The stages of a method, in order.

    Args:
        method: one of `METHOD_NAMES`, or the text of a `sequence`.
        overlap: which flows are dense, as in `dense_flows`.
        split: parts of the transfer iterations for the transfer stages, in order, as a
            tuple of numbers whose sum stands for the whole; None shares them evenly. A
            method with one transfer stage has all of them.
        layout: the `Layout` of the networks' points.
        section_flows: which flow a section has, as in `disjoint_flows`.
        own: of `sequence`.

    Raises:
        ValueError: an unknown method, another number of transfer stages, or points without
            middles for a method of dense flows.
    """
    # A name that nothing here is like may be that of a loss of the user's own.
    alone = own and method.isidentifier() and not close_to(method, METHOD_NAMES)
    if is_sequence(method) or (alone and method not in METHOD_NAMES):
        options = {"overlap": overlap, "layout": layout, "section_flows": section_flows}
        return sequence(method, **options, own=own)
    if method not in METHOD_NAMES:
        raise UserError(
            unknown(f"method '{method}'", method, METHOD_NAMES)
            + ", or a sequence of losses, such as flows>task+soft"
            + f", where a loss of your own is written {method}*1" * (own and method.isidentifier())
        )
    if method in DENSE and not layout.middles:
        n = layout.sections
        raise UserError(
            f"'{method}' transfers dense flows, which need the middles of sections beside their "
            f"ends, and {n + 1} points were named: name {2 * n + 1} points, or take the method "
            "'fsp', whose flows need ends alone"
        )
    plan = _catalogue(overlap, layout, section_flows)[method]
    number = len(transfers(plan))
    if split is None or number < 2:
        return plan
    if len(split) != number:
        raise UserError(f"{len(split)} parts for the {number} transfer stages of {method}")
    parts = [Fraction(str(part)) for part in split]
    shares = iter([part / sum(parts) for part in parts])
    return tuple(
        dataclasses.replace(stage, iterations={"transfer": next(shares)}) if stage.flows else stage
        for stage in plan
    )


def listed(methods):
    """Methods of a list, whose commas may be a sequence's own or those of a quoted list."""
    text = ",".join(methods)
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def is_sequence(method):
    """Whether a method is a sequence of losses, or one loss, and none of `METHOD_NAMES`."""
    return method not in METHOD_NAMES and is_text(method)


def spelled(method):
    """A method's name, or the text of a sequence in the one spelling by which it is known."""
    if not isinstance(method, str) or not is_sequence(method.strip()):
        return method.strip() if isinstance(method, str) else method
    with contextlib.suppress(UserError):  # What is wrong with it is said where it is used.
        return str(sequence(method, own=True))
    return method


def _catalogue(overlap="span", layout=RESNET, section_flows="ends"):
    sections = layout.sections
    disjoint = disjoint_flows(sections, section_flows)
    dense = dense_flows(overlap, sections, section_flows)
    whole, half = Fraction(1), Fraction(1, 2)

    def transfer(name, flows, share):
        return Stage(name, "transfer", {"transfer": share}, flows)

    def shared(*stages):
        return tuple(dataclasses.replace(stage, shared=True) for stage in stages)

    fsp = (transfer("transfer", disjoint, whole),)
    skt = transfer("step1", disjoint, half), transfer("step2", dense, half)
    soft_task = Stage("task", "soft_task", {"task": whole})
    long = {"task": whole, "transfer": whole}
    return {
        # Networks of the teacher's depth and iterations, alone.
        TEACHERS: (TEACHER,),
        # The student alone.
        "baseline": (TASK,),
        # The control at equal iterations: what the transfer spends goes to the task.
        "baseline_long": (Stage("task", "task", long),),
        # [FSP] "Teacher‡", a control of fast optimization: the teacher, trained further.
        "teacher_copied": (dataclasses.replace(TASK, start="teacher"),),
        # [KD] softened teacher outputs beside the labels.
        "kd": (soft_task,),
        # The control of `skt_kd` at equal iterations.
        "kd_long": (Stage("task", "soft_task", long),),
        # [FitNets] a hint to the middle layer, then softened outputs that fade.
        "hint": (
            Stage("hint", "hint", {"hint": whole}, point=layout.hint_point),
            Stage("task", "soft_task", {"task": whole}, soft_weight=(4.0, 1.0)),
        ),
        # [FSP] the disjoint flows at once.
        "fsp": (*fsp, TASK),
        # [FSP] the same, whose transfer all nets of fast optimization share.
        "fsp_shared": (*shared(*fsp), TASK),
        # [SKT] disjoint flows, then dense ones, then the task.
        "skt": (*skt, TASK),
        "skt_shared": (*shared(*skt), TASK),
        # An ablation: skt with softened outputs in its last step.
        "skt_kd": (*skt, soft_task),
        # [TIP] the dense flows, section after section from the input upwards.
        "skt_bottom_up": (
            *(
                transfer(f"section{k}", flows_up_to(dense, k), whole / sections)
                for k in range(1, sections + 1)
            ),
            TASK,
        ),
    }


METHOD_NAMES = tuple(_catalogue())
# Of these methods dense flows are a part.
DENSE = ("skt", "skt_shared", "skt_kd", "skt_bottom_up")
# All nets of these begin their task with the same weights: controls of fast optimization.
ONE_START = tuple(
    name for name, plan in _catalogue().items() if any(s.shared or s.start for s in plan)
)
