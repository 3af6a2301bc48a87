"""The teacher of an experiment or a search, given or trained, and what it teaches by."""

import functools

from skt_tf.experiments.nets import first_student
from skt_tf.methods.catalogue import TEACHER, transfers
from skt_tf.methods.flow_weights import note_flow_weights
from skt_tf.models.building import build
from skt_tf.models.checks import check_images, classifies
from skt_tf.models.evaluation import accuracies
from skt_tf.models.resnet import weighted_layers
from skt_tf.models.saving import load_network
from skt_tf.reports.results import add_work, has_failed, method_entry, teacher_entry
from skt_tf.training.kept_targets import check_room, keep_targets
from skt_tf.training.pair_checks import say_teacher
from skt_tf.training.stage_loop import run_stages
from skt_tf.utils.distribution import total_over_workers
from skt_tf.utils.errors import Diverged, UnfitTeacher, UserError, about, warn


def load_teacher(config, dataset):
    """The network of --teacher.

    Raises:
        ValueError: it does not fit to the images.
    """
    teacher = load_network(config.teacher)
    check_images(teacher, dataset, f"--teacher={config.teacher}")
    if len(teacher.output_shape) != 2:
        raise UserError(
            f"--teacher={config.teacher} has outputs of shape {teacher.output_shape[1:]}: expected "
            "logits, one number for each class"
        )
    layers, alike = weighted_layers(teacher), config.experiment == "fast_optimization"
    if alike and not (config.student or config.student_network) and layers != config.teacher_depth:
        warn(
            f"--teacher={config.teacher} has {layers} layers with weights, and students that are "
            f"built here have {config.teacher_depth}: give --teacher_depth, which is theirs too"
        )
    return teacher


def train_teacher(config, dataset, checkpoints, **options):
    """A teacher that is trained now, or goes on from its checkpoints.

    Args:
        config: a `Config`.
        dataset: a `Dataset`.
        checkpoints: the teacher's `Checkpoints`.
        **options: of `run_stages`.

    Returns:
        The teacher and its `StageRecord`s.

    Raises:
        Diverged: its loss is no longer a finite number.
    """
    teacher = build(config, "teacher", dataset, config.seed)
    records = run_stages(
        (TEACHER,),
        teacher,
        None,
        dataset,
        config,
        seed=config.seed,
        checkpoints=checkpoints,
        title=f"teacher, {config.teacher_network or f'{config.teacher_depth} layers'}",
        **options,
    )
    return teacher, records


def say_accuracy(accuracy, dataset, given):
    """Says how many of the images that are watched a teacher, `given` or trained, has right."""
    where = dataset.watched_name
    say_teacher(accuracy, dataset.watched[1], dataset.num_classes, where, given=given)


def teacher_of(run, dataset, given, remaining):
    """The teacher of a run: given, trained before, or trained now; None if its training failed.

    Args:
        run: the `RunFolder`.
        dataset: the `Dataset`.
        given: the network of --teacher, or None.
        remaining: the experiment's `Remaining`.
    """
    config, known, path = run.config, run.results["teacher"], run.path("teacher", 0)
    if known is not None:
        return None if known["failed"] else load_network(path)
    teacher, records = given, []
    checkpoints = run.checkpoints(path)
    depth = weighted_layers(teacher) if teacher else config.teacher_depth
    entry = teacher_entry(depth, config.teacher)
    remaining.teacher_depth = depth
    if teacher is None:
        try:
            teacher, records = train_teacher(
                config, dataset, checkpoints, remaining=remaining, logs=run.logs(path)
            )
        except Diverged as error:
            run.results["teacher"] = entry
            run.fail(error, path, entry)
            return None
    entry["weights"] = run.save(path, teacher, records)
    add_work(entry, records)
    run.results["teacher"] = {
        **entry,
        **(accuracies(teacher, dataset) if classifies(teacher, dataset) else {}),
        "parameters": teacher.count_params(),
        "final_loss": records[-1].final_loss if records else None,
    }
    run.record()
    checkpoints.clear()
    if classifies(teacher, dataset):
        found = run.results["teacher"]
        accuracy = found.get("validation_accuracy", found["accuracy"])
        say_accuracy(accuracy, dataset, given is not None)
    else:
        print(
            f"teacher: {teacher.output_shape[-1]} classes, where {dataset.name} has "
            f"{dataset.num_classes}: it teaches by its flows alone"
        )
    return teacher


def flow_weights_of(run, teacher, dataset):
    """λ of every flow of a run, as `note_flow_weights` measures them."""
    if not run.config.transfers(run.config.methods):
        return None
    config = run.config
    student = functools.partial(first_student, config, dataset)  # Made where it is needed.
    weights = note_flow_weights(run.results, config, teacher, dataset, student)
    run.record()
    return weights


def check_room_for_targets(run, teacher, dataset):
    """Raises a ValueError where targets are to be kept, and there is no room for them."""
    config = run.config
    if _keeps_targets(run):
        views, points = config.target_views, config.points[0]
        with about(f"--target_views={views} cannot be kept"):
            check_room(teacher(), config.flows, dataset, views, run.targets, points)


def kept_targets_of(run, teacher, dataset, strategy):
    """The targets of all flows, if they are to be kept and a net still needs them."""
    config = run.config
    if not _keeps_targets(run):
        return None

    def keep():
        return keep_targets(
            teacher,
            config.flows,
            dataset,
            config.target_views,
            config.seed,
            run.targets,
            config.batch_size,
            write=run.writes,
            points=config.points[0],
        )

    kept = unfit = None
    if run.writes:
        try:
            kept = keep()
        except UnfitTeacher as error:
            unfit = error
    # The chief has written them now, or cannot; the others find them.
    if total_over_workers(strategy, int(unfit is not None)):
        raise unfit or UnfitTeacher("the chief cannot keep the teacher's targets")
    return kept or keep()


def _keeps_targets(run):
    waiting = {method for method, _ in run.missing()}
    return run.config.target_views and run.config.transfers(waiting)


def fail_transfers(run, error):
    """Notes that the methods with transfer cannot be trained: those without it can."""
    config = run.config
    for method in config.methods:
        plan = config.stages(method)
        stages = transfers(plan)
        if not stages or has_failed(run.results, method):
            continue
        entry = run.results["methods"].setdefault(method, method_entry(plan, config.iterations, 0))
        run.fail(Diverged(f"{method}: {error}", stages[0].name), run.path(method, 0), entry)
