"""`--job=export`: a trained student → files that run without this package."""

import dataclasses
import os
import pathlib

import numpy as np

from skt_tf.data.datasets import load_dataset
from skt_tf.exporting import labels as label_names
from skt_tf.exporting import runtimes
from skt_tf.exporting.card import CARD, LABELS, Facts, write_card
from skt_tf.exporting.comparison import compare, table
from skt_tf.exporting.formats import FILES, FORMATS, check_formats, check_license
from skt_tf.exporting.provenance import provenance, provenance_of
from skt_tf.exporting.writers import check_calibration, write
from skt_tf.models.checks import check_classes, check_images, check_network, check_student
from skt_tf.models.names import plain_names
from skt_tf.models.saving import load_network
from skt_tf.utils import failed_operations
from skt_tf.utils.document import Bullets, markdown, show
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import UserError, about, option
from skt_tf.utils.files import whole_folder, write_json, write_text

# Training images that int8 quantisation takes the ranges of activations from.
_CALIBRATION = 200


@failed_operations.said()
def export(
    student,
    folder,
    formats=("saved_model",),
    calibration_images=None,
    *,
    input_dtype="float32",
    labels=None,
    license=None,
    trained_in=None,
):
    """Writes a student in formats that other programs run, and a model card beside them.

    Each file takes raw images [batch, height, width, channels], grey levels 0…255, of any batch
    size, and returns class probabilities [batch, classes], float32.

    | format | file | images |
    |---|---|---|
    | `saved_model` | `saved_model/` | float32 and uint8, by signature |
    | `litert` | `student.tflite` | float32 |
    | `litert_int8` | `student_int8.tflite` | float32; quantised inside, weights and activations |
    | `onnx` | `student.onnx` | float32 |
    | `openvino` | `student.xml`, `student.bin` | float32 |

    All but the first compute in float32 (or int8), whatever the student's precision. A
    SavedModel that is asked for alone is `folder` itself. Each file is run in its own runtime,
    where that is installed, and its answers are compared with the student's before there is any
    success. Those of int8 are rounded: a warning says where classes agree on less than 90 % of
    the calibration images.

    `README.md` is a model card as model hubs read it, of what is known: input and output, how
    each file is loaded, and with `trained_in` the method, the teacher and the accuracy.
    `labels.txt` has the names of the classes, one a line.

    Args:
        student: a `keras.Model` from raw images (it standardises them itself) to logits.
        folder: where to write. It must not exist, or be empty.
        formats: names from the table. `onnx` needs the packages onnx and tf2onnx, `openvino`
            the package openvino.
        calibration_images: some hundred training images [number, height, width, channels],
            uint8 or float32, for `litert_int8`. With them, `litert` stands for both of its files.
        input_dtype: `"float32"` or `"uint8"`, the images that the SavedModel's signature
            `serving_default` takes; `serving_uint8`, or `serving_float32`, takes the other.
        labels: names of the classes, in the order of the outputs. None: those that the record in
            `trained_in` has; or those of the dataset that it names, where that is digits, or
            prepared in its default folder.
        license: for the card, as hubs abbreviate it, such as `"apache-2.0"`; none if not given.
        trained_in: the folder that `distill` wrote, or the path of the student's .keras file in
            that of an experiment, for the card.

    Returns:
        {format: `pathlib.Path`} of what was written.

    Raises:
        ValueError: an unknown format, a folder that holds something, missing calibration images
            or packages, a `trained_in` of another network, or a student that a format cannot
            express; then nothing is written.

    Example:
        >>> images = dataset.train_images[:200]
        >>> export(student, "exported", ("litert", "onnx"), calibration_images=images)
        {'litert': PosixPath('exported/student.tflite'), 'litert_int8': …}
    """
    check_network(student)
    for name, given in {"folder": folder, "trained_in": trained_in}.items():
        if not isinstance(given, str | os.PathLike | None) or (name == "folder" and given is None):
            raise UserError(f"{name}={given!r} is no path: expected one")
    folder = pathlib.Path(folder).expanduser()
    input_dtype = getattr(input_dtype, "name", input_dtype)
    kinds = _kinds(formats, calibration_images is not None, input_dtype)
    check_student(student)
    classes = student.output_shape[-1]
    labels = label_names.checked(labels, classes)
    check_license(license)
    _check_folder(folder)
    if calibration_images is not None:
        check_calibration(student, calibration_images)
    runtimes.check_installed(kinds, running=False)
    source = None if trained_in is None else provenance_of(student, trained_in)
    labels = labels or label_names.known(classes, source)
    with whole_folder(folder) as draft:
        with plain_names(student):
            written = _write(student, draft, kinds, calibration_images, input_dtype)
        write_card(draft, written, Facts(student, input_dtype, labels, license, source))
    return {kind: folder / path.relative_to(draft) for kind, path in written.items()}


