"""Names of a network's classes, in the order of its outputs."""

import contextlib
import io
import pathlib

from skt_tf.data.datasets import load_dataset
from skt_tf.data.images import image_size
from skt_tf.utils.errors import UserError, option


def checked(labels, classes):
    """`labels` as a tuple of names, one for each of `classes`; None as it is.

    Raises:
        ValueError: what is no list of that many names of one line each.
    """
    if labels is None:
        return None
    if isinstance(labels, str | set | frozenset | dict) or not hasattr(labels, "__iter__"):
        raise UserError(f"labels={labels!r}: expected a list of the names of {classes} classes")
    labels = tuple(labels)
    for number, name in enumerate(labels):
        if not isinstance(name, str) or not _is_line(name):
            raise UserError(
                f"{option('labels')}: the name of class {number} is {name!r}, expected a line of "
                "text"
            )
    if len(labels) != classes:
        raise UserError(
            f"{option('labels')}: {len(labels)} names for the {classes} outputs of the student: "
            "expected one for each class, in the order of the outputs"
        )
    return labels


def read(path):
    """The names in a file, one a line; raises a ValueError where it cannot be read."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(
            f"{option('labels')}={path} cannot be read ({why}): expected a text file of class "
            "names, one a line"
        ) from None
    return tuple(line.strip() for line in text.rstrip().splitlines())


def known(classes, provenance, data_dir=None, dataset=None):
    """The names of the classes that a network was trained on, or None where they are not known.

    Args:
        classes: the number of its outputs.
        provenance: its `Provenance`, or None.
        data_dir: where its images lie, as for `load_dataset`.
        dataset: the `Dataset` that was given for it, or None.
    """
    names = None
    if dataset is not None and (provenance is None or dataset.identity.is_of(provenance.data)):
        names = dataset.class_names
    elif provenance is not None:
        names = provenance.class_names
        if names is None and provenance.dataset and provenance.loading:
            names = _of_its_data(provenance, data_dir)
    # Images may be of fewer classes than a network tells apart.
    sound = names and len(names) == classes and all(map(_is_line, names))
    return names if sound else None


def _of_its_data(provenance, data_dir):
    # Nothing is downloaded for it, and of a prepared dataset no image is read.
    if provenance.dataset not in ("digits", "folder"):
        return _of_prepared(provenance.dataset, data_dir)
    loading = {**provenance.loading, "image_size": image_size(provenance.loading["image_size"])}
    loading["crop"] = loading["crop"] or "pad"  # Older records do not say.
    with contextlib.suppress(UserError), contextlib.redirect_stdout(io.StringIO()):
        dataset = load_dataset(provenance.dataset, data_dir, **loading)
        # Folders of classes may have come and gone since.
        known = provenance.data
        return dataset.class_names if known and dataset.identity.is_of(known) else None
    return None


def _of_prepared(name, data_dir):
    import tensorflow_datasets as tfds

    # What is not prepared, TensorFlow Datasets would ask the network for.
    place = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    if not (place / name.split(":")[0]).is_dir():
        return None
    try:
        return tuple(tfds.builder(name, data_dir=data_dir).info.features["label"].names)
    except Exception:  # As where it is read: it raises whatever its parts do.
        return None


def _is_line(name):
    return name == name.strip() and len(name.splitlines()) == 1
