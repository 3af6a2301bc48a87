"""skt_tf: sequential knowledge transfer with densely distilled flows, in Keras.

Importing it loads nothing heavy: each name below is fetched on first use.
"""

import importlib
import pathlib
import sys

from skt_tf.utils.keras_settings import check_keras

__version__ = "0.3.3"
_HOME = {
    "Dataset": "data.datasets",
    "Diverged": "utils.errors",
    "FSPMatrix": "methods.fsp",
    "Preset": "models.presets",
    "SequentialDistiller": "training.sequential_distiller",
    "Sequence": "methods.sequences",
    "Stage": "methods.stage",
    "Loss": "methods.stage",
    "UnfitTeacher": "utils.errors",
    "UserError": "utils.errors",
    "Distilled": "training.distillation",
    "FSPDistillation": "methods.keras_distillation",
    "Objective": "methods.objective",
    "ObjectiveDistillation": "methods.keras_distillation",
    "dense_flows": "models.points",
    "disjoint_flows": "models.points",
    "distill": "training.distill",
    "export": "exporting.export",
    "export_saved_model": "exporting.export",
    "flow_model": "methods.fsp",
    "fold_batch_norm": "models.batch_norm",
    "fsp_matrix": "methods.fsp",
    "keep_targets": "training.kept_targets",
    "Layout": "models.points",
    "layout": "models.points",
    "load_dataset": "data.datasets",
    "load_preset": "models.presets",
    "normalized_flow_weights": "methods.flow_weights",
    "presets": "models.presets",
    "resnet": "models.resnet",
    "sequence": "methods.sequences",
    "standard_network": "models.standard_networks",
    "stages": "methods.catalogue",
    "training_batches": "data.batches",
    "with_classifier_of": "methods.objectives.simkd",
    "with_flows": "methods.keras_distillation",
}
__all__ = sorted(_HOME)

# The program, which as `python -m` is being looked for now, says it without a traceback.
if pathlib.PurePath((sys.argv or [""])[0]).name not in ("-m", "skt-tf"):
    check_keras()


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"skt_tf.{_HOME[name]}"), name)
    raise AttributeError(f"module 'skt_tf' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *__all__])
