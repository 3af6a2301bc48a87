"""The papers' experiments: a teacher, students by every method, their results.

A run is its folder. results.json is written anew after each trained network; the
same command finds it and goes on with what is missing.
"""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import sys

import keras
import tensorflow as tf

from skt_tf import reports
from skt_tf.checkpoints import Checkpoints
from skt_tf.cost import describe
from skt_tf.datasets import load_dataset
from skt_tf.distribution import (
    all_agree,
    distribution_strategy,
    is_chief,
    wait_for_the_last,
)
from skt_tf.environment import environment
from skt_tf.errors import Diverged, UnfitTeacher, UserError
from skt_tf.files import read_json, remove_drafts, write_json
from skt_tf.folding import fold_batch_norm
from skt_tf.locks import FolderLock
from skt_tf.memory import check_memory
from skt_tf.methods import TEACHER, TEACHERS, stage_steps
from skt_tf.metrics import write_metrics
from skt_tf.networks import (
    build,
    check_pair,
    classifies,
    flow_weights,
    load_teacher,
    net_seed,
    new_student,
    weighted_layers,
)
from skt_tf.pictures import SHOWN, shown_before
from skt_tf.points import flow_name
from skt_tf.progress import StageRecord
from skt_tf.remaining import Remaining
from skt_tf.results import (
    RESULTS,
    SHARED,
    add_failure,
    add_net,
    add_work,
    check_data,
    check_networks,
    check_student,
    check_teacher,
    grow,
    has_failed,
    method_entry,
    nets_done,
    network_path,
    refuse_strangers,
    resume,
    teacher_entry,
)
from skt_tf.saving import load_network, save_network, weights_digest
from skt_tf.targets import check_room, keep_targets
from skt_tf.training import accuracy, ensemble_accuracy, probabilities, run_stages

# What the stages that all nets of a method share have logged.
_RECORDS = "records.json"


