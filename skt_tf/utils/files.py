"""Files that are written whole or not at all."""

import contextlib
import errno
import json
import os
import pathlib
import re
import shutil

DRAFT = ".draft-"


def why(error):
    """What an `OSError` says was the matter, or that a link leads nowhere, which is no file."""
    path = error.filename
    if isinstance(error, FileExistsError) and os.path.islink(path) and not os.path.exists(path):
        return f"it is a link to {os.readlink(path)}, which does not exist"
    return "it is no folder" if isinstance(error, FileExistsError) else error.strerror


def undrafted(path):
    """The path that a draft of this process is to become; any other as it is."""
    return re.sub(rf"(^|/){re.escape(DRAFT)}{os.getpid()}-/?", r"\1", str(path))


@contextlib.contextmanager
def whole(path):
    """Yields a path to write to; at the end of the block it takes the place of `path`.

    Whoever reads `path` sees the old file or the new one, never a part; if the block
    raises, nothing changes. Missing folders are made.
    """
    path = pathlib.Path(path)
    _make(path.parent)
    # Beside the target, since a rename is atomic within a file system only, and
    # with its ending, since matplotlib chooses the format by it.
    draft = path.with_name(f"{DRAFT}{os.getpid()}-{path.name}")
    try:
        yield draft
        _put_in_place(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path):
    """Likewise yields a new folder to fill; there must be none at `path`, or an empty one.

    What is there may be mounted, linked to, or be somebody's current folder, and so it stays: what
    it is to hold is moved into it at the end, piece by piece, of which a kill leaves some.
    """
    path = pathlib.Path(path)
    if is_there := path.is_dir():
        draft = path / f"{DRAFT}{os.getpid()}-"
    else:
        path = path.resolve(strict=True) if path.is_symlink() else path  # A link to nowhere.
        _make(path.parent)
        draft = path.with_name(f"{DRAFT}{os.getpid()}-{path.name}")
    shutil.rmtree(draft, ignore_errors=True)  # Of a killed process that had this one's number.
    draft.mkdir()
    try:
        yield draft
        for file in draft.rglob("*"):
            _flush(file)
        pieces = [(piece, path / piece.name) for piece in draft.iterdir()]
        for piece, place in pieces if is_there else [(draft, path)]:
            _put_in_place(piece, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_drafts(folder, pattern=f"**/{DRAFT}*"):
    """Removes what killed processes left half-written in `folder` under names of a pattern."""
    for draft in list(pathlib.Path(folder).glob(pattern)):
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)


def _make(folder):
    """Makes a folder and those above it; after a power cut they are there."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush(folder.parent)


def _put_in_place(draft, path):
    # In this order: after a power cut the name stands for the whole content, or the old one.
    _flush(draft)
    os.replace(draft, path)
    _flush(path.parent)


def _flush(path):
    """Waits until a file, or which names a folder holds, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # Some network file systems do not know it of folders.
            raise
    finally:
        os.close(descriptor)


def write_text(path, text):
    with whole(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path, value):
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
