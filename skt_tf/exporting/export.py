"""`--job=export`: a trained student → files that run without this package."""

import pathlib

from skt_tf.data.datasets import load_dataset
from skt_tf.exporting import runtimes
from skt_tf.exporting.comparison import compare, table
from skt_tf.exporting.formats import FILES, FORMATS
from skt_tf.exporting.writers import check_calibration, write
from skt_tf.models.checks import check_classes, check_images, check_student
from skt_tf.models.names import plain_names
from skt_tf.models.saving import load_network
from skt_tf.utils.document import Bullets, markdown, show
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import UserError, option
from skt_tf.utils.files import whole_folder, write_json, write_text

# Training images that int8 quantisation takes the ranges of activations from.
_CALIBRATION = 200


def export(student, folder, formats=("saved_model",), calibration_images=None):
    """Writes a student in formats that other programs run.

    Each file takes raw images [batch, height, width, channels], grey levels 0…255, of any batch
    size, and returns class probabilities [batch, classes], float32.

    | format | file | images |
    |---|---|---|
    | `saved_model` | `saved_model/` | float32 or uint8 |
    | `litert` | `student.tflite` | float32 |
    | `litert_int8` | `student_int8.tflite` | float32; quantised inside, weights and activations |
    | `onnx` | `student.onnx` | float32 |

    The last three compute in float32 (or int8), whatever the student's precision. A SavedModel
    that is asked for alone is `folder` itself.

    Args:
        student: a `keras.Model` from raw images (it standardises them itself) to logits.
        folder: where to write. It must not exist, or be empty.
        formats: names from the table. `onnx` needs the packages onnx and tf2onnx.
        calibration_images: some hundred training images [number, height, width, channels],
            uint8 or float32, for `litert_int8`. With them, `litert` stands for both of its files.

    Returns:
        {format: `pathlib.Path`} of what was written.

    Raises:
        ValueError: an unknown format, a folder that holds something, missing calibration images
            or packages, or a student that a format cannot express; then nothing is written.

    Example:
        >>> images = dataset.train_images[:200]
        >>> export(student, "exported", ("litert", "onnx"), calibration_images=images)
        {'litert': PosixPath('exported/student.tflite'), 'litert_int8': …}
    """
    folder = pathlib.Path(folder)
    kinds = _kinds(formats, calibrated=calibration_images is not None)
    check_student(student)
    _check_folder(folder)
    if calibration_images is not None:
        check_calibration(student, calibration_images)
    runtimes.check_installed(kinds, running=False)
    with whole_folder(folder) as draft, plain_names(student):
        written = _write(student, draft, kinds, calibration_images)
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
    `images` to `probabilities`.

    Raises:
        ValueError: a folder that holds something.
    """
    export(student, folder)


def run(config):
    """Writes the student of `config` into its output folder, and compares what it wrote."""
    student, folder = load_network(config.student), pathlib.Path(config.output_dir)
    try:
        check_student(student)
    except UserError as error:
        raise UserError(f"--student={config.student} cannot be exported: {error}") from None
    if config.export == FORMATS[:1]:
        export(student, folder)
        print(f"SavedModel: {folder}")
        return
    kinds = _kinds(config.export, calibrated=True)
    _check_folder(folder)
    runtimes.check_installed(kinds)
    dataset = _dataset(config, student)
    images = dataset.sample(_CALIBRATION)
    with whole_folder(folder) as draft:
        written = _write(student, draft, kinds, images)
        rows = compare(student, config.student, written, dataset)
        results = {
            "student": config.student,
            "dataset": dataset.name,
            "test_images": len(dataset.test_images),
            "calibration_images": len(images) if "litert_int8" in kinds else 0,
            "formats": rows,
            "environment": environment(),
        }
        write_json(draft / "export.json", results)
        title, notes = f"Export, {dataset.name}", _notes(results)
        report = markdown(title, [table(rows), Bullets(notes)])
        write_text(draft / "export.md", report)
    show(title, table(rows))
    print("\n".join(notes))
    print(f"files, export.json, export.md: {folder}")


def _kinds(formats, calibrated):
    """The formats that are asked for, in the order of the table."""
    wanted = set(formats)
    if unknown := sorted(wanted - set(FORMATS)):
        raise UserError(
            f"the format '{unknown[0]}' is unknown: expected some of {', '.join(FORMATS)}"
        )
    if not wanted:
        raise UserError(f"formats is empty: expected some of {', '.join(FORMATS)}")
    if "litert" in wanted and calibrated:
        wanted.add("litert_int8")
    if "litert_int8" in wanted and not calibrated:
        raise UserError(
            "the format litert_int8 needs calibration_images: give some hundred training images"
        )
    return tuple(kind for kind in FORMATS if kind in wanted)


def _check_folder(folder):
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{option('output_dir', 'folder')}={folder} exists and is not an empty folder: "
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


def _write(student, folder, kinds, calibration_images):
    """{format: path} of what it writes into `folder`."""
    # Alone, a SavedModel is the folder.
    names = FILES if kinds != FORMATS[:1] else {"saved_model": "."}
    written = {kind: folder / names[kind] for kind in kinds}
    for kind, path in written.items():
        write(student, kind, path, calibration_images)
    return written


def _notes(results):
    tested = (
        f"accuracy, and agreement with the Keras student, on {results['test_images']:,} test "
        f"images of {results['dataset']}"
    )
    threads = results["environment"]["cores"]
    timed = f"ms/image: median of calls with one image, {threads} thread{'s' * (threads > 1)}"
    notes = [tested, timed]
    if number := results["calibration_images"]:
        notes.append(f"int8 calibrated on {number} training images spread over the training set")
    return tuple(notes)
