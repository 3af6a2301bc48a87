"""The papers' experiments: a teacher, students by every method, their results.

A run is its folder. results.json is written anew after each trained network; the
same command finds it and goes on with what is missing.
"""

import contextlib
import json
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from skt_tf import reports
from skt_tf.datasets import load_dataset
from skt_tf.distiller import SequentialDistiller
from skt_tf.distribution import all_agree, distribution_strategy, is_chief
from skt_tf.environment import environment
from skt_tf.errors import UserError
from skt_tf.files import write_json
from skt_tf.flows import normalized_flow_weights
from skt_tf.folding import fold_batch_norm
from skt_tf.methods import TEACHER, stage_steps
from skt_tf.metrics import write_metrics
from skt_tf.models import resnet
from skt_tf.points import dense_flows, flow_name
from skt_tf.saving import load_network, save_network
from skt_tf.targets import keep_targets
from skt_tf.training import probabilities, run_stages

# Enough for a mean within one percent, and ten seconds instead of a minute.
WEIGHT_IMAGES = 10_000


def run(config):
    """Runs, or goes on with, the experiment that `config` describes.

    Args:
        config: a `skt_tf.config.Config`.

    Returns:
        The results, as written to results.json.

    Raises:
        ValueError: what the configuration alone could not tell: data, teacher or
            output folder do not fit, in one sentence.
    """
    strategy = distribution_strategy(config.distribution, config.batch_size)
    if config.jit_compile and strategy.num_replicas_in_sync > 1:
        raise UserError(
            "--jit_compile cannot compile a step of several devices: leave it out, or give "
            "--distribution=none"
        )
    with contextlib.ExitStack() as stack:
        if not is_chief(strategy):
            silence = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
        try:
            with strategy.scope():
                experiment = _Experiment(config, strategy)
                experiment.train()
            # Out of the scope, in which every new variable waits for all workers to make it.
            if is_chief(strategy):
                experiment.complete()
            all_agree(strategy)
        except (tf.errors.UnavailableError, tf.errors.AbortedError):
            raise UserError(
                "a worker of the cluster is gone: see what it printed, and start all of them again "
                "with the same commands, which go on with what is missing"
            ) from None
    return experiment.results


