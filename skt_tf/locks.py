"""One process to an output folder."""

import contextlib
import fcntl
import itertools
import os
import pathlib

from skt_tf.errors import UserError

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
            raise UserError(
                f"--output_dir={self.folder} cannot be written ({error.strerror}): expected a "
                "folder of your own, or one that can be made"
            ) from None
        return self

    def __exit__(self, *error):
        (self.folder / LOCK).unlink(missing_ok=True)
        self._file.close()
        for folder in self._made:
            # Whatever the block has put there stays.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def keep_beside(self):
        """Gives the folder another name, beside its own, and holds a new one in its place.

        Returns:
            Its new path: the old one with the first number that is free.
        """
        names = (self.folder.with_name(f"{self.folder.name}.{k}") for k in itertools.count(1))
        kept = next(path for path in names if not path.exists())
        self.folder.rename(kept)
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
                file.seek(0)
                owner = file.read() or "of another user"
                file.close()
                raise UserError(
                    f"--output_dir={self.folder} is in use by process {owner}: wait for its end, "
                    "or give another folder"
                ) from None
            # Who held it before may have removed the file that was locked here.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    file.truncate(0)
                    file.write(str(os.getpid()))
                    file.flush()
                    self._file = file
                    return
            file.close()
