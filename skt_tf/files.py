"""Files that are written whole or not at all."""

import contextlib
import json
import os
import pathlib


@contextlib.contextmanager
def whole(path):
    """Yields a path to write to; at the end of the block it takes the place of `path`.

    Whoever reads `path` sees the old file or the new one, never a part; if the block
    raises, nothing changes. Missing folders are made.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, since a rename is atomic within a file system only, and
    # with its ending, since Keras and matplotlib choose the format by it.
    draft = path.with_name(f".draft-{os.getpid()}-{path.name}")
    try:
        yield draft
        with open(draft, "rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path, text):
    with whole(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path, value):
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
