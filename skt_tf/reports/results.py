"""results.json: what it says of each network, read and checked."""

import pathlib
import statistics

from skt_tf.methods.catalogue import METHOD_NAMES, TEACHERS, stage_steps
from skt_tf.methods.sequences import folder_name
from skt_tf.models.points import flow_name, layout
from skt_tf.utils.errors import UserError
from skt_tf.utils.files import read_json
from skt_tf.utils.records import unpack

RESULTS = "results.json"
SHARED = "shared"
# What a file must have, for whatever reads it to find it.
_NUMBER, _SHARE = int | float, "share"
_FORM = {"dataset": str, "config": dict, "environment": dict, "methods": dict}
_WORK = {"iterations": _NUMBER, "seconds": _NUMBER, "parameters": _NUMBER}
_TEACHER = {"depth": _NUMBER, "accuracy": _SHARE, "source": object, **_WORK}
_STAGE = {"name": str, "steps": _NUMBER, "final_loss": _NUMBER | None}
_METHOD = {"accuracies": [_SHARE], "mean": _SHARE, "ensemble": _SHARE, "stages": [_STAGE], **_WORK}
_NETWORK = {"parameters": _NUMBER, "flops_per_image": _NUMBER, "images_per_second": _NUMBER}


def check_data(results, dataset):
    """Raises a ValueError where a run was begun with other images or labels than `dataset` has."""
    if not dataset.identity.is_of(results.get("data")):
        raise UserError(
            f"the images or labels of '{dataset.name}' are others than this run was begun with: "
            "give those"
        )


def finished(folder):
    """The results of a run in which every net is trained, or has failed.

    Raises:
        ValueError: `folder` holds none.
    """
    path = folder / RESULTS
    if not path.exists():
        raise UserError(f"{path} does not exist: expected the folder of a finished run")
    results = read_results(path)
    methods = results["config"].get("methods", ())
    missing = [
        method
        for method in methods
        if not has_failed(results, method) and not _is_whole(results["methods"].get(method))
    ]
    if results["teacher"] is None:
        missing = methods
    if missing:
        raise UserError(
            f"{path} is that of an unfinished run, without all nets of {', '.join(missing)}: "
            "expected a finished one"
        )
    grow(results)  # More nets may have been asked for than were trained.
    return results


def grow(results, methods=(), nets=0):
    """Makes the configuration of `results` that of all that is there, `methods` and `nets` too.

    So it ends as that of one command that asked for everything. What was asked for before and
    never trained is no longer a part of it.

    Args:
        results: of a run, which are changed.
        methods, nets: what is asked for beside what is there.
    """
    entries = results["methods"]
    there = {name for name, entry in entries.items() if entry["accuracies"] or entry["failed"]}
    asked = dict.fromkeys([*entries, *methods])  # Sequences as they came, after the methods.
    methods = [n for n in dict.fromkeys([*METHOD_NAMES, *asked]) if n in there | set(methods)]
    results["methods"] = {name: entries[name] for name in methods if name in entries}
    # Of nets that could not be trained there is no number but the one that was asked for.
    nets = max([nets, *(nets_done(results, name) for name in methods)]) or results["config"]["nets"]
    results["config"] = {**results["config"], "methods": methods, "nets": nets}


def read_results(path):
    """The results in a file; a ValueError if a part of them is missing or of another kind."""
    try:
        results = read_json(path)
        flows = {flow_name(flow): float for flow in _flows(results["config"])}
        sound = (
            all(_has_form(results[name], form) for name, form in _FORM.items())
            and (results["teacher"] is None or _has_form(results["teacher"], _TEACHER))
            and all(_has_form(entry, _METHOD) for entry in results["methods"].values())
            and (results["flow_weights"] is None or _has_form(results["flow_weights"], flows))
            and all(_has_form(n, _NETWORK) for n in (results.get("networks") or {}).values())
        )
        for packed in _packed(results):
            unpack(packed)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise UserError(
            f"{path} is not a results file of this project, or is damaged: give another "
            "--output_dir"
        )
    # What records of the first version lack.
    for entry in results["methods"].values():
        entry.setdefault("failed", None)
    teacher = results["teacher"]
    if teacher is not None and not teacher.setdefault("failed", None):
        teacher.setdefault("final_loss", None)
    return results


def _flows(config):
    """All flows of a run, from its configuration as results.json has it."""
    points = config.get("teacher_points"), config.get("student_points")
    return layout(*points, sections=config.get("sections")).flows(
        config["dense_flows"], config.get("section_flows", "ends")
    )


def _is_whole(entry):
    """Whether all nets of a method are there; their ensemble comes last."""
    return bool(
        entry
        and entry["ensemble"] is not None
        and len(entry["accuracies"]) == len(entry.get("weights", entry["accuracies"]))
    )


def network_path(folder, method, net):
    """Where the network `net` of `method` lies; "teacher" is a method of one net.

    As net `SHARED`, the one whose stages all nets of a method share lies there after them.
    """
    if method == "teacher" or (method == TEACHERS and net == 0):
        return folder / "teacher" / "model.keras"  # The teacher is the first of the teachers.
    return folder / folder_name(method) / (net if net == SHARED else f"net{net}") / "student.keras"


def _has_form(value, form):
    """Whether `value` is what `form` says: a type, a list of one form, or a dict of forms."""
    if isinstance(form, list):
        return isinstance(value, list) and all(_has_form(one, form[0]) for one in value)
    if isinstance(form, dict):
        return all(_has_form(value[name], each) for name, each in form.items())
    if form is _SHARE:
        return value is None or (isinstance(value, float) and 0 <= value <= 1)
    return isinstance(value, form)


def _packed(results):
    """All packed arrays, of which a report makes pictures."""
    arrays = [entry["matrices"] for entry in results["methods"].values() if "matrices" in entry]
    if shown := results.get("shown"):
        arrays += [shown["teacher"], shown["before"], {"image": shown["image"]}]
    return [packed for each in arrays for packed in each.values()]


def named_networks(results):
    """(teacher, student) of the field's standard protocol by name, or None where none is named."""
    names = [results["config"].get(f"{side}_network") for side in ("teacher", "student")]
    return tuple(names) if any(names) else None


def pair(results):
    """Who teaches whom, in words."""
    config = results["config"]
    teacher, student = named_networks(results) or (None, None)
    student = student or f"{config['student_depth']}{' layers' if teacher else ''}"
    if config.get("student"):
        student = pathlib.Path(config["student"]).stem
    if teacher:
        return f"{teacher} teaches {student}"
    return f"{results['teacher']['depth']} layers teach {student}"


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


def add_net(entry, accuracies, records, weights, shared=0):
    """Adds a net to the entry of its method.

    Args:
        entry: of the method.
        accuracies: by name.
        records: its `StageRecord`s.
        weights: the digest of its weights.
        shared: how many of the records are of stages that were counted before.
    """
    done = len(entry["accuracies"])
    entry["ensemble"] = None  # Of all nets together, once they are there.
    entry["weights"] = [*entry.get("weights", ()), weights]
    for name, value in accuracies.items():
        entry.setdefault(name.replace("accuracy", "accuracies"), []).append(value)
    entry["mean"] = statistics.fmean(entry["accuracies"])
    add_work(entry, records[shared:])
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
