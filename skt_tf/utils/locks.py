"""One process to an output folder."""

import contextlib
import fcntl
import itertools
import os
import pathlib
import time

from skt_tf.utils.errors import UserError, option
from skt_tf.utils.files import why

LOCK = ".lock"


class FolderLock:
    """Holds a folder, made if it is missing, for this process until the end of a `with` block.

    The kernel lets go of the lock when a process ends, however it ends. What was made for
    the block alone is removed at its end.

    Args:
        folder: path of the folder.

    Raises:
        ValueError: another process holds the folder, with its process id; or it cannot be
            written.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def __enter__(self):
        self._made = [f for f in (self.folder, *self.folder.parents) if not f.exists()]
        try:
            self._acquire()
        except OSError as error:
            self._remove_made()
            raise UserError(
                f"{option('output_dir')}={self.folder} cannot be written ({why(error)}): "
                "expected a folder of your own, or one that can be made"
            ) from None
        return self

    def __exit__(self, *error):
        (self.folder / LOCK).unlink(missing_ok=True)
        self._file.close()
        self._remove_made()

    def _remove_made(self):
        for folder in self._made:
            # Whatever the block has put there stays.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def keep_beside(self):
        """Gives the folder another name, beside its own, and holds a new one in its place.

        Of a link the folder that it leads to gets the name, and the link stays.

        Returns:
            Its new path: the old one with the first number that is free.

        Raises:
            ValueError: the process was started in the folder, or below it.
        """
        here = pathlib.Path.cwd()
        if self.folder.resolve() in (here, *here.parents):
            raise UserError(
                f"--fresh cannot give --output_dir={self.folder} another name, since this command "
                "was started in it: start it in another folder"
            )
        folder = self.folder.resolve() if self.folder.is_symlink() else self.folder
        names = (folder.with_name(f"{folder.name}.{k}") for k in itertools.count(1))
        kept = next(path for path in names if not os.path.lexists(path))
        folder.rename(kept)
        folder.mkdir()
        (kept / LOCK).unlink()
        self._file.close()
        self._acquire()
        return kept

    def _acquire(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / LOCK
        while True:
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 – held while it is open
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _owner(file)
                file.close()
                raise UserError(
                    f"{option('output_dir')}={self.folder} is in use by process {owner}: wait for "
                    "its end, or give another folder"
                ) from None
            # Who held it before may have removed the file that was locked here.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    self._sign(file, path)
                    self._file = file
                    return
            file.close()

    @staticmethod
    def _sign(file, path):
        file.truncate(0)
        try:
            # Unbuffered: what a full disk has refused must not be tried again at the end.
            os.write(file.fileno(), str(os.getpid()).encode())
        except OSError:
            path.unlink()
            file.close()
            raise


def _owner(file):
    """The process id in a lock file; its owner may be about to write it."""
    for _ in range(10):
        file.seek(0)
        if owner := file.read():
            return owner
        time.sleep(0.1)
    return "of another user"
