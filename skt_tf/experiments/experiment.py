"""`--job=experiment`: the papers' experiments, a teacher and students by every method.

A run is its folder. results.json is written anew after each trained network; the same command
finds it and goes on with what is missing.
"""

import contextlib
import json
import os
import pathlib

from skt_tf.data.datasets import load_dataset
from skt_tf.experiments.chosen_networks import named_networks
from skt_tf.experiments.ending import complete, needed
from skt_tf.experiments.nets import Nets, copy_weights, new_student, stages_of
from skt_tf.experiments.run_folder import (
    RunFolder,
    check_networks,
    check_student_file,
    check_teacher,
)
from skt_tf.experiments.teacher import (
    check_room_for_targets,
    fail_transfers,
    flow_weights_of,
    kept_targets_of,
    load_teacher,
    teacher_of,
)
from skt_tf.experiments.time_left import Remaining
from skt_tf.methods.catalogue import is_sequence
from skt_tf.models.architectures import same_channels
from skt_tf.models.batch_norm import fold_batch_norm
from skt_tf.models.building import build
from skt_tf.models.cost import check_memory
from skt_tf.models.saving import load_network
from skt_tf.reports.results import RESULTS, check_data, has_failed
from skt_tf.training.pair_checks import check_devices, check_pair, say_augmentation
from skt_tf.utils import failed_operations
from skt_tf.utils.distribution import (
    all_agree,
    distribution_strategy,
    is_chief,
    wait_for_the_last,
)
from skt_tf.utils.errors import UnfitTeacher, UserError, about
from skt_tf.utils.files import remove_drafts
from skt_tf.utils.locks import FolderLock
from skt_tf.utils.precision import set_policy
from skt_tf.utils.records import refuse_strangers


def run(config):
    """Runs, or goes on with, the experiment that `config` describes.

    Args:
        config: a `skt_tf.configuration.Config`.

    Returns:
        The results, as written to results.json. Where a method or the teacher has a `failed`
        that is not None, its training was stopped at a loss that is not finite.

    Raises:
        ValueError: what the configuration alone could not tell: data, teacher or
            output folder do not fit, in one sentence.
    """
    strategy = distribution_strategy(config.distribution, config.batch_size)
    check_devices(strategy, config)
    networks = named_networks(config) or f"--width={config.width}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(failed_operations.said(config.batch_size, networks, config.output_dir))
        refuse_strangers(pathlib.Path(config.output_dir), RESULTS)
        lock = None
        if is_chief(strategy):
            lock = stack.enter_context(FolderLock(config.output_dir))
        else:
            silence = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
        stack.enter_context(failed_operations.by_workers(strategy))
        with strategy.scope():
            experiment = _Experiment(config, strategy, lock)
            experiment.train()
        # Out of the scope, in which every new variable waits for all workers to make it.
        if is_chief(strategy):
            complete(experiment.run, experiment.dataset)
        wait_for_the_last(strategy)
    return experiment.run.results


class _Experiment:
    """One run: first all checks, then what is missing, in order."""

    def __init__(self, config, strategy, lock):
        self.config, self.strategy, self.lock = config, strategy, lock
        self.remaining = Remaining(config.teacher_depth)
        self.run = run = RunFolder(config, is_chief(strategy))
        known = [run.results[name] for name in ("config", "teacher", "flow_weights", "methods")]
        known += [config.methods, config.nets]
        if not all_agree(strategy, json.dumps(known, sort_keys=True)):
            raise UserError(
                "the workers differ in their flags, or in what they see in --output_dir: expected "
                "the same flags and one folder for all"
            )
        set_policy(config.precision)
        self.dataset = load_dataset(*config.images)
        check_data(run.results, self.dataset)
        check_student_file(run.results, config.student)
        if known_teacher := run.results["teacher"]:
            copy, weights = run.path("teacher", 0), known_teacher.get("weights")
            check_teacher(config.teacher, known_teacher["source"], copy, weights)
        check_networks(run.results, run.folder, needed(run))
        known = run.results.get("data") or self.dataset.digest
        run.results |= {"data": known, "test_name": self.dataset.test_name}
        # What the configuration leaves out, since another place may have the same.
        if config.import_modules:
            run.results["import_modules"] = list(config.import_modules)
        if config.data_dir:
            run.results["data_dir"] = config.data_dir
        if config.validation:
            self.dataset = self.dataset.hold_out(config.validation)
        check_memory(config, self.dataset.image_shape)
        if run.writes:
            remove_drafts(run.folder)
        self.given = None
        if config.teacher and not run.results["teacher"]:
            self.given = load_teacher(config, self.dataset)
        # Networks that are built here fit to each other, but for their channels, in every method.
        if not same_channels(config) or any(map(is_sequence, config.methods)):
            self._check_networks()
        # By all workers: a network of the strategy is made by all or by none.
        check_room_for_targets(run, self._some_teacher, self.dataset)

    def _some_teacher(self):
        """A network of the teacher's layers."""
        return self.given or build(self.config, "teacher", self.dataset, seed=0)

    def _check_networks(self):
        """Whether the networks fit together, before hours of training."""
        config, run = self.config, self.run
        flags = "teacher", "teacher_network", "student", "student_network"
        given = {name: getattr(config, name) for name in flags}
        names = " and ".join(f"--{name}={value}" for name, value in given.items() if value)
        new = [method for method in config.methods if method not in run.results["methods"]]
        if not new:
            return
        if run.results["teacher"] and not run.results["teacher"]["failed"]:
            teacher = load_network(run.path("teacher", 0))
        else:
            teacher = self._some_teacher()
        for method in new:
            student = new_student(config, self.dataset, method, 0, teacher)
            with about(f"{names or 'the networks'} cannot be used for {method}"):
                images, number = self.dataset.train_images, self.dataset.number
                check_pair(teacher, student, config, images, number, methods=(method,))
                if config.stages(method)[0].start == "teacher":
                    copy_weights(teacher, student)
        say_augmentation(student, config)

    def train(self):
        """Trains the teacher and all nets that are missing."""
        run, dataset = self.run, self.dataset
        run.prepare(self.lock)
        run.record()
        guidance = dict.fromkeys(("teacher", "flow_weights", "kept"))
        if run.missing() or not run.results["teacher"]:
            self.remaining.later = stages_of(run.missing(), self.config)
            teacher = teacher_of(run, dataset, self.given, self.remaining)
            if teacher is not None:
                guidance |= self._guidance(teacher)
        nets = Nets(run, dataset, self.remaining, guidance)
        for method, net in run.missing():
            if not has_failed(run.results, method):
                nets.train(method, net)

    def _guidance(self, teacher):
        """What the stages take of the teacher."""
        run, dataset = self.run, self.dataset
        frozen = fold_batch_norm(teacher, self.config.teacher_precision)
        found = {"teacher": frozen}
        try:
            found["flow_weights"] = flow_weights_of(run, teacher, dataset)
            found["kept"] = kept_targets_of(run, frozen, dataset, self.strategy)
        except UnfitTeacher as error:
            fail_transfers(run, error)
        return found
