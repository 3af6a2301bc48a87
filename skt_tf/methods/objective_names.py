"""Objectives by name; names are listed without loading TensorFlow, for the command line."""

import importlib
import inspect
import pathlib
import pkgutil

from skt_tf.utils.errors import UserError, one_line, unknown

_FOLDER = pathlib.Path(__file__).parent / "objectives"


def objective_names():
    """The names of the objectives in `methods/objectives`, sorted: those of its modules."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_FOLDER)]))


def find(name):
    """The subclass of `Objective` that is called `name`; its module is imported, no other.

    Args:
        name: one of `objective_names`, or the `name` of a class that is defined elsewhere.

    Raises:
        ValueError: a name that no class has, or that two have.
    """
    listed = objective_names()
    module = f"{__package__}.objectives.{name}" if name in listed else None
    if module:
        importlib.import_module(module)
    from skt_tf.methods.objective import defined

    found = [one for one in defined(name) if module in (None, one.__module__)]
    if len(found) > 1:
        classes = " and ".join(f"{one.__module__}.{one.__qualname__}" for one in found)
        raise UserError(f"the objective '{name}' could be {classes}: give each a `name` of its own")
    if not found:
        raise UserError(
            unknown(f"the objective '{name}'", name, listed)
            + ", or the name of a class of your own that has been imported"
        )
    return found[0]


def made(loss):
    """The `Objective` of a `Loss`, with its parameters.

    Raises:
        ValueError: a name that no class has, or parameters that it does not take.
    """
    kind = find(loss.name)
    try:
        return kind(**dict(loss.parameters))
    except TypeError as error:
        takes = ", ".join(inspect.signature(kind).parameters) or "none"
        raise UserError(
            f"'{loss}' cannot be made ({one_line(error)}): its parameters are {takes}"
        ) from None
