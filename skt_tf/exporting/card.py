"""The model card of an export: `README.md` in the form that model hubs read."""

import dataclasses
import json
import re

from skt_tf.data.images import plain_name
from skt_tf.exporting.formats import LIBRARIES, LOADING, RUNTIMES
from skt_tf.exporting.provenance import Provenance
from skt_tf.exporting.writers import signatures_of
from skt_tf.utils.document import Bullets, Code, Heading, Table, Text, markdown, percent
from skt_tf.utils.files import write_text

CARD, LABELS = "README.md", "labels.txt"
# What the stages of a method learn from.
_LEARNS = {
    "transfer": "the teacher's FSP matrices",
    "hint": "the teacher's maps at one point",
    "task": "the labels",
    "soft_task": "the labels and the teacher's softened outputs",
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of an export; what is not known is None, and left out of the card.

    Attributes:
        student: the `keras.Model`.
        input_dtype: of the images that a SavedModel's default signature takes.
        labels: the names of the classes, in the order of the outputs.
        license: as model hubs abbreviate it.
        provenance: the `Provenance` of the student.
        measured: (name of a dataset, what its test images are called, their number, {format or
            "keras": accuracy}).
        files: {format: path from the card's folder}.
    """

    student: object
    input_dtype: str
    labels: tuple | None = None
    license: str | None = None
    provenance: Provenance | None = None
    measured: tuple | None = None
    files: dict = dataclasses.field(default_factory=dict)


def write_card(folder, written, facts):
    """Writes the card of `written`, {format: path in `folder`}, and the names of the classes."""
    files = {kind: path.relative_to(folder).as_posix() for kind, path in written.items()}
    write_text(folder / CARD, card(dataclasses.replace(facts, files=files)))
    if facts.labels:
        write_text(folder / LABELS, "".join(f"{name}\n" for name in facts.labels))


def card(facts):
    """The text of `README.md`: a head in YAML for machines, a body for people."""
    blocks = [Text(_opening(facts))]
    if facts.provenance:
        blocks += [Heading("Training"), Bullets(tuple(_training(facts.provenance)))]
    if rows := tuple(_accuracies(facts)):
        blocks += [Heading("Accuracy"), Table(("of", "images", "accuracy %"), rows)]
    blocks += [Heading("Input and output"), Bullets(tuple(_interface(facts)))]
    blocks += [Heading("Loading"), Text("With `images` a NumPy array as above:")]
    for kind, file in facts.files.items():
        where = "this folder" if file == "." else f"`{file}`"
        dtype = facts.input_dtype if kind == "saved_model" else "float32"
        code = Code(LOADING[kind].format(file=file), "python")
        blocks += [Text(f"{where}, {RUNTIMES[kind]}, images of {dtype}:"), code]
    if facts.license:
        blocks += [Heading("License"), Text(facts.license)]
    return f"---\n{_yaml(_head(facts))}---\n\n{markdown(facts.student.name, blocks)}"


def _head(facts):
    provenance, kinds = facts.provenance, facts.files
    tags = ["image-classification", "keras", *dict.fromkeys(LIBRARIES[kind][1] for kind in kinds)]
    if provenance and provenance.distilled:
        tags.append("knowledge-distillation")
    head = {"library_name": LIBRARIES[next(iter(kinds))][0], "pipeline_tag": "image-classification"}
    if facts.license:
        head["license"] = facts.license
    head["tags"] = tags
    # Names of datasets that have one; a folder of images is anybody's.
    if provenance and provenance.dataset not in (None, "folder"):
        head["datasets"] = [plain_name(provenance.dataset)]
    if results := _results(facts):
        head["metrics"] = ["accuracy"]
        head["model-index"] = [{"name": facts.student.name, "results": results}]
    return head


def _results(facts):
    """What was measured, or else what the record says, as a hub's leaderboards have it."""
    if facts.measured:
        name, part, _, accuracies = facts.measured
        found = [
            (part, name, kind, share)
            for kind, share in accuracies.items()
            if kind == "keras" or share != accuracies["keras"]
        ]
    elif facts.provenance:
        shares = facts.provenance.accuracies
        found = [(part, facts.provenance.dataset, "keras", s) for part, s in shares.items()]
    else:
        found = []
    results = []
    for part, name, kind, share in found:
        dataset = {"name": "images in folders", "type": "imagefolder"}
        if name != "folder":
            kind_of_data = plain_name(name) if name else "unknown"
            dataset = {"name": name or "not recorded", "type": kind_of_data}
        metric = {"type": "accuracy", "value": share}
        if kind != "keras":
            metric["name"] = f"accuracy of {facts.files[kind]}"
        results.append(
            {
                "task": {"type": "image-classification"},
                "dataset": {**dataset, "split": part},
                "metrics": [metric],
            }
        )
    return results


def _opening(facts):
    parameters, of = facts.student.count_params(), f"{facts.student.output_shape[-1]} classes"
    if facts.labels:
        some = ", ".join(facts.labels[:10]) + ", …" * (len(facts.labels) > 10)
        of += f" ({some}; `{LABELS}` has them in the order of the outputs)"
    return f"A network of {parameters:,} parameters that classifies images into {of}."


def _training(provenance):
    method = provenance.method
    if provenance.distilled:
        yield f"distilled from a teacher by the method `{method}` of skt_tf"
    elif provenance.teacher:
        yield f"begun with the weights of a teacher, by the method `{method}` of skt_tf"
    elif method:
        yield f"trained without a teacher, by the method `{method}` of skt_tf"
    elif provenance.stages:
        yield "trained without a teacher, by skt_tf"
    learned = {
        stage.name: f"`{stage}`"
        if stage.anchor or stage.objective not in _LEARNS
        else _LEARNS[stage.objective]
        for stage in provenance.plan
    }
    for name, steps in provenance.stages:
        text = f"stage `{name}`: {steps:,} iterations"
        yield text + (f", from {learned[name]}" if name in learned else "")
    teacher = provenance.teacher
    if teacher:
        said = [teacher["network"]] if "network" in teacher else []
        said += [f"{teacher['layers']} layers"] if "layers" in teacher else []
        said += [f"{teacher['parameters']:,} parameters"] if "parameters" in teacher else []
        if teacher.get("accuracy") is not None:
            said.append(f"{percent(teacher['accuracy'])} % of the {provenance.test_name} images")
        said += [f"digest of its weights {teacher['weights']}"] if teacher.get("weights") else []
        yield f"teacher: {', '.join(said)}"
    if provenance.dataset:
        yield f"images: {_said(provenance.dataset)}"
    if provenance.stages:
        versions = ", ".join(f"{name} {number}" for name, number in provenance.versions.items())
        yield f"trained with {versions}"


def _said(dataset):
    return "a folder of images" if dataset == "folder" else dataset


def _accuracies(facts):
    """Rows of a table: those measured at the export, then those of the record."""
    measured = None
    if facts.measured:
        name, part, number, accuracies = facts.measured
        measured = accuracies["keras"]
        for kind, share in accuracies.items():
            what = "the Keras network" if kind == "keras" else f"`{facts.files[kind]}`"
            yield what, f"{number:,} {part} images, {_said(name)}", percent(share)
    provenance = facts.provenance
    for part, share in provenance.accuracies.items() if provenance else ():
        # Not the same once more.
        if facts.measured and (provenance.dataset, share) == (facts.measured[0], measured):
            continue
        of = f", {_said(provenance.dataset)}" if provenance.dataset else ""
        yield "the Keras network, after its training", f"{part} images{of}", percent(share)


def _interface(facts):
    _, height, width, channels = facts.student.input_shape
    yield f"input `images`: [batch, {height}, {width}, {channels}], of any batch size"
    if facts.measured or (facts.provenance and facts.provenance.grey_levels):
        yield "range: grey levels 0…255, which are not to be scaled or standardised beforehand"
    else:
        yield "range: that of the images that it was trained on"
    if facts.provenance and facts.provenance.loading.get("crop") == "resized":
        yield "images: the middle of each, of a shorter side brought to 256/224 of the size"
    for kind, file in facts.files.items():
        if kind == "saved_model":
            signatures = signatures_of(facts.input_dtype).items()
            said = "; ".join(f"signature `{name}` takes {dtype}" for name, dtype in signatures)
        else:
            said = "takes float32"
            said = f"signature `serving_default` {said}" if kind.startswith("litert") else said
            said += ", int8 inside" * (kind == "litert_int8")
        yield f"`{file}`: {said}" if file != "." else said
    classes = facts.student.output_shape[-1]
    yield f"output `probabilities`: [batch, {classes}], float32, which sum to 1"


def _yaml(value, indent=""):
    """Dicts, lists, texts and numbers as YAML; texts as JSON has them where YAML might misread."""
    lines = []
    for name, part in value.items():
        if isinstance(part, dict):
            lines.append(f"{indent}{name}:\n{_yaml(part, indent + '  ')}")
        elif isinstance(part, list):
            lines.append(f"{indent}{name}:\n")
            for one in part:
                text = _yaml(one, indent + "  ")[len(indent) + 2 :] if isinstance(one, dict) else ""
                lines.append(f"{indent}- {text or _scalar(one) + chr(10)}")
        else:
            lines.append(f"{indent}{name}: {_scalar(part)}\n")
    return "".join(lines)


def _scalar(value):
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", value)
    if plain and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n"):
        return value
    return json.dumps(value, ensure_ascii=False)
