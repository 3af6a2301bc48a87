"""Exported files beside the Keras student: what they answer, their size, their speed."""

import pathlib

import numpy as np

from skt_tf.exporting.runtimes import load
from skt_tf.models.cost import median_seconds
from skt_tf.models.evaluation import in_batches, softmax_of
from skt_tf.utils.document import NONE, Table, percent
from skt_tf.utils.errors import UserError


def compare(student, path, files, dataset):
    """Runs the student and what it was exported to on the test images.

    Args:
        student: the `keras.Model`.
        path: its .keras file.
        files: {format: path} of what was exported.
        dataset: a `Dataset`.

    Returns:
        {"keras" or format: {"runtime": name and version; "file": its name; "bytes": its size;
        "accuracy": share of images whose most probable class is their label; "agreement": share
        whose most probable class is the student's; "largest_difference" of two probabilities;
        "milliseconds": median of calls with one image each}}.
    """
    import keras

    images, labels = dataset.test_images, dataset.test_labels
    call = softmax_of(student)
    said = _outputs(call, images)
    if wrong := np.sum(~np.isfinite(said).all(axis=1)):
        raise UserError(
            f"--student={path} answers NaN for {wrong} of the {len(said)} test images: expected a "
            "network of images of this scale, whose precision holds what it computes"
        )
    rows = {"keras": _row(call, f"keras {keras.__version__}", path, said, said, images, labels)}
    for kind, file in files.items():
        call, name = load(kind, file)
        rows[kind] = _row(call, name, file, _outputs(call, images), said, images, labels)
    return rows


def _row(call, name, path, outputs, said, images, labels):
    classes, expected = outputs.argmax(1), said.argmax(1)
    return {
        "runtime": name,
        "file": pathlib.Path(path).name,
        "bytes": _size(path),
        "accuracy": float(np.mean(classes == labels)),
        "agreement": float(np.mean(classes == expected)),
        "largest_difference": float(np.abs(outputs - said).max()),
        "milliseconds": 1000 * median_seconds({name: lambda: call(np.float32(images[:1]))})[name],
    }


def _outputs(call, images):
    return in_batches(lambda batch: call(np.float32(batch)), images)


def _size(path):
    """Bytes of a file with its weights beside it, or of all files of a folder."""
    path = pathlib.Path(path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    if path.suffix == ".xml":  # Of OpenVINO.
        files.append(path.with_suffix(".bin"))
    return sum(file.stat().st_size for file in files)


def table(rows):
    """What `compare` returns, as a table of texts."""
    header = ("format", "runtime", "kB", "accuracy %", "agreement %")
    header += ("largest difference", "ms/image")
    return Table(
        header,
        tuple(
            (
                kind,
                row["runtime"],
                f"{row['bytes'] / 1000:,.0f}",
                percent(row["accuracy"]),
                percent(row["agreement"]),
                f"{row['largest_difference']:.1g}" if kind != "keras" else NONE,
                f"{row['milliseconds']:.2f}",
            )
            for kind, row in rows.items()
        ),
    )
