"""skt_tf: sequential knowledge transfer with densely distilled flows, in Keras.

Importing it loads nothing heavy: each name below is fetched on first use.
"""

import importlib

__version__ = "0.2.0"

_HOME = {
    "Dataset": "datasets",
    "FSPMatrix": "flows",
    "SequentialDistiller": "distiller",
    "Stage": "methods",
    "UserError": "errors",
    "Distilled": "distilling",
    "FSPDistillation": "fsp_distillation",
    "dense_flows": "points",
    "disjoint_flows": "points",
    "distill": "distilling",
    "export": "exporting",
    "export_saved_model": "exporting",
    "flow_model": "flows",
    "fold_batch_norm": "folding",
    "fsp_matrix": "flows",
    "keep_targets": "targets",
    "Layout": "points",
    "layout": "points",
    "load_dataset": "datasets",
    "normalized_flow_weights": "flows",
    "resnet": "models",
    "stages": "methods",
    "training_batches": "batches",
    "with_flows": "fsp_distillation",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"skt_tf.{_HOME[name]}"), name)
    raise AttributeError(f"module 'skt_tf' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *__all__])
