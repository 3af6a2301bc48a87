"""Runs our objectives on the inputs of a folder of the peers' values, as a stage would."""

import json
import pathlib
import re

import keras
import numpy as np
import tensorflow as tf
from peer_losses import LEFT_OUT, OF_THE_TASK, OURS

from skt_tf.methods.objective import Batch, Seen
from skt_tf.methods.objective_names import find
from skt_tf.methods.objectives.simkd import PROJECTED, with_classifier_of

# The most that a value may be off, of itself, and a gradient, of its norm.
VALUE, GRADIENT = 1e-5, 1e-4


class Peers:
    """A folder of values: `losses`, the entries by name, and the arrays."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.losses = json.loads((folder / "losses.json").read_text())["losses"]
        with np.load(folder / "losses.npz") as arrays:
            self.arrays = dict(arrays)

    def inputs(self, name, kind):
        """{name: array} of the inputs of a loss: `student`, `teacher`, `parameters`, `other`."""
        names = self.losses[name]["inputs"].get(kind, [])
        return {one: self.arrays[f"in.{one}"] for one in names}


def ours_of(name):
    """The line of `OURS` that an entry belongs to, or None."""
    bases = [base for base in OURS if name == base or name.startswith(f"{base}_")]
    return OURS[max(bases, key=len)] if bases else None


def parameters_of(ours, entry):
    """Our parameters for the entry's hyper-parameters."""
    found = dict(ours.parameters)
    for name, value in entry["hyperparameters"].items():
        name = ours.renamed.get(name, name)
        if name == "temperatures" and not isinstance(value, list):
            value = [value]
        if name:
            found[name] = value
    return found


def _seen(tensors):
    """`Seen` of tensors: maps by their rank, logits and embeddings as the caller names them."""
    maps = tuple(x for x in tensors.values() if len(x.shape) == 4)
    flat = [x for x in tensors.values() if len(x.shape) == 2]
    return Seen(flat[0] if flat else None, flat[0] if flat else None, maps)


def _shapes(seen):
    return Seen(*(None if x is None else tuple(x.shape[1:]) for x in seen[:2]),
                tuple(tuple(x.shape[1:]) for x in seen.maps))  # fmt: skip


def _chosen(arrays, points):
    """The inputs at `points` only, by position; all of them if it is None."""
    names = [*arrays]
    return {names[k]: arrays[names[k]] for k in (range(len(names)) if points is None else points)}


class Run:
    """A loss of ours run on the inputs of an entry: `value`, `gradients` and `extras`."""

    def __init__(self, peers, name, parameters=None, points=None):
        entry, ours = peers.losses[name], ours_of(name)
        parameters = parameters_of(ours, entry) | (parameters or {})
        teacher, student = (
            {k: tf.constant(x) for k, x in _chosen(peers.inputs(name, role), points).items()}
            for role in ("teacher", "student")
        )
        other = peers.inputs(name, "other")
        if ours.objective == "reviewkd":
            parameters["pooled"] = any(len(x.shape) == 2 for x in teacher.values())
        kind = find(ours.objective) if isinstance(ours.objective, str) else ours.objective
        objective = kind(**parameters)
        self.said = f"{objective.name}({', '.join(f'{k}={v}' for k, v in parameters.items())})"
        project = self._projector(entry, teacher, student) if kind.name == "simkd" else None
        see = (lambda x: {"": project(*x.values(), training=True)}) if project else (lambda x: x)
        rows = next((len(x) for k, x in other.items() if "memory" in k), None)
        objective.build(_shapes(_seen(teacher)), _shapes(_seen(see(student))), rows)
        groups, variables = {}, {}
        for one in entry["inputs"].get("parameters", []):
            groups.setdefault(one.split(".")[0], []).append(one)
        chosen = _chosen(groups, points if len(groups) > 1 and ours.objective == "vid" else None)
        for names, found in zip(chosen.values(), ours.heads(project or objective)):
            for one in names:
                variables[one] = found[one.split(".", 1)[1]]
                variables[one].assign(np.reshape(peers.arrays[f"in.{one}"], variables[one].shape))
        batch = self._batch(objective, other)
        self.factor = entry["hyperparameters"].get(ours.factor, ours.factor)
        second = None
        if objective.views == 2:  # The first is the weak view, the second the strong one.
            pairs = [[Seen(logits=x) for x in seen.values()] for seen in (teacher, student)]
            (weak_teacher, strong_teacher), (weak, strong) = pairs
            second = strong_teacher, strong
        with tf.GradientTape() as tape:
            tape.watch([*student.values()])
            if second is None:
                seen = _seen(teacher), _seen(see(student))
            else:
                seen, batch = (weak_teacher, weak), batch._replace(second=second)
            value = self.factor * tf.reduce_mean(objective.loss(*seen, batch))
        moved = {**student, **{k: v.value for k, v in variables.items()}}
        gradients = tape.gradient(value, moved, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self.value = float(value)
        self.gradients = {k: np.float64(x) for k, x in gradients.items()}
        self.extras = ours.extras(objective, entry, seen[0])

    @staticmethod
    def _batch(objective, other):
        """The rest of a batch: labels, and what CRD is given in place of what it draws."""
        by_kind = {re.split(r"[._]", k)[-1] if "." in k else k: x for k, x in other.items()}
        if "contrast" not in by_kind:
            return Batch(labels=by_kind.get("labels"))
        memory = objective.remembered
        memory.student.assign(by_kind["s"])
        memory.teacher.assign(by_kind["t"])
        objective.draw = lambda indices, batches: by_kind["contrast"]
        return Batch(indices=by_kind["index"])

    @staticmethod
    def _projector(entry, teacher, student):
        """What SimKD puts before the teacher's classifier, of two networks of nothing else."""
        networks = []
        for maps in (*teacher.values(), *student.values()):
            x = images = keras.Input(maps.shape[1:])
            x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))
            networks.append(keras.Model(images, x))
        whole = with_classifier_of(*networks, **entry["hyperparameters"])
        return keras.Model(whole.inputs, whole.get_layer(PROJECTED).output)


