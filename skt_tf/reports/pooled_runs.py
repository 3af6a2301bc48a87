"""Runs that differ in their seeds alone, taken together."""

import dataclasses
import itertools
import pathlib
import statistics

from skt_tf.data.identity import are_comparable
from skt_tf.reports.results import finished, nets_done, network_path
from skt_tf.training.history import read_metrics
from skt_tf.utils.errors import UserError, warn


@dataclasses.dataclass(frozen=True)
class Pool:
    """Finished runs as one.

    Attributes:
        folders: of the runs.
        each: the results of each run.
        results: as those of one run that trained all the nets; the networks, the FSP
            matrices and the environment are the first run's.
    """

    folders: tuple[pathlib.Path, ...]
    each: tuple[dict, ...]
    results: dict

    def rows(self, method):
        """The rows of metrics.csv of a method, each number the mean over all nets.

        Raises:
            ValueError: a file that is damaged, or does not log what another net's does.
        """
        paths = [
            network_path(folder, method, net).with_name("metrics.csv")
            for folder, results in zip(self.folders, self.each)
            for net in range(nets_done(results, method))
        ]
        nets = [read_metrics(path) for path in paths]
        logged = [[(row["iteration"], *sorted(row)) for row in rows] for rows in nets]
        for path, other in zip(paths, logged):
            if other != logged[0]:
                raise UserError(f"{path} does not log the same as {paths[0]}: one is damaged")
        return [_mean_row(rows) for rows in zip(*nets)]


def read(folders, config=None):
    """The `Pool` of the runs in `folders`; of several, `config` knows what differs.

    Raises:
        ValueError: a run that is not finished, runs that differ in more than their seeds, or
            runs that share a net's seed, with what differs or is shared.
    """
    folders = tuple(pathlib.Path(folder) for folder in folders)
    each = tuple(finished(folder) for folder in folders)
    first, recorded = each[0], dict(each[0]["config"])
    for folder, results in zip(folders[1:], each[1:]):
        found = config.differing(recorded, results["config"], aside=("seed", "nets"))
        said = [f"{name} ({one} and {other})" for name, (one, other) in sorted(found.items())]
        said += _other_networks(first, results)
        # Folders of images have no name that would tell them apart.
        pair = first.get("data"), results.get("data")
        if None not in pair and pair[0] != pair[1]:
            if are_comparable(*pair):
                said.append(f"the images or labels of '{first['dataset']}'")
            else:
                warn(
                    f"the images of {folders[0]} and {folder} cannot be compared, for one run had "
                    "them in memory and the other read them from the disk: they are taken for the "
                    "same"
                )
        if said:
            raise UserError(
                f"{folders[0]} and {folder} cannot be taken together: they differ in "
                + ", ".join(said)
            )
    _check_seeds(folders, each)
    if len(each) == 1:
        return Pool(folders, each, first)
    for folder, results in zip(folders, each):
        methods = [name for name, entry in results["methods"].items() if not entry["failed"]]
        numbers = {name: nets_done(results, name) for name in methods}
        if len(set(numbers.values())) > 1:  # Nets of different seeds would be taken for pairs.
            raise UserError(
                f"{folder} has more nets of some methods than of others ("
                + ", ".join(f"{name} {number}" for name, number in numbers.items())
                + "): runs can be taken together where each method has as many"
            )
    recorded["seed"] = [results["config"]["seed"] for results in each]
    recorded["nets"] = sum(results["config"]["nets"] for results in each)
    teachers = [results["teacher"] for results in each]
    methods = {
        name: _joined([results["methods"][name] for results in each]) for name in first["methods"]
    }
    results = {**first, "config": recorded, "teacher": _joined(teachers), "methods": methods}
    return Pool(folders, each, results)


def _other_networks(one, other):
    """The networks that were given to both of two runs and are not the same, in words."""
    teachers = [results["teacher"] for results in (one, other)]
    given = [entry.get("weights") if entry["source"] else None for entry in teachers]
    found = {"student": [results.get("student") for results in (one, other)], "teacher": given}
    return [
        f"{name} ({one['config'][name]} and {other['config'][name]}, which hold other networks)"
        for name, digests in found.items()
        if None not in digests and digests[0] != digests[1]
    ]


def _check_seeds(folders, each):
    """Nets of one seed and method start alike: counted twice, they would feign certainty."""
    runs = sorted((r["config"]["seed"], r["config"]["nets"], f) for f, r in zip(folders, each))
    for (seed, nets, folder), (next_seed, _, following) in itertools.pairwise(runs):
        if next_seed < seed + nets:
            raise UserError(
                f"{folder} and {following} have nets of the same seed: expected runs whose --seed "
                f"differ by {nets} or more, as many as {folder} has nets"
            )


def _joined(entries):
    """The entries of one method, or of the teacher, in several runs as one."""
    joined = dict(entries[0])
    for name in ("iterations", "seconds"):
        joined[name] = sum(entry[name] for entry in entries)
    failed = [entry["failed"] for entry in entries if entry.get("failed")]
    joined["failed"] = failed[0] if failed else None
    for name in ("accuracies", "validation_accuracies"):
        if name in joined:
            joined[name] = [value for entry in entries for value in entry.get(name, ())]
    for name in ("accuracy", "validation_accuracy", "mean", "ensemble"):
        values = [entry.get(name) for entry in entries]
        if name in joined:
            joined[name] = None if None in values else statistics.fmean(values)
    if "ensemble" in joined and any(len(entry["accuracies"]) < 2 for entry in entries):
        joined["ensemble"] = None  # One net is none.
    if "accuracies" in joined and not failed:
        joined["mean"] = statistics.fmean(joined["accuracies"])
    if "stages" in joined and not failed:
        joined["stages"] = [
            _joined_stage(stages) for stages in zip(*(e["stages"] for e in entries))
        ]
    return joined


def _joined_stage(stages):
    losses = [stage["final_loss"] for stage in stages]
    return {**stages[0], "final_loss": None if None in losses else statistics.fmean(losses)}


def _mean_row(rows):
    return {
        name: cell if name == "stage" else statistics.fmean(row[name] for row in rows)
        for name, cell in rows[0].items()
    }
