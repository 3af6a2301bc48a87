"""The folder of a run: who may go on with it, and with which networks."""

import pathlib
import sys
import zlib

from skt_tf.models.saving import save_network, weights_digest
from skt_tf.reports.results import (
    RESULTS,
    SHARED,
    add_failure,
    grow,
    has_failed,
    nets_done,
    network_path,
    read_results,
)
from skt_tf.training.checkpoints import Checkpoints
from skt_tf.training.history import write_metrics
from skt_tf.utils.environment import environment
from skt_tf.utils.errors import UserError, warn
from skt_tf.utils.files import write_json
from skt_tf.utils.records import refuse_other


def resume(folder, config, machine):
    """The results so far in `folder`, or those of a run that begins.

    Methods and nets that `config` asks for are added to those that are there; see `grow`.

    Raises:
        ValueError: the folder holds a run of another configuration, with what differs.
    """
    path = folder / RESULTS
    fresh = {
        "experiment": config.experiment,
        "dataset": config.dataset,
        "data": None,
        "test_name": "test",
        "config": config.as_dict(),
        "environment": machine,
        "teacher": None,
        "flow_weights": None,
        "methods": {},
        "networks": None,
        "shown": None,
    }
    grow(fresh, config.methods, config.nets)
    if config.fresh or not path.exists():
        return fresh
    results = read_results(path)
    found = config.differing(results["config"], aside=("methods", "nets"))
    refuse_other(folder, "experiment", found)
    results["config"] = {**fresh["config"], **results["config"]}
    grow(results, config.methods, config.nets)
    return results


def check_teacher(path, source, copy, weights=None):
    """Raises a ValueError where a run was begun with another network than --teacher gives now.

    Args:
        path: of --teacher, or None.
        source: the path that it was begun with.
        copy: the path of that network in the run's own folder.
        weights: its digest, if it is known.
    """
    # It lies in the folder as well; where it came from need not be there any more.
    if path is None or (path == source and not pathlib.Path(path).exists()):
        return
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path} does not exist: expected a network saved by Keras (.keras or .h5)")
    _check_same("teacher", path, weights_digest(path), weights or weights_digest(copy))


def check_networks(results, folder, needed=()):
    """Compares the networks of a run with the digests in its results, and notes those that lack.

    Args:
        results: of the run.
        folder: of the run.
        needed: (method, net) of those whose files must be there; others may be gone.

    Raises:
        ValueError: a file with other weights, or one that is needed and not there.
    """
    said = {}
    if results["teacher"] and not results["teacher"]["failed"]:
        said["teacher", 0] = results["teacher"].get("weights")
    for method, entry in results["methods"].items():
        number = len(entry["accuracies"])
        known = [*entry.get("weights", ()), *[None] * number][:number]
        if number:
            entry["weights"] = known
        said |= {(method, net): weights for net, weights in enumerate(known)}
        if entry.get("shared"):
            said[method, SHARED] = entry["shared"]["weights"]
    for (method, net), weights in said.items():
        path = network_path(folder, method, net)
        if not path.exists():
            if (method, net) in needed:
                raise UserError(
                    f"{path} does not exist: expected the network that {RESULTS} says is trained"
                )
            continue
        found = weights_digest(path)
        if weights not in (None, found):
            raise UserError(
                f"{path} has other weights than {RESULTS} says: put the network back that was "
                "trained, or give another --output_dir"
            )
        if method == "teacher":
            results["teacher"]["weights"] = found
        elif net != SHARED:
            results["methods"][method]["weights"][net] = found


def check_student_file(results, path):
    """Raises a ValueError where a run was begun with another file of --student.

    By its bytes, not its weights: of most students the layers alone are used.
    """
    if path is None or not pathlib.Path(path).is_file():
        return
    found = f"{zlib.crc32(pathlib.Path(path).read_bytes()):08x}"
    _check_same("student", path, found, results.setdefault("student", found))


def _check_same(flag, path, found, known):
    if found != known:
        raise UserError(
            f"--{flag}={path} is another network than this run was begun with: give that one, or "
            "start over with --fresh"
        )


class RunFolder:
    """The folder of one run, and what is known of it.

    Every worker of a cluster trains with the others; the chief alone writes.

    Attributes:
        folder: a `pathlib.Path`.
        results: what results.json says, as it stands now.
    """

    def __init__(self, config, writes=True):
        self.config, self.writes = config, writes
        self.folder = pathlib.Path(config.output_dir)
        self.results = resume(self.folder, config, environment())

    def missing(self):
        """(method, net) of the nets that are to be trained, in order."""
        return [
            (method, net)
            for method in self.config.methods
            for net in range(nets_done(self.results, method), self.config.nets)
            if not has_failed(self.results, method)
        ]

    @property
    def targets(self):
        """The file of kept targets."""
        return self.folder / "targets.float16"

    def path(self, method, net):
        return network_path(self.folder, method, net)

    def logs(self, path):
        """The folder of TensorBoard's logs of the network that will be saved at `path`."""
        if not (self.config.tensorboard and self.writes):
            return None
        return self.folder / "tensorboard" / path.parent.relative_to(self.folder)

    def checkpoints(self, path):
        """The checkpoints of the network that will be saved at `path`."""
        folder = path.with_name("checkpoints")
        return Checkpoints(folder, self.config.checkpoint_every, self.writes)

    def prepare(self, lock):
        """Moves a run aside that is to start afresh; removes what a killed process left."""
        if not self.writes:
            return
        if self.config.fresh and (self.folder / RESULTS).exists():
            print(f"the run that was there is kept as {lock.keep_beside()}")
        for method in self.results["methods"]:
            for net in range(nets_done(self.results, method)):
                self.checkpoints(self.path(method, net)).clear()
        if self.results["teacher"] and not self.results["teacher"]["failed"]:
            self.checkpoints(self.path("teacher", 0)).clear()
        now = environment()
        differing = [k for k, value in self.results["environment"].items() if now.get(k) != value]
        if differing:
            warn(
                f"this run was begun with another {', '.join(differing)}: it will not end with the "
                "same bytes"
            )
            if self.missing() and now not in self.results.get("further_environments", ()):
                self.results.setdefault("further_environments", []).append(now)

    def record(self):
        if self.writes:
            write_json(self.folder / RESULTS, self.results)

    def save(self, path, network, records):
        """Writes a network and, beside it, what its stages logged; returns its digest."""
        if not self.writes:
            return None
        save_network(network, path)
        if records:
            write_metrics(path.with_name("metrics.csv"), records)
        return weights_digest(path)

    def fail(self, error, path, entry, net=0):
        """Notes in `entry` of the results that the training of a network diverged."""
        print(f"skt_tf: {error}", file=sys.stderr)
        if self.writes and error.records:
            write_metrics(path.with_name("metrics.csv"), error.records)
        add_failure(entry, error, net)
        self.record()
