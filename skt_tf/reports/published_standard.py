"""Accuracies that the field's papers print for its standard protocol on CIFAR-100.

240 epochs of batches of 64 images, padded by 4 pixels, cropped and mirrored; docs/method.md says
what else. From the READMEs of HobbitLong/RepDistiller, ADLab-AutoDrive/ICKD,
DevPranjal/reproduction-review-kd (which quotes ReviewKD's paper), megvii-research/mdistiller (DKD),
hunto/DIST_KD, sunshangquan/logit-standardization-KD and DefangChen/SimKD.
"""

from skt_tf.methods.catalogue import is_sequence, stages
from skt_tf.methods.objective_names import made, objective_names

DATASET, EXPERIMENT = "cifar100", "minimization"
# Iterations: 240 epochs of 50,000 images.
STEPS = 240 * 50_000 // 64
# What images are brought to, and what is done to those that are trained on.
IMAGES = {"crop": "pad", "mirror": True, "image_size": (32, 32)}
# The source of whatever names no other.
REPDISTILLER = "RepDistiller"
# mdistiller's trainer, which those of these sources ran, prints the highest test accuracy of all
# epochs.
BEST = ("DKD", "logit std.")

_PAIRS = ("resnet56", "resnet20"), ("resnet32x4", "resnet8x4"), ("wrn_40_2", "wrn_16_2")
# (Rows of our tables, the source, accuracies in percent for each pair; None where there is none.)
# A row that is a sequence has its recipe's weights, or those of another pair's recipe.
_ROWS = (
    (("teacher", "teachers"), REPDISTILLER, (72.34, 79.42, 75.61)),
    (("baseline", "baseline_long"), REPDISTILLER, (69.06, 72.50, 73.26)),
    # 14.4 is 0.9 τ² for τ = 4, its recipe.
    (("kd", "kd_long", "task+soft", "task*0.1+soft*14.4"), REPDISTILLER, (70.66, 73.33, 74.92)),
    (("hint", "task+fitnet"), REPDISTILLER, (69.21, 73.50, 73.58)),
    (("task+at",), REPDISTILLER, (70.55, 73.44, 74.08)),
    (("task+sp",), REPDISTILLER, (69.67, 72.94, 73.83)),
    (("task+cc",), REPDISTILLER, (69.63, 72.97, 73.56)),
    (("task+vid",), REPDISTILLER, (70.38, 73.09, 74.11)),
    (("task+rkd",), REPDISTILLER, (69.61, 71.90, 73.35)),
    (("task+pkt",), REPDISTILLER, (70.34, 73.64, 74.54)),
    # As in RepDistiller, transfer comes first and is over when the task begins.
    (("fsp",), REPDISTILLER, (69.95, 72.62, 72.91)),
    (("task+nst",), REPDISTILLER, (69.60, 73.30, 73.68)),
    (("task+crd",), REPDISTILLER, (71.16, 75.51, 75.48)),
    (("task+ickd",), "ICKD", (71.76, 75.25, 75.64)),
    (("task+reviewkd", "task+reviewkd*5"), "ReviewKD", (71.89, 75.63, 76.12)),
    (("task+dkd", "task+dkd(beta=8)", "task+dkd(beta=6)"), "DKD", (71.97, 76.32, 76.23)),
    (("task+dist",), "DIST", (71.75, 76.31, None)),
    (("task+logit_std_kd", "task*0.1+logit_std_kd"), "logit std.", (71.43, 76.62, 76.11)),
    (
        (
            "task+dkd(standardized=True; temperature=3)",
            "task+dkd(standardized=True; beta=8; temperature=2)*9",
            "task+dkd(standardized=True; temperature=2)*12",
        ),
        "logit std.",
        (72.32, 77.01, 76.39),
    ),
    (("task+mlkd", "task*0.1+mlkd"), "logit std.", (72.19, 77.08, 76.63)),
    (("simkd",), "SimKD", (None, 78.08, None)),
)


def table(teacher, student, methods=()):
    """{row: (accuracy in percent, source)} of a pair of networks; None of one without a table.

    Args:
        teacher, student: names of networks.
        methods: of a run; sequences among them are known however they are written.
    """
    if (teacher, student) not in _PAIRS:
        return None
    number = _PAIRS.index((teacher, student))
    found = {
        name: (accuracies[number], source)
        for names, source, accuracies in _ROWS
        for name in names
        if accuracies[number] is not None
    }
    written = {_losses(name): said for name, said in found.items() if is_sequence(name)}
    sequences = {name: _losses(name) for name in methods if is_sequence(name)}
    return found | {name: written[ls] for name, ls in sequences.items() if ls in written}


def _losses(text):
    """What a sequence of one stage adds up, in any order; None of several stages.

    A weight that is written may be that which is not.
    """
    first, *others = stages(text, own=True)
    if others or first.anchor:
        return None
    return frozenset(map(_in_full, first.losses))


def _in_full(loss):
    """(name, weight, parameters) of a loss, those of the recipe too."""
    if loss.name not in objective_names():
        weight = 1 if loss.weight is None and loss.name != "soft" else loss.weight
        return loss.name, weight, loss.parameters
    objective = made(loss)
    weight = objective.weight if loss.weight is None else loss.weight
    return loss.name, weight, tuple(sorted(objective.parameters().items()))