def run(config):
    """Runs, or goes on with, the experiment that `config` describes.

    Args:
        config: a `skt_tf.config.Config`.

    Returns:
        The results, as written to results.json. Where a method or the teacher has a `failed`
        that is not None, its training was stopped at a loss that is not finite.

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
        refuse_strangers(pathlib.Path(config.output_dir))
        lock = None
        if is_chief(strategy):
            lock = stack.enter_context(FolderLock(config.output_dir))
        else:
            silence = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
        try:
            with strategy.scope():
                experiment = _Experiment(config, strategy, lock)
                experiment.train()
            # Out of the scope, in which every new variable waits for all workers to make it.
            if is_chief(strategy):
                experiment.complete()
            wait_for_the_last(strategy)
        except (tf.errors.UnavailableError, tf.errors.AbortedError):
            raise UserError(
                "a worker of the cluster is gone: see what it printed, and start all of them again "
                "with the same commands, which go on with what is missing"
            ) from None
        except tf.errors.ResourceExhaustedError as error:
            # TensorFlow's word for a full disk too, which TensorBoard's logs may meet.
            for number in (errno.ENOSPC, errno.EDQUOT):
                if os.strerror(number) in str(error):
                    raise OSError(number, os.strerror(number), config.output_dir) from None
            raise UserError(
                f"a device has not enough memory for --batch_size={config.batch_size} and "
                f"--width={config.width}: give less"
            ) from None
    return experiment.results


class _Experiment:
    """One run. Every worker of a cluster trains with the others; the chief alone writes."""

    def __init__(self, config, strategy, lock):
        self.config, self.strategy, self.lock = config, strategy, lock
        self.writes = is_chief(strategy)
        self.folder = pathlib.Path(config.output_dir)
        self.remaining = Remaining(config.teacher_depth)
        self.results = resume(self.folder, config, environment())
        known = [self.results[name] for name in ("config", "teacher", "flow_weights", "methods")]
        known += [config.methods, config.nets]
        if not all_agree(strategy, json.dumps(known, sort_keys=True)):
            raise UserError(
                "the workers differ in their flags, or in what they see in --output_dir: expected "
                "the same flags and one folder for all"
            )
        keras.config.set_dtype_policy(config.precision)
        self.dataset = load_dataset(*config.images)
        check_data(self.results, self.dataset)
        check_student(self.results, config.student)
        check_teacher(self.results, self.folder, config.teacher)
        check_networks(self.results, self.folder, self._needed())
        self.results["data"] = self.dataset.digest
        if config.validation:
            self.dataset = self.dataset.hold_out(config.validation)
        check_memory(config, self.dataset.image_shape)
        if self.writes:
            remove_drafts(self.folder)
        self.given = None
        if config.teacher and not self.results["teacher"]:
            self.given = load_teacher(config, self.dataset)
        if config.teacher or config.student:
            self._check_networks()
        # By all workers: a network of the strategy is made by all or by none.
        waiting = {method for method, _ in self._missing()}
        if config.target_views and _transfers(config, waiting):
            teacher = self.given or build(config.teacher_depth, config, self.dataset, seed=0)
            check_room(
                teacher,
                config.flows,
                self.dataset,
                config.target_views,
                self._targets_path,
                config.points[0],
            )

    def _check_networks(self):
        """Whether the networks that are given fit together, before hours of training."""
        config, dataset = self.config, self.dataset
        given = {"teacher": config.teacher, "student": config.student}
        names = " and ".join(f"--{name}={path}" for name, path in given.items() if path)
        new = [method for method in config.methods if method not in self.results["methods"]]
        if not new:
            return
        teacher = self.given or build(config.teacher_depth, config, dataset, seed=0)
        if self.results["teacher"] and not self.results["teacher"]["failed"]:
            teacher = load_network(self._path("teacher", 0))
        for method in new:
            student = new_student(config, dataset, method, 0)
            try:
                check_pair(teacher, student, dataclasses.replace(config, methods=(method,)))
                if config.stages(method)[0].start == "teacher":
                    _copy_weights(teacher, student)
            except UserError as error:
                raise UserError(f"{names} cannot be used for {method}: {error}") from None

    def train(self):
        """Trains the teacher and all nets that are missing."""
        self._prepare_folder()
        self._record()
        teacher = self._teacher() if self._missing() or not self.results["teacher"] else None
        flow_weights = frozen = kept = None
        if teacher is not None:
            frozen = fold_batch_norm(teacher, self.config.teacher_precision)
            try:
                flow_weights = self._flow_weights(teacher)
                kept = self._kept_targets(frozen)
            except UnfitTeacher as error:
                self._fail_transfers(error)
        guidance = {"teacher": frozen, "flow_weights": flow_weights, "kept": kept}
        for method, net in self._missing():
            if not has_failed(self.results, method):
                self._train_net(method, net, guidance)

    def _missing(self):
        """(method, net) of the nets that are to be trained, in order."""
        return [
            (method, net)
            for method in self.config.methods
            for net in range(nets_done(self.results, method), self.config.nets)
            if not has_failed(self.results, method)
        ]

    def complete(self):
        """Adds what takes all nets of a method, and reports."""
        grow(self.results)
        for method, entry in self.results["methods"].items():
            if entry["ensemble"] is None and not entry["failed"]:
                entry["ensemble"] = self._ensemble(method)
        self._describe()
        self._record()
        self._targets_path.unlink(missing_ok=True)
        reports.write(self.folder)

    def _describe(self):
        """Adds what the report says of the networks, and the FSP matrices that it shows."""
        config, dataset, results = self.config, self.dataset, self.results
        if not self._lacks_description():
            return
        student = new_student(config, dataset, "skt", net_seed(config, "skt", 0))
        teacher = None
        if not results["teacher"]["failed"]:
            teacher = load_network(self._path("teacher", 0))
        if not results.get("networks"):
            images = dataset.test_images[: config.batch_size]
            networks = {"student": student, **({"teacher": teacher} if teacher else {})}
            results["networks"] = describe(networks, images)
        if not results.get("shown") and teacher and _transfers(config, results["methods"]):
            results["shown"] = shown_before(
                teacher, student, config.flows, dataset.test_images, config.points
            )

    def _lacks_description(self):
        """Whether the results lack what is said of the networks beside their accuracies."""
        config, results = self.config, self.results
        methods = results["config"]["methods"]
        return not results.get("networks") or not (
            results.get("shown") or not _transfers(config, methods)
        )

    def _needed(self):
        """(method, net) of the networks that must be there for the run to go on."""
        missing, needed = self._missing(), set()
        if missing or self._lacks_description():
            needed.add(("teacher", 0))
        for method in {method for method, _ in missing}:  # Of all nets an ensemble is made.
            needed |= {(method, net) for net in range(nets_done(self.results, method))}
            needed.add((method, SHARED))
        return needed

    def _prepare_folder(self):
        """Moves a run aside that is to start afresh; removes what a killed process left."""
        if not self.writes:
            return
        if self.config.fresh and (self.folder / RESULTS).exists():
            print(f"the run that was there is kept as {self.lock.keep_beside()}")
        for method in self.results["methods"]:
            for net in range(nets_done(self.results, method)):
                self._checkpoints(self._path(method, net)).clear()
        if self.results["teacher"] and not self.results["teacher"]["failed"]:
            self._checkpoints(self._path("teacher", 0)).clear()
        now = environment()
        differing = [k for k, value in self.results["environment"].items() if now.get(k) != value]
        if differing:
            print(
                "skt_tf: warning: this run was begun with another "
                + ", ".join(differing)
                + ": it will not end with the same bytes",
                file=sys.stderr,
            )

    @property
    def _targets_path(self):
        return self.folder / "targets.float16"

    def _path(self, method, net):
        return network_path(self.folder, method, net)

    def _logs(self, path):
        """The folder of TensorBoard's logs of the network that will be saved at `path`."""
        if not (self.config.tensorboard and self.writes):
            return None
        return self.folder / "tensorboard" / path.parent.relative_to(self.folder)

    def _checkpoints(self, path):
        """The checkpoints of the network that will be saved at `path`."""
        folder = path.with_name("checkpoints")
        return Checkpoints(folder, self.config.checkpoint_every, self.writes)

    def _record(self):
        if self.writes:
            write_json(self.folder / RESULTS, self.results)

    def _save(self, path, network, records):
        """Writes a network and, beside it, what its stages logged; returns its digest."""
        if not self.writes:
            return None
        save_network(network, path)
        if records:
            write_metrics(path.with_name("metrics.csv"), records)
        return weights_digest(path)

    def _fail(self, error, path, entry, net=0):
        """Notes in `entry` of the results that the training of a network diverged."""
        print(f"skt_tf: {error}", file=sys.stderr)
        if self.writes and error.records:
            write_metrics(path.with_name("metrics.csv"), error.records)
        add_failure(entry, error, net)
        self._record()

    def _fail_transfers(self, error):
        """Notes that the methods with transfer cannot be trained: those without it can."""
        config = self.config
        for method in config.methods:
            plan = config.stages(method)
            if not any(stage.flows for stage in plan) or has_failed(self.results, method):
                continue
            entry = self.results["methods"].setdefault(
                method, method_entry(plan, config.iterations, 0)
            )
            stage = next(stage for stage in plan if stage.flows)
            self._fail(Diverged(f"{method}: {error}", stage.name), self._path(method, 0), entry)

    def _teacher(self):
        """The teacher: given, trained before, or trained now; None if its training failed."""
        config, dataset, known = self.config, self.dataset, self.results["teacher"]
        path = self._path("teacher", 0)
        if known is not None:
            return None if known["failed"] else load_network(path)
        teacher, records = self.given, []
        checkpoints = self._checkpoints(path)
        depth = weighted_layers(teacher) if teacher else config.teacher_depth
        entry = teacher_entry(depth, config.teacher)
        self.remaining.teacher_depth = depth
        if teacher is None:
            teacher = build(config.teacher_depth, config, dataset, seed=config.seed)
            self.remaining.later = self._stages_of(self._missing())
            try:
                records = run_stages(
                    (TEACHER,),
                    teacher,
                    None,
                    dataset,
                    config,
                    seed=config.seed,
                    checkpoints=checkpoints,
                    title=f"teacher, {config.teacher_depth} layers",
                    remaining=self.remaining,
                    logs=self._logs(path),
                )
            except Diverged as error:
                self.results["teacher"] = entry
                self._fail(error, path, entry)
                return None
        entry["weights"] = self._save(path, teacher, records)
        add_work(entry, records)
        self.results["teacher"] = {
            **entry,
            **(_accuracies(teacher, dataset) if classifies(teacher, dataset) else {}),
            "parameters": teacher.count_params(),
            "final_loss": records[-1].final_loss if records else None,
        }
        self._record()
        checkpoints.clear()
        if classifies(teacher, dataset):
            print(f"teacher: {self.results['teacher']['accuracy']:.2%} of the test images")
        else:
            print(
                f"teacher: {teacher.output_shape[-1]} classes, where {dataset.name} has "
                f"{dataset.num_classes}: it teaches by its flows alone"
            )
        return teacher

    def _flow_weights(self, teacher):
        """λ of every dense flow: the same for every net and stage of a run."""
        config, known = self.config, self.results["flow_weights"]
        flows = config.flows
        if not _transfers(config, config.methods):
            return None
        if known is not None:
            return {flow: known[flow_name(flow)] for flow in flows}
        weights = flow_weights(config, teacher, self.dataset)
        self.results["flow_weights"] = {flow_name(flow): λ for flow, λ in weights.items()}
        self._record()
        return weights

    def _kept_targets(self, teacher):
        """The targets of all dense flows, if they are to be kept and a net still needs them."""
        config = self.config
        waiting = {method for method, _ in self._missing()}
        if not (config.target_views and _transfers(config, waiting)):
            return None
        if not self.writes:
            all_agree(self.strategy)  # The chief writes them, the others find them.
        kept = keep_targets(
            teacher,
            config.flows,
            self.dataset,
            config.target_views,
            config.seed,
            self._targets_path,
            config.batch_size,
            write=self.writes,
            points=config.points[0],
        )
        if self.writes:
            all_agree(self.strategy)
        return kept

    def _train_net(self, method, net, guidance):
        config, dataset = self.config, self.dataset
        plan, path, depth = config.stages(method), self._path(method, net), config.depth(method)
        seed = net_seed(config, method, net)
        student = new_student(config, dataset, method, seed)
        title = f"{method}, net {net + 1} of {config.nets}"
        entry = self.results["methods"].setdefault(
            method, method_entry(plan, config.iterations, student.count_params())
        )
        if method == TEACHERS and net == 0:
            self._add_first_teacher(entry)
            return
        checkpoints = self._checkpoints(path)
        self.remaining.depth = depth
        self.remaining.later = self._stages_of(self._missing()[1:])
        options = {"title": title, "shown": dataset.test_images[SHOWN] if net == 0 else None}
        try:
            taught = plan[0].start or any(stage.objective != "task" for stage in plan)
            if guidance["teacher"] is None and taught:
                raise Diverged(f"{title}: its teacher has failed", plan[0].name)
            if plan[0].start == "teacher":
                _copy_weights(load_network(self._path("teacher", 0)), student)
            shared = self._shared_stages(method, student, entry, guidance)
            records = run_stages(
                plan,
                student,
                dataset=dataset,
                config=config,
                seed=seed,
                checkpoints=checkpoints,
                remaining=self.remaining,
                logs=self._logs(path),
                done=shared,
                **options,
                **guidance,
            )
        except Diverged as error:
            self._fail(error, path, entry, net)
            return
        weights = self._save(path, student, records)
        add_net(entry, _accuracies(student, dataset), records, weights, len(shared))
        self._record()
        checkpoints.clear()
        print(f"{title}: {entry['accuracies'][-1]:.2%} of the test images")

    def _shared_stages(self, method, student, entry, guidance):
        """The records of the stages that all nets of a method share; `student` gets their weights.

        They are trained once, as those of a method's first net are.
        """
        config, dataset = self.config, self.dataset
        plan = tuple(stage for stage in config.stages(method) if stage.shared)
        if not plan:
            return []
        path, seed = self._path(method, SHARED), net_seed(config, method, 0)
        if not entry.get("shared"):
            first = new_student(config, dataset, method, seed)
            checkpoints = self._checkpoints(path)
            records = run_stages(
                plan,
                first,
                dataset=dataset,
                config=config,
                seed=seed,
                checkpoints=checkpoints,
                title=f"{method}, for all nets",
                shown=dataset.test_images[SHOWN],
                remaining=self.remaining,
                logs=self._logs(path),
                **guidance,
            )
            if self.writes:
                write_json(path.with_name(_RECORDS), list(map(dataclasses.asdict, records)))
            entry["shared"] = self._save(path, first, records) or True
            add_work(entry, records)
            self._record()
            checkpoints.clear()
            student.set_weights(first.get_weights())
            return records
        student.set_weights(load_network(path).get_weights())
        try:
            return [StageRecord(**record) for record in read_json(path.with_name(_RECORDS))]
        except (OSError, ValueError, TypeError):
            raise UserError(
                f"{path.with_name(_RECORDS)} is gone or damaged: remove {path.parent.parent} and "
                f"its part of {RESULTS} to train {method} anew"
            ) from None

    def _add_first_teacher(self, entry):
        """The first net of the teachers is the one that teaches: it is not trained twice."""
        teacher = self.results["teacher"]
        if teacher["failed"]:
            entry["failed"] = teacher["failed"]
        else:
            found = {name: value for name, value in teacher.items() if name.endswith("accuracy")}
            loss = {"loss": teacher["final_loss"]}
            record = StageRecord("teacher", teacher["iterations"], teacher["seconds"], (loss,))
            add_net(entry, found, [record], teacher["weights"])
        self._record()

    def _stages_of(self, nets):
        """(stage, iterations, depth) of all stages of `nets`, (method, net)."""
        config, stages = self.config, []
        for method, net in nets:
            if not (method == TEACHERS and net == 0):
                plan = config.stages(method)
                steps = stage_steps(plan, config.iterations)
                stages += [
                    (stage, number, config.depth(method))
                    for stage, number in zip(plan, steps)
                    if not (stage.shared and net)  # They are the first net's.
                ]
        return stages

    def _ensemble(self, method):
        """Accuracy of a method's nets together."""
        dataset, nets = self.dataset, nets_done(self.results, method)
        if nets == 1:
            return self.results["methods"][method]["mean"]
        students = [load_network(self._path(method, net)) for net in range(nets)]
        outputs = [probabilities(student, dataset.test_images) for student in students]
        return ensemble_accuracy(outputs, dataset.test_labels)


def _copy_weights(network, student):
    if [v.shape for v in network.variables] != [v.shape for v in student.variables]:
        raise UserError(
            f"the student '{student.name}' is to begin with the weights of the teacher "
            f"'{network.name}', and has others: expected the same network"
        )
    student.set_weights(network.get_weights())


def _accuracies(network, dataset):
    """Shares of images that are classified rightly, those of the test set read only here."""
    found = {"accuracy": accuracy(network, dataset.test_images, dataset.test_labels)}
    if dataset.validation_images is not None:
        images, labels = dataset.validation_images, dataset.validation_labels
        found["validation_accuracy"] = accuracy(network, images, labels)
    return found


def _transfers(config, methods):
    """Whether any of `methods` has a transfer stage."""
    return any(stage.flows for method in methods for stage in config.stages(method))