class _Experiment:
    """One run. Every worker of a cluster trains with the others; the chief alone writes."""

    def __init__(self, config, strategy):
        self.config, self.strategy, self.writes = config, strategy, is_chief(strategy)
        self.folder = pathlib.Path(config.output_dir)
        self.results = _open(self.folder, config)
        known = [self.results[name] for name in ("config", "teacher", "flow_weights", "methods")]
        if not all_agree(strategy, json.dumps(known, sort_keys=True)):
            raise UserError(
                "the workers differ in their flags, or in what they see in --output_dir: expected "
                "the same flags and one folder for all"
            )
        keras.config.set_dtype_policy(config.precision)
        self.dataset = load_dataset(config.dataset, config.data_dir)
        self.given = None
        if config.teacher and not self.results["teacher"]:
            self.given = _load_teacher(config, self.dataset)

    def train(self):
        """Trains the teacher and all nets that are missing."""
        self._record()
        teacher = self._teacher()
        flow_weights = self._flow_weights(teacher)
        frozen = fold_batch_norm(teacher, self.config.teacher_precision)
        kept = self._kept_targets(frozen)
        guidance = {"teacher": frozen, "flow_weights": flow_weights, "kept": kept}
        for method in self.config.methods:
            for net in range(self._done(method), self.config.nets):
                self._train_net(method, net, guidance)

    def complete(self):
        """Adds what takes all nets of a method, and reports."""
        methods = self.results["methods"]
        for method in self.config.methods:
            if methods[method]["ensemble"] is None:
                methods[method]["ensemble"] = self._ensemble(method)
        # A run that went on has met its methods in another order.
        self.results["methods"] = {method: methods[method] for method in self.config.methods}
        self._record()
        self._targets_path.unlink(missing_ok=True)
        reports.write(self.folder)

    @property
    def _targets_path(self):
        return self.folder / "targets.float16"

    def _record(self):
        if self.writes:
            write_json(self.folder / "results.json", self.results)

    def _save(self, path, network, records):
        """Writes a network and, beside it, what its stages logged."""
        if self.writes:
            save_network(network, path)
            if records:
                write_metrics(path.with_name("metrics.csv"), records)

    def _done(self, method):
        """How many nets of `method` are trained."""
        return len(self.results["methods"].get(method, {}).get("accuracies", ()))

    def _teacher(self):
        """The teacher: given, trained before, or trained now. It is recorded and saved."""
        config, dataset = self.config, self.dataset
        path = self.folder / "teacher" / "model.keras"
        if self.results["teacher"] is not None:
            return load_network(path)
        teacher, records = self.given, []
        if teacher is None:
            teacher = _build(config.teacher_depth, config, dataset, seed=config.seed)
            title = f"teacher, {config.teacher_depth} layers"
            records = run_stages(
                (TEACHER,), teacher, None, dataset, config, seed=config.seed, title=title
            )
        self._save(path, teacher, records)
        self.results["teacher"] = {
            "depth": _depth(teacher),
            "accuracy": _accuracy(teacher, dataset),
            "iterations": sum(record.steps for record in records),
            "seconds": round(sum(record.seconds for record in records), 1),
            "parameters": teacher.count_params(),
            "source": config.teacher,
        }
        self._record()
        print(f"teacher: {self.results['teacher']['accuracy']:.2%} of the test images")
        return teacher

    def _flow_weights(self, teacher):
        """λ of every dense flow: the same for every net and stage of a run."""
        config, known = self.config, self.results["flow_weights"]
        flows = dense_flows(config.dense_flows)
        if not _transfers(config, config.methods):
            return None
        if known is not None:
            return {flow: known[flow_name(flow)] for flow in flows}
        if config.flow_weights == "normalized":
            images = self.dataset.train_images[:WEIGHT_IMAGES]
            weights = normalized_flow_weights(teacher, flows, images)
        elif config.flow_weights == "equal":
            weights = dict.fromkeys(flows, 1.0)
        else:
            weights = dict(zip(flows, config.flow_weights, strict=True))
        self.results["flow_weights"] = {flow_name(flow): λ for flow, λ in weights.items()}
        self._record()
        return weights

    def _kept_targets(self, teacher):
        """The targets of all dense flows, if they are to be kept and a net still needs them."""
        config = self.config
        waiting = [method for method in config.methods if self._done(method) < config.nets]
        if not (config.target_views and _transfers(config, waiting)):
            return None
        if not self.writes:
            all_agree(self.strategy)  # The chief writes them, the others find them.
        kept = keep_targets(
            teacher,
            dense_flows(config.dense_flows),
            self.dataset,
            config.target_views,
            config.seed,
            self._targets_path,
            config.batch_size,
            write=self.writes,
        )
        if self.writes:
            all_agree(self.strategy)
        return kept

    def _train_net(self, method, net, guidance):
        config, dataset = self.config, self.dataset
        plan = config.stages(method)
        # Net k of every method starts from the same weights and sees the same data.
        seed = config.seed + 1 + net
        student = _build(config.student_depth, config, dataset, seed=seed)
        title = f"{method}, net {net + 1} of {config.nets}"
        records = run_stages(
            plan, student, dataset=dataset, config=config, seed=seed, title=title, **guidance
        )
        self._save(self._student_path(method, net), student, records)
        entry = self.results["methods"].setdefault(
            method,
            {
                "accuracies": [],
                "mean": None,
                "ensemble": None,
                "iterations": 0,
                "seconds": 0.0,
                "parameters": student.count_params(),
                "stages": [{"name": r.name, "steps": r.steps, "final_loss": 0.0} for r in records],
            },
        )
        done = len(entry["accuracies"])
        entry["accuracies"].append(_accuracy(student, dataset))
        entry["mean"] = float(np.mean(entry["accuracies"]))
        entry["iterations"] += sum(stage_steps(plan, config.iterations))
        entry["seconds"] = round(entry["seconds"] + sum(record.seconds for record in records), 1)
        for stage, record in zip(entry["stages"], records):
            stage["final_loss"] = (stage["final_loss"] * done + record.final_loss) / (done + 1)
        self._record()
        print(f"{title}: {entry['accuracies'][-1]:.2%} of the test images")

    def _ensemble(self, method):
        """Accuracy of the mean of the softmax outputs of a method's nets."""
        dataset = self.dataset
        students = [load_network(self._student_path(method, k)) for k in range(self.config.nets)]
        outputs = [probabilities(student, dataset.test_images) for student in students]
        return float(np.mean(np.mean(outputs, axis=0).argmax(1) == dataset.test_labels))

    def _student_path(self, method, net):
        return self.folder / method / f"net{net}" / "student.keras"


