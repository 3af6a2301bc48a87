"""Which of our objectives gives a loss of the peers, and with which parameters."""

import dataclasses

import tensorflow as tf

from skt_tf.methods.losses import Hint, SoftTask


@dataclasses.dataclass
class Ours:
    """How a loss of the peers is had from ours.

    Attributes:
        objective: its name, or a function that makes it.
        parameters: that are the same whatever the entry says.
        renamed: {the entry's hyper-parameter: our parameter, or None where it changes nothing}.
        parts: {regular expression of a part's name: the parameters that leave it alone}; parts
            named by points or flows are found without.
        heads: from the objective to a list of {suffix: variable}, a dict for each group of the
            entry's parameters.
        extras: from the objective, the entry and what it sees of the teacher to {name: array}.
        factor: theirs over ours, or the hyper-parameter that it is.
        ties: whether gradients where an input is zero depend on how ties are broken.
    """

    objective: object
    parameters: dict = dataclasses.field(default_factory=dict)
    renamed: dict = dataclasses.field(default_factory=dict)
    parts: dict = dataclasses.field(default_factory=dict)
    heads: object = lambda objective: []
    extras: object = lambda objective, entry, teacher: {}
    factor: float | str = 1.0
    ties: bool = False


class Softened:
    """The softened part of the built-in soft task, as an objective."""

    name, heads, views = "soft_task", (), 1

    def __init__(self, temperature):
        self.task = SoftTask(temperature)

    def build(self, teacher, student, number=None):
        pass

    def loss(self, teacher, student, batch):
        labels = tf.zeros(len(student.logits), tf.int32)
        return self.task.losses(labels, teacher.logits, student.logits, 0.0)["softened"]


class HintOfOurs(Softened):
    """The built-in hint, where no regressor is needed, as an objective."""

    name = "hint"

    def __init__(self, reduction):
        self.hint = Hint(reduction)

    def loss(self, teacher, student, batch):
        return self.hint.losses(None, teacher.maps[0], student.maps[0], 0.0)["hint"]


def _regressors(objective):
    found = []
    for head in objective.heads:
        convolution, norm = head.layers[:2]
        norm = {"bn.gamma": norm.gamma, "bn.beta": norm.beta}
        found.append({"w": convolution.kernel, "b": convolution.bias, **norm})
    return found


def _guesses(objective):
    found = []
    for head in objective.heads:
        kernels = {f"w{k}": layer.kernel for k, layer in enumerate(head.convolutions)}
        found.append({**kernels, "log_scale": head.alpha})
    return found


def _embeddings(objective):
    return [{"w": head.kernel, "b": head.bias} for head in objective.heads[:2]]


def _projector(projector):
    found = {}
    for k in range(3):
        found[f"w{k}"] = projector.get_layer(f"simkd_{k + 1}_conv").kernel
        norm = projector.get_layer(f"simkd_{k + 1}_norm")
        found |= {f"bn{k}.gamma": norm.gamma, f"bn{k}.beta": norm.beta}
    return [found]


def _matrices(objective, entry, teacher):
    """The teacher's FSP matrices by either pooling."""
    by_pooling = {"avg": objective, "max": type(objective)()}
    return {
        f"matrix_{kind}{k}": matrix
        for kind, one in by_pooling.items()
        for k, matrix in enumerate(one.matrices(teacher), 1)
    }


def _remembered(objective, entry, teacher):
    memory = objective.remembered
    return {
        "z": memory.constants,
        "memory_s_after": memory.student,
        "memory_t_after": memory.teacher,
    }


_TEMPERATURE = {"T": "temperature", "tau": "temperature"}
_STD = {**_TEMPERATURE, "std": None}
_DKD = {"tckd": {"alpha": 1, "beta": 0}, "nckd": {"alpha": 0, "beta": 1}}
_RKD = {
    "distance": {"distance_weight": 1, "angle_weight": 0},
    "angle": {"distance_weight": 0, "angle_weight": 1},
}
_DIST = {"inter": {"beta": 1, "gamma": 0}, "intra": {"beta": 0, "gamma": 1}}
_MLKD = {term: {"terms": (term,)} for term in ("kd", "class", "batch")}
# The peers' entry counts the strong view's cross-entropy to the task.
_UNLABELLED = {"cross_entropy": 0}
_ONE_TERM = {"weak_temperatures": (), "masked": False}
_CRD = {
    **_TEMPERATURE,
    "recipe_negatives": None,
    "recipe_rows": None,
    "recipe_width": None,
    "rows": None,
}

# An entry belongs to the longest name that it begins with: `at_sizes` to `at`.
OURS = {
    "kd": Ours(Softened, renamed=_TEMPERATURE),
    "dkd": Ours("dkd", renamed=_TEMPERATURE, parts=_DKD),
    "logit_std_kd": Ours("logit_std_kd", renamed=_STD),
    "logit_std_dkd": Ours("dkd", {"standardized": True}, _STD, _DKD),
    "dist": Ours("dist", renamed=_TEMPERATURE, parts=_DIST),
    "at": Ours("at", renamed={"p": "power"}),
    "at_paper": Ours("at", {"squared": False}, {"p": "power"}),
    "sp": Ours("sp"),
    "rkd": Ours("rkd", parts=_RKD),
    "rkd_distance": Ours("rkd", _RKD["distance"]),
    "rkd_angle": Ours("rkd", _RKD["angle"]),
    "pkt": Ours("pkt"),
    "nst": Ours("nst", renamed={"kernel": None}),
    "vid": Ours("vid", renamed={"initial_variance": "variance"}, heads=_guesses),
    "fsp": Ours("fsp", {"pooling": "average", "reduction": "mean"}, extras=_matrices),
    "fsp_torchdistill": Ours("fsp", {"reduction": "columns"}, ties=True),
    "cc": Ours("cc", renamed={"recipe_width": None}, heads=_embeddings),
    "cc_plain": Ours("cc", {"width": None}),
    "cc_gaussian": Ours("cc", {"kernel": "gaussian", "width": None}, {"P": "order"}),
    "hint": Ours(HintOfOurs, {"reduction": "mean"}, factor=2.0),
    "hint_regressor": Ours("fitnet", heads=_regressors),
    "hcl": Ours("reviewkd", {"fused": False}),
    "mlkd": Ours("mlkd", _UNLABELLED, {"weight": None}, _MLKD, factor="weight"),
    "mlkd_class": Ours("mlkd", {**_ONE_TERM, "terms": ("class",)}, {"T": "temperatures"}),
    "mlkd_batch": Ours("mlkd", {**_ONE_TERM, "terms": ("batch",)}, {"T": "temperatures"}),
    "simkd": Ours("simkd", renamed={"factor": None, "epsilon": None}, heads=_projector),
    "ickd_plain": Ours("ickd", {"embedding": False}),
    "ickd": Ours("ickd", heads=_regressors),
    "crd": Ours("crd", renamed=_CRD, heads=_embeddings, extras=_remembered),
}  # fmt: skip
# Losses that ours cannot express, each with the reason.
LEFT_OUT = {}
# Parts that are no part of the value, for they belong to the task.
OF_THE_TASK = {"ce"}