def relative(error, of):
    """The norm of an error over that of what it is of."""
    size = np.linalg.norm(of)
    return float(np.linalg.norm(error) / size) if size > 1e-30 else float(np.linalg.norm(error))


def parts_of(peers, name):
    """{part: relative error, or why it is left out}."""
    found = {}
    for part, expected in peers.losses[name].get("parts", {}).items():
        ours, expected = ours_of(name), expected["value"]
        chosen = [spec for pattern, spec in ours.parts.items() if re.fullmatch(pattern, part)]
        number = len(peers.losses[name]["inputs"]["student"])
        if part in OF_THE_TASK:
            found[part] = "the task's"
            continue
        if chosen:
            run = Run(peers, name, chosen[0])
        elif place := re.fullmatch(r"(?:point|flow)(\d)(\d?)", part):
            run = Run(peers, name, points=[int(k) - 1 for k in place.groups() if k])
        elif part == "pooled":
            run = Run(peers, name, points=[number - 1])
        else:
            found[part] = np.inf
            continue
        found[part] = abs(run.value - expected) / max(abs(expected), 1e-30)
    return found


def gradients_of(peers, name, run):
    """{input: relative error} of the gradients, on the places that are kept, and of their norms."""
    found = {}
    for one, of in peers.losses[name]["gradients"].items():
        expected, gradient = peers.arrays[of["key"]], run.gradients[one]
        places = peers.arrays[of["index_key"]] if "index_key" in of else slice(None)
        kept, expected = gradient.reshape(-1)[places], expected.reshape(-1)
        if ours_of(name).ties:
            clear = peers.arrays[f"in.{one}"].reshape(-1)[places] > 0
            kept, expected = kept[clear], expected[clear]
        errors = [abs(np.linalg.norm(gradient) - of["norm"]) / max(of["norm"], 1e-30)]
        errors.append(relative(kept - expected, expected))
        found[one] = np.max(errors)
    return found


def extras_of(peers, name):
    """What the arrays of an entry say beside its value, its parts and its gradients."""
    others = [key.removeprefix(f"{name}.") for key in peers.arrays if key.startswith(f"{name}.")]
    return [one for one in others if one.split(".")[0] not in ("value", "part", "grad")]


def check(folder, say=print):
    """Prints a row for each loss of `folder`; the names of those that are off, or unknown."""
    peers, bad = Peers(folder), []
    say(f"{'loss':18} {'value':>8} {'gradient':>8}  {'part':>8}  ours")
    for name, entry in peers.losses.items():
        if name in LEFT_OUT:
            say(f"{name:18} left out: {LEFT_OUT[name]}")
            continue
        if ours_of(name) is None:
            say(f"{name:18} unknown")
            bad.append(name)
            continue
        try:
            run = Run(peers, name)
            gradient = np.max([*gradients_of(peers, name, run).values(), 0.0])
            parts = parts_of(peers, name)
        except (KeyError, TypeError, ValueError) as error:  # Such as an unknown hyper-parameter.
            say(f"{name:18} fails: {type(error).__name__}: {error}")
            bad.append(name)
            continue
        value = abs(run.value - entry["value"]) / max(abs(entry["value"]), 1e-30)
        told = {k: error for k, error in parts.items() if not isinstance(error, str)}
        for extra in extras_of(peers, name):
            expected, array = peers.arrays[f"{name}.{extra}"], run.extras.get(extra, np.nan)
            told[extra] = relative(np.float64(array) - expected, expected)
        others = [f"{k}: {why}" for k, why in parts.items() if isinstance(why, str)]
        said = run.said + f" × {run.factor:g}" * (run.factor != 1.0)
        worst = np.max([*told.values(), 0.0])  # NaN where one is.
        fine = value <= VALUE and worst <= VALUE and gradient <= GRADIENT
        say(
            f"{name:18} {value:8.1e} {gradient:8.1e}  {worst:8.1e}  {'; '.join([said, *others])}"
            + "  OFF" * (not fine)
        )
        if not fine:
            bad.append(name)
    say(f"{len(peers.losses)} losses, {len(LEFT_OUT.keys() & peers.losses.keys())} left out, "
        f"{len(bad)} off or unknown")  # fmt: skip
    return bad
