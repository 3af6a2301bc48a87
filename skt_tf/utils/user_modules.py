"""Modules of a user's own, which register layers that networks are saved with."""

import importlib
import re

from skt_tf.utils.errors import UserError, one_line


def check_names(names):
    """Raises a ValueError where one of `names` is no name of a module, or there are none."""
    for name in names or ("",):
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name) or name.endswith(".py"):
            raise UserError(
                f"--import_modules={','.join(names)}: '{name}' is no name of a module: expected "
                "one as in an import, such as my_layers"
            )


def import_modules(names):
    """Imports modules by their names, as Python finds them.

    Raises:
        ValueError: no module of a name, or one that cannot be imported.
    """
    for name in names:
        given = f"--import_modules={','.join(names)}"
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and error.name not in (name.split(".")[0], name):
                raise UserError(
                    f"{given}: {name} needs '{error.name}', which is missing"
                ) from error
            raise UserError(
                f"{given}: there is no module '{name}' in Python's path: start the command in its "
                "folder, or set PYTHONPATH to it"
            ) from error
        # A module of one's own raises whatever it does.
        except (Exception, SystemExit) as error:
            raise UserError(f"{given}: {name} cannot be imported: {one_line(error)}") from error
