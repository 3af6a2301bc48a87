"""The nets of an experiment: what each begins with, and how one is trained."""

import dataclasses
import pathlib

from skt_tf.methods.catalogue import TEACHERS, needs_teacher, stage_steps
from skt_tf.methods.fsp import SHOWN
from skt_tf.methods.objectives.simkd import with_classifier_of
from skt_tf.models.building import build
from skt_tf.models.checks import check_classes, check_images
from skt_tf.models.evaluation import accuracies
from skt_tf.models.initialization import draw_weights
from skt_tf.models.saving import load_network
from skt_tf.reports.results import SHARED, add_net, add_work, method_entry
from skt_tf.training.history import StageRecord
from skt_tf.training.stage_loop import run_stages
from skt_tf.utils.errors import Diverged, UserError


def net_seed(config, method, net):
    """The seed of a net, which fixes its initial weights, data order and augmentation.

    Net k of every method has the same one, so that nets can be compared in pairs; those of
    teachers lie apart, since a student must not begin where its teacher began.
    """
    return 2**30 + config.seed + net if method == TEACHERS else config.seed + 1 + net


def new_student(config, dataset, method, seed, teacher=None):
    """The network that a net of `method` begins as.

    Built for the images of `dataset`, or that of --student: with its saved weights, or with
    new ones drawn by its own initialisers.

    Args:
        config, dataset, method, seed: of the net.
        teacher: the teacher, or the path of its file, whose classifier a student of `simkd` has.

    Raises:
        ValueError: --student does not fit to the images.
    """
    student = _own_student(config, dataset, method, seed)
    if not any(loss.name == "simkd" for stage in config.stages(method) for loss in stage.losses):
        return student
    if isinstance(teacher, pathlib.Path):
        teacher = load_network(teacher) if teacher.exists() else None
    return with_classifier_of(teacher, student) if teacher else student


def _own_student(config, dataset, method, seed):
    if not config.student or method == TEACHERS:
        return build(config, "teacher" if method == TEACHERS else "student", dataset, seed)
    student = load_network(config.student)
    check_images(student, dataset, f"--student={config.student}")
    check_classes(student, dataset, f"--student={config.student}")
    # With saved weights too, what dropout draws must depend on the seed alone.
    drawn = draw_weights(student, seed)
    if config.student_weights == "saved":
        drawn.set_weights(student.get_weights())
    return drawn


def first_student(config, dataset, method="baseline", teacher=None):
    """The network that the first net of `method` begins as; `teacher` as of `new_student`."""
    return new_student(config, dataset, method, net_seed(config, method, 0), teacher)


def copy_weights(teacher, student):
    """Gives `student` the weights of `teacher`; raises a ValueError if they are other networks."""
    if _layers(teacher) != _layers(student):
        raise UserError(
            f"the student '{student.name}' is to begin with the weights of the teacher "
            f"'{teacher.name}', and has others: expected the same network"
        )
    student.set_weights(teacher.get_weights())


def _layers(network):
    """What two networks of one kind have in common, whatever their layers are called."""
    kinds = [(type(layer).__name__, getattr(layer, "activation", None)) for layer in network.layers]
    return kinds, [variable.shape for variable in network.variables]


class Nets:
    """Trains the nets of a run, one after the other.

    Args:
        run: the `RunFolder`.
        dataset: the `Dataset`.
        remaining: the experiment's `Remaining`.
        guidance: what `run_stages` takes of the teacher: `teacher`, `flow_weights` and `kept`.
    """

    def __init__(self, run, dataset, remaining, guidance):
        self.run, self.dataset, self.remaining, self.guidance = run, dataset, remaining, guidance
        self.config = run.config

    def train(self, method, net):
        """Trains one net, and adds it to the run's results and folder."""
        run, config, dataset = self.run, self.config, self.dataset
        plan, path = config.stages(method), run.path(method, net)
        seed = net_seed(config, method, net)
        student = new_student(config, dataset, method, seed, run.path("teacher", 0))
        title = f"{method}, net {net + 1} of {config.nets}"
        entry = run.results["methods"].setdefault(
            method, method_entry(plan, config.iterations, student.count_params())
        )
        if method == TEACHERS and net == 0:
            self._add_first_teacher(entry)
            return
        self.remaining.depth = config.depth(method)
        self.remaining.later = stages_of(run.missing()[1:], config)
        try:
            if self.guidance["teacher"] is None and needs_teacher(plan):
                raise Diverged(f"{title}: its teacher has failed", plan[0].name)
            if plan[0].start == "teacher":
                copy_weights(load_network(run.path("teacher", 0)), student)
            shared = self._shared_stages(method, student, entry)
            records = self._run(plan, student, seed, path, title, net == 0, done=shared)
        except Diverged as error:
            run.fail(error, path, entry, net)
            return
        weights = run.save(path, student, records)
        add_net(entry, accuracies(student, dataset), records, weights, len(shared))
        run.record()
        run.checkpoints(path).clear()
        print(f"{title}: {entry['accuracies'][-1]:.2%} of the {dataset.test_name} images")

    def _run(self, plan, student, seed, path, title, shown, **options):
        return run_stages(
            plan,
            student,
            dataset=self.dataset,
            config=self.config,
            seed=seed,
            checkpoints=self.run.checkpoints(path),
            title=title,
            shown=self.dataset.test_images[SHOWN] if shown else None,
            remaining=self.remaining,
            logs=self.run.logs(path),
            **self.guidance,
            **options,
        )

    def _shared_stages(self, method, student, entry):
        """The records of the stages that all nets of a method share; `student` gets their weights.

        They are trained once, as those of a method's first net are.
        """
        run = self.run
        plan = tuple(stage for stage in self.config.stages(method) if stage.shared)
        if not plan:
            return []
        path, seed = run.path(method, SHARED), net_seed(self.config, method, 0)
        if entry.get("shared"):
            student.set_weights(load_network(path).get_weights())
            return [StageRecord(**record) for record in entry["shared"]["records"]]
        first = new_student(self.config, self.dataset, method, seed)
        records = self._run(plan, first, seed, path, f"{method}, for all nets", True)
        entry["matrices"] = records[-1].matrices
        records = [dataclasses.replace(record, matrices=None) for record in records]
        entry["shared"] = {
            "weights": run.save(path, first, records),
            "records": [dataclasses.asdict(record) for record in records],
        }
        add_work(entry, records)
        run.record()
        run.checkpoints(path).clear()
        student.set_weights(first.get_weights())
        return records

    def _add_first_teacher(self, entry):
        """The first net of the teachers is the one that teaches: it is not trained twice."""
        teacher = self.run.results["teacher"]
        if teacher["failed"]:
            entry["failed"] = teacher["failed"]
        else:
            found = {name: value for name, value in teacher.items() if name.endswith("accuracy")}
            loss = {"loss": teacher["final_loss"]}
            record = StageRecord("teacher", teacher["iterations"], teacher["seconds"], (loss,))
            add_net(entry, found, [record], teacher["weights"])
        self.run.record()


def stages_of(nets, config):
    """(stage, iterations, depth) of all stages of `nets`, (method, net)."""
    stages = []
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
