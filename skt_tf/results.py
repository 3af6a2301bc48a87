"""results.json: how it begins, what it says of each network, and who may go on with it."""

import pathlib
import statistics
import zlib

from skt_tf.errors import UserError
from skt_tf.files import DRAFT, read_json
from skt_tf.locks import LOCK
from skt_tf.methods import TEACHERS, stage_steps
from skt_tf.packing import unpack
from skt_tf.points import flow_name, layout

RESULTS = "results.json"


def begin(config, environment):
    """The results of a run of which nothing is done, on the machine that `environment` says."""
    return {
        "experiment": config.experiment,
        "dataset": config.dataset,
        "data": None,
        "config": config.as_dict(),
        "environment": environment,
        "teacher": None,
        "flow_weights": None,
        "methods": {},
        "networks": None,
        "shown": None,
    }


def refuse_strangers(folder, record=RESULTS):
    """Raises a ValueError where `folder` is none, or holds other things and no `record`."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir={folder} is a file: expected a folder")
    if not folder.exists() or (folder / record).exists():
        return
    # A run that was killed as it began leaves these alone.
    if any(not path.name.startswith((LOCK, DRAFT)) for path in folder.iterdir()):
        raise UserError(
            f"--output_dir={folder} holds other files and no {record}: give an empty or a new "
            "folder"
        )


def resume(folder, config, environment):
    """The results so far in `folder`, or those of a run that begins.

    Raises:
        ValueError: the folder holds a run of another configuration, with what differs.
    """
    path, fresh = folder / RESULTS, begin(config, environment)
    if config.fresh or not path.exists():
        return fresh
    results = _read(path)
    differing = [
        f"{name} ({results['config'].get(name)} there, {value} here)"
        for name, value in fresh["config"].items()
        if results["config"].get(name) != value
    ]
    if differing:
        raise UserError(
            f"--output_dir={folder} holds another experiment; it differs in "
            + ", ".join(differing)
            + ": give another folder, or --fresh to keep that one beside a new one"
        )
    return results


def check_data(results, dataset):
    """Raises a ValueError where a run was begun with other images or labels than `dataset` has."""
    if results.get("data") not in (None, dataset.digest):
        raise UserError(
            f"the images or labels of '{dataset.name}' are others than this run was begun with: "
            "give those, or start over with --fresh"
        )


def check_student(results, path):
    """Raises a ValueError where a run was begun with another file of --student."""
    if path is None or not pathlib.Path(path).is_file():
        return
    found = f"{zlib.crc32(pathlib.Path(path).read_bytes()):08x}"
    if results.setdefault("student", found) != found:
        raise UserError(
            f"--student={path} is another network than this run was begun with: give that one, or "
            "start over with --fresh"
        )


def finished(folder):
    """The results of a run in which every net is trained, or has failed.

    Raises:
        ValueError: `folder` holds none.
    """
    path = folder / RESULTS
    if not path.exists():
        raise UserError(f"{path} does not exist: expected the folder of a finished run")
    results = _read(path)
    nets, methods = results["config"].get("nets", 1), results["config"].get("methods", ())
    missing = [
        method
        for method in methods
        if not has_failed(results, method)
        # The ensemble comes last.
        and (nets_done(results, method) < nets or results["methods"][method]["ensemble"] is None)
    ]
    if results["teacher"] is None:
        missing = methods
    if missing:
        raise UserError(
            f"{path} is that of an unfinished run, without all nets of {', '.join(missing)}: "
            "expected a finished one"
        )
    return results


def _read(path):
    """The results in a file; a ValueError if a part of them is missing or of another kind."""
    try:
        results = read_json(path)
        teachers = [results["teacher"]] if results["teacher"] is not None else []
        weights = results["flow_weights"]
        flows = {flow_name(flow) for flow in _flows(results["config"])}
        sound = (
            isinstance(results["dataset"], str)
            and isinstance(results["config"], dict)
            and isinstance(results["environment"], dict)
            and all(_is_like(entry, teacher_entry(0, None)) for entry in teachers)
            and all(
                _is_like(entry, method_entry((), {}, 0)) for entry in results["methods"].values()
            )
            and (weights is None or weights.keys() == flows)
            and all(isinstance(weight, float) for weight in (weights or {}).values())
            and _can_be_shown(results)
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise UserError(
            f"{path} is not a results file of this project, or is damaged: give another "
            "--output_dir"
        )
    return results


def _flows(config):
    """All flows of a run, from its configuration as results.json has it."""
    points = config.get("teacher_points"), config.get("student_points")
    return layout(*points, sections=config.get("sections")).flows(config["dense_flows"])


def network_path(folder, method, net):
    """Where the network `net` of `method` lies; "teacher" is a method of one net."""
    if method == "teacher" or (method == TEACHERS and net == 0):
        return folder / "teacher" / "model.keras"  # The teacher is the first of the teachers.
    return folder / method / f"net{net}" / "student.keras"


def _can_be_shown(results):
    """Whether the parts that only a report reads are whole; raises an error if they are not."""
    for network in (results.get("networks") or {}).values():
        for name in ("parameters", "flops_per_image", "images_per_second"):
            if not isinstance(network[name], int | float):
                return False
    shown = results.get("shown")
    pictures = [entry["matrices"] for entry in results["methods"].values() if "matrices" in entry]
    if shown:
        pictures += [shown["teacher"], shown["before"], {"image": shown["image"]}]
    for packed in (packed for arrays in pictures for packed in arrays.values()):
        unpack(packed)
    return True


def nets_done(results, method):
    """How many nets of `method` are trained."""
    return len(results["methods"].get(method, {}).get("accuracies", ()))


def has_failed(results, method):
    """Whether a net of `method` could not be trained."""
    return bool(results["methods"].get(method, {}).get("failed"))


def failures(results):
    """{name: sentence} of the teacher and the methods whose training was stopped."""
    entries = {"teacher": results["teacher"], **results["methods"]}
    return {
        name: entry["failed"]["message"] for name, entry in entries.items() if entry.get("failed")
    }


def teacher_entry(depth, source):
    """What is said of a teacher before it is trained; `source` is its path if it was given."""
    return {
        "depth": depth,
        "accuracy": None,
        "iterations": 0,
        "seconds": 0.0,
        "parameters": 0,
        "source": source,
        "failed": None,
    }


def method_entry(plan, iterations, parameters):
    """What is said of a method before its first net is trained."""
    return {
        "accuracies": [],
        "mean": None,
        "ensemble": None,
        "iterations": 0,
        "seconds": 0.0,
        "parameters": parameters,
        "stages": [
            {"name": stage.name, "steps": steps, "final_loss": None}
            for stage, steps in zip(plan, stage_steps(plan, iterations))
        ],
        "failed": None,
    }


def _is_like(entry, model):
    """Whether an entry has what `model` has; a number may be missing, and a failure."""
    for name in model.keys() - {"failed"}:
        value, kind = entry[name], type(model[name])
        if kind is list and not isinstance(value, list):
            return False
        if kind in (int, float) and not isinstance(value, int | float):
            return False
    shares = [entry.get("accuracy"), entry.get("mean"), entry.get("ensemble")]
    shares += entry.get("accuracies", [])
    return all(share is None or (isinstance(share, float) and 0 <= share <= 1) for share in shares)


def add_net(entry, accuracies, records):
    """Adds a net to the entry of its method: its `accuracies` by name, its `StageRecord`s."""
    done = len(entry["accuracies"])
    for name, value in accuracies.items():
        entry.setdefault(name.replace("accuracy", "accuracies"), []).append(value)
    entry["mean"] = statistics.fmean(entry["accuracies"])
    add_work(entry, records)
    transfers = [record for record in records if record.matrices]
    if transfers:
        entry["matrices"] = transfers[-1].matrices
    for stage, record in zip(entry["stages"], records):
        earlier = (stage["final_loss"] or 0.0) * done
        stage["final_loss"] = (earlier + record.final_loss) / (done + 1)


def add_failure(entry, diverged, net=0):
    """Notes that the training of a network was stopped by `diverged`, a `Diverged`."""
    entry["failed"] = {"net": net, **diverged.facts}
    entry["mean"] = None
    add_work(entry, diverged.records)


def add_work(entry, records):
    """Adds the iterations and seconds of `StageRecord`s."""
    entry["iterations"] += sum(record.steps for record in records)
    entry["seconds"] = round(entry["seconds"] + sum(record.seconds for record in records), 1)