def _open(folder, config):
    """The results so far in `folder`; refuses one that holds anything else."""
    path = folder / "results.json"
    fresh = {
        "experiment": config.experiment,
        "dataset": config.dataset,
        "config": config.as_dict(),
        "environment": environment(),
        "teacher": None,
        "flow_weights": None,
        "methods": {},
    }
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir={folder} is a file: expected a folder")
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(
                f"--output_dir={folder} holds other files and no results.json: give an empty or "
                "a new folder"
            )
        return fresh
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        differing = [
            f"{name} ({results['config'].get(name)} there, {value} here)"
            for name, value in fresh["config"].items()
            if results["config"].get(name) != value
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(
            f"{path} is not a results file of this project: give another --output_dir"
        ) from None
    if differing:
        raise UserError(
            f"--output_dir={folder} holds another experiment; it differs in "
            + ", ".join(differing)
            + ": give another folder"
        )
    return results


def _build(depth, config, dataset, seed):
    return resnet(
        depth,
        dataset.num_classes,
        dataset.image_shape,
        config.width,
        normalization=(dataset.mean.tolist(), dataset.variance.tolist()),
        seed=seed,
    )


def _load_teacher(config, dataset):
    teacher = load_network(config.teacher)
    if teacher.input_shape[1:] != dataset.image_shape:
        raise UserError(
            f"--teacher={config.teacher} takes images of shape {teacher.input_shape[1:]}, "
            f"but those of {dataset.name} have {dataset.image_shape}"
        )
    if teacher.output_shape[1:] != (dataset.num_classes,):
        raise UserError(
            f"--teacher={config.teacher} has outputs of shape {teacher.output_shape[1:]}, "
            f"but {dataset.name} has {dataset.num_classes} classes"
        )
    _check_channels(teacher, config, dataset)
    return teacher


def _check_channels(teacher, config, dataset):
    """Builds every stage's distiller once, so that a misfit shows before hours of training."""
    student = _build(config.student_depth, config, dataset, seed=0)
    for method in config.methods:
        for stage in config.stages(method):
            try:
                SequentialDistiller(teacher, student, stage, steps=1)
            except UserError as error:
                raise UserError(
                    f"--teacher={config.teacher} cannot teach {method}: {error}"
                ) from None


def _accuracy(network, dataset):
    return float(
        np.mean(probabilities(network, dataset.test_images).argmax(1) == dataset.test_labels)
    )


def _depth(network):
    """Weighted layers: what the 6n+2 of a residual network counts."""
    weighted = (keras.layers.Conv2D, keras.layers.Dense)
    return sum(isinstance(layer, weighted) for layer in network.layers)


def _transfers(config, methods):
    """Whether any of `methods` has a transfer stage."""
    return any(stage.flows for method in methods for stage in config.stages(method))
