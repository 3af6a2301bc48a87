"""Writes docs/api.md from the docstrings of what `import skt_tf` offers: python -m docs.api"""

import inspect
import pathlib
import textwrap

import skt_tf

# In the order in which they are met.
CHAPTERS = {
    "Distilling": ("distill", "Distilled", "UserError", "Diverged", "UnfitTeacher"),
    "Data": ("load_dataset", "Dataset", "training_batches"),
    "Presets": ("load_preset", "presets", "Preset"),
    "Methods": (
        "stages",
        "sequence",
        "Sequence",
        "Loss",
        "Stage",
        "disjoint_flows",
        "dense_flows",
        "layout",
        "Layout",
    ),
    "Networks and flows": (
        "resnet",
        "standard_network",
        "flow_model",
        "fsp_matrix",
        "FSPMatrix",
        "normalized_flow_weights",
    ),
    "One stage at a time": (
        "SequentialDistiller",
        "fold_batch_norm",
        "keep_targets",
    ),
    "Objectives": ("Objective", "with_classifier_of"),
    "In Keras' distiller": ("with_flows", "FSPDistillation", "ObjectiveDistillation"),
    "Shipping": ("export", "export_saved_model"),
}


def markdown():
    """The text of docs/api.md."""
    parts = [
        "# API\n\nFrom the docstrings, by `python -m docs.api`. Each name is one of `skt_tf`; "
        "importing it loads nothing heavy.\n"
    ]
    for title, names in CHAPTERS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(name) for name in names]
    return "\n".join(parts)


def _entry(name):
    thing = getattr(skt_tf, name)
    signature = "" if inspect.isclass(thing) and issubclass(thing, Exception) else _signature(thing)
    lines = [f"### {name}\n", f"```text\nskt_tf.{name}{signature}\n```\n"]
    text = inspect.getdoc(thing)
    first, _, rest = text.partition("\n\n")
    lines.append(" ".join(first.split()) + "\n")
    if rest:
        lines.append(f"```text\n{rest.rstrip()}\n```\n")
    return "\n".join(lines)


def _signature(thing):
    text = str(inspect.signature(thing))
    if len(text) < 80:
        return text
    parameters = [str(p) for p in inspect.signature(thing).parameters.values()]
    kinds = [p.kind for p in inspect.signature(thing).parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    return "(\n" + textwrap.indent(",\n".join(parameters), "    ") + ",\n)"


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".md").write_text(markdown(), encoding="utf-8")