def export_saved_model(student, folder):
    """Writes a TensorFlow SavedModel that maps raw images to class probabilities.

    Args:
        student: a `keras.Model` from raw images (grey levels 0…255; it standardises
            them itself) to logits.
        folder: where to write. It must not exist, or be empty.

    The file answers to `tf.saved_model.load(folder)` in a process without this package:
    called with images [batch, height, width, channels], uint8 or float32, any batch
    size, it returns probabilities [batch, classes], float32. The signatures are
    `serving_default` for float32 images and `serving_uint8` for uint8 ones, each from
    `images` to `probabilities`. A model card, `README.md`, lies beside it.

    Raises:
        ValueError: a folder that holds something.
    """
    export(student, folder)


@failed_operations.said()
def run(config):
    """Writes the student of `config` into its output folder, and compares what it wrote."""
    student, folder = load_network(config.student), pathlib.Path(config.output_dir)
    with about(f"--student={config.student} cannot be exported"):
        check_student(student)
    kinds = _kinds(config.export, True, config.input_dtype)
    alone = kinds == FORMATS[:1]
    labels = None if config.labels is None else label_names.read(config.labels)
    classes = student.output_shape[-1]
    labels = label_names.checked(labels, classes)
    _check_folder(folder)
    runtimes.check_installed(kinds)
    source = provenance(config.student)
    dataset = None if alone else _dataset(config, student)
    labels = labels or label_names.known(classes, source, config.data_dir, dataset)
    facts = Facts(student, config.input_dtype, labels, config.license, source)
    images = None if alone else np.asarray(dataset.sample(_CALIBRATION))
    with whole_folder(folder) as draft:
        written = _write(student, draft, kinds, images, config.input_dtype)
        if alone:
            write_card(draft, written, facts)
        else:
            rows, said = _compare(config, student, written, dataset, images, draft)
            measured = {kind: row["accuracy"] for kind, row in rows.items()}
            measured = dataset.name, dataset.test_name, len(dataset.test_images), measured
            write_card(draft, written, dataclasses.replace(facts, measured=measured))
    if not alone:
        show(f"Export, {dataset.name}", table(rows))
        print("\n".join(said))
    if labels is None:
        print(f"{LABELS} is left out: the names of the classes are not known; --labels gives them")
    what = "SavedModel" if alone else "files, export.json, export.md"
    print(f"{what}, {CARD}: {folder}")


def _compare(config, student, written, dataset, images, folder):
    """Writes how the files compare with the student; (rows of the table, what is said of it)."""
    rows = compare(student, config.student, written, dataset)
    results = {
        "student": config.student,
        "dataset": dataset.name,
        "test_name": dataset.test_name,
        "test_images": len(dataset.test_images),
        "calibration_images": len(images) if "litert_int8" in written else 0,
        "formats": rows,
        "environment": environment(),
    }
    write_json(folder / "export.json", results)
    notes = _notes(results)
    report = markdown(f"Export, {dataset.name}", [table(rows), Bullets(notes)])
    write_text(folder / "export.md", report)
    return rows, notes


def _kinds(formats, calibrated, input_dtype):
    """The formats that are asked for, in the order of the table."""
    lists = isinstance(formats, str | tuple | list | set | frozenset | None)
    if not lists or not all(isinstance(one, str) for one in formats or ()):
        raise UserError(f"formats={formats!r}: expected some of {', '.join(FORMATS)}")
    wanted = {formats} if isinstance(formats, str) else set(formats or ())
    if not wanted:
        raise UserError(f"formats is empty: expected some of {', '.join(FORMATS)}")
    check_formats(wanted, input_dtype)
    if "litert" in wanted and calibrated:
        wanted.add("litert_int8")
    if "litert_int8" in wanted and not calibrated:
        raise UserError(
            "the format litert_int8 needs calibration_images: give some hundred training images"
        )
    return tuple(kind for kind in FORMATS if kind in wanted)


def _check_folder(folder):
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        held = f" (it holds {min(folder.iterdir()).name})" if folder.is_dir() else ""
        raise UserError(
            f"{option('output_dir', 'folder')}={folder} exists and is not an empty folder{held}: "
            "give a new one"
        )


def _dataset(config, student):
    """The images to compare by: those that the student classifies."""
    dataset = load_dataset(*config.images)
    try:
        for check in (check_images, check_classes):
            check(student, dataset, f"--student={config.student}")
    except UserError as error:
        raise UserError(f"{error}: give the student's --dataset, to compare the files by") from None
    return dataset


def _write(student, folder, kinds, calibration_images, input_dtype):
    """{format: path} of what it writes into `folder`."""
    # Alone, a SavedModel is the folder.
    names = FILES if kinds != FORMATS[:1] else {"saved_model": "."}
    written = {kind: folder / names[kind] for kind in kinds}
    for kind, path in written.items():
        write(student, kind, path, calibration_images, input_dtype)
    return written


def _notes(results):
    tested = (
        f"accuracy, and agreement with the Keras student, on {results['test_images']:,} "
        f"{results['test_name']} images of {results['dataset']}"
    )
    threads = results["environment"]["cores"]
    timed = f"ms/image: median of calls with one image, {threads} thread{'s' * (threads > 1)}"
    notes = [tested, timed]
    if number := results["calibration_images"]:
        notes.append(f"int8 calibrated on {number} training images spread over the training set")
    return tuple(notes)
