"""Runs a method's stages in their order, each from the last one's weights."""

import re
import sys

import keras
import tensorflow as tf

from skt_tf.methods.catalogue import stage_steps
from skt_tf.methods.fsp import matrices
from skt_tf.methods.heads import bridge
from skt_tf.models.batch_norm import synchronized
from skt_tf.training.callbacks import Guard
from skt_tf.training.checkpoints import student_variables
from skt_tf.training.history import Progress
from skt_tf.training.optimizers import loss_decay, stage_optimizer
from skt_tf.training.schedules import learning_rate
from skt_tf.training.sequential_distiller import SequentialDistiller
from skt_tf.training.user_callbacks import SETS_THE_RATE, OneTraining
from skt_tf.utils.distribution import all_agree
from skt_tf.utils.errors import UserError, behind
from skt_tf.utils.signals import steps_in_peace


def run_stages(
    plan,
    student,
    teacher,
    dataset,
    config,
    *,
    seed,
    flow_weights=None,
    kept=None,
    checkpoints=None,
    title="",
    shown=None,
    done=(),
    remaining=None,
    logs=None,
    callbacks=(),
    verbose="auto",
):
    """Trains `student` in place through the stages of `plan`.

    Args:
        plan: tuple of `Stage`s.
        student: the network to train.
        teacher: the frozen teacher, or None where no stage needs one.
        dataset: a `skt_tf.data.datasets.Dataset`, or a `skt_tf.data.user_data.Stream`.
        config: the `Settings` of the training.
        seed: of data order and augmentation.
        flow_weights: {flow: λ} for transfer stages.
        kept: `KeptTargets` for transfer stages, or None to compute them anew.
        checkpoints: the net's `Checkpoints`, to go on from and to save to, or None.
        title: what the lines on the terminal call this net.
        shown: an image [height, width, channels] whose FSP matrices in the student each
            transfer stage records at its end, or None.
        done: `StageRecord`s of stages of `plan` that were trained before; `student` has the
            weights that it had after them.
        remaining: the experiment's `Remaining`, for a line after each stage, or None.
        logs: folder for TensorBoard's logs, one folder a stage, or None.
        callbacks: Keras callbacks, each of which sees every stage as one training. One that
            stops training ends the stage; the next one begins.
        verbose: 0 prints nothing, 1 Keras' progress bar, 2 a line an interval; "auto" is 1 on
            a terminal, else 2.

    Returns:
        One `StageRecord` for each stage.

    Raises:
        Diverged: the loss of a stage is no longer a finite number.
        ValueError: the checkpoints cannot be used, or workers see different ones.
    """
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() else 2
    progress, projections = _begun(plan, student, teacher, config, checkpoints, done)
    steps = stage_steps(plan, config.iterations)
    own = [OneTraining(callbacks, plan)] if callbacks else []
    for number in range(len(progress.records), len(plan)):
        stage, length = plan[number], steps[number]
        if verbose:
            print(
                f"\n{title}, stage {number + 1} of {len(plan)}: {stage.name}, {length} iterations"
            )
        if progress.step and verbose:
            print(f"going on after iteration {progress.step}")
        distiller, rate = _compiled(
            teacher, student, stage, length, config, flow_weights, projections, dataset
        )
        guard = Guard(
            progress,
            length,
            -(-length // config.evaluations),
            rate,
            config.rate_name(stage.kind),
            f"{dataset.part}_accuracy",
            checkpoints,
            title,
        )
        # The last stage's batches are the same in every method, whatever stages came before: nets
        # of one seed are pairs. An earlier one sees others.
        last = number == len(plan) - 1
        stream = 0 if last and distiller.objective.has_logits else 1 + number
        views = dict.fromkeys(getattr(distiller.objective, "beside", ()), True)
        if kept and stage.objective == "transfer":
            views |= {"kept": kept, "flows": stage.flows}
        with steps_in_peace():
            watching = list(own)
            if logs:
                folder = str(logs / f"{number + 1}_{stage.name}")
                board = keras.callbacks.TensorBoard(folder, write_graph=False)
                watching.append(OneTraining([board]))
            _fit(distiller, guard, watching, dataset, config, seed, verbose, stream=stream, **views)
            if shown is not None and stage.flows:
                guard.matrices = matrices(student, config.flows, shown, config.points[1])
            guard.finish()
        if remaining:
            remaining.say(title, plan, steps, progress.records)
    return progress.records


def _begun(plan, student, teacher, config, checkpoints, done):
    """How far the net has come, and the projections of all of its stages."""
    progress = checkpoints.newest() if checkpoints else Progress()
    resumes = progress.iterations > 0
    if not resumes:
        progress.records += done
    if not all_agree(tf.distribute.get_strategy(), str(progress.iterations)):
        raise UserError(
            f"the workers see different checkpoints in {checkpoints.folder}: expected one folder "
            "for all"
        )
    projections = {}
    if config.project:
        # Of all stages, since each goes on training the last one's.
        flows = tuple(flow for stage in plan for flow in stage.flows)
        projections = bridge(teacher, student, flows, config.points) if flows else {}
    if resumes and not progress.step:
        checkpoints.restore(student_variables(student, projections))
    return progress, projections


def _compiled(teacher, student, stage, steps, config, flow_weights, projections, dataset):
    """The distiller of a stage, and its learning-rate schedule."""
    points, kind = config.points, stage.kind
    distiller = SequentialDistiller(
        teacher,
        student,
        stage,
        flow_weights=flow_weights,
        temperature=config.temperature,
        hint_reduction=config.hint_reduction,
        weight_decay=loss_decay(config),
        transfer_batch_norm=config.transfer_batch_norm,
        steps=steps,
        teacher_points=points[0],
        student_points=points[1],
        project=projections,
        number=dataset.number,
    )
    boundaries = config.boundaries(stage)
    rate = learning_rate(config.schedule, kind, config.rate(kind), steps, boundaries)
    optimizer = stage_optimizer(config, rate)
    distiller.compile(optimizer, jit_compile=config.jit_compile)
    return distiller, rate


def _fit(distiller, guard, training, dataset, config, seed, verbose, **views):
    """Fits until all steps are done; each of Keras' epochs is an interval of the log."""
    # Without the head's training, accuracy would say nothing.
    watched = dataset.watched_batches() if distiller.objective.has_logits else None
    progress, steps, interval = guard.progress, guard.steps, guard.interval

    def batches(start):
        return dataset.training_batches(config.batch_size, seed, steps, start=start, **views)

    guard.batches = batches
    for callback in training:
        callback.follow(progress)
    while progress.step < steps:
        # Keras wants epochs of one length: the rest of an interval that was begun before, and
        # a shorter last one, are fits of their own, with the same optimizer and batches.
        length = min(interval - progress.step % interval, steps - progress.step)
        first = progress.step // interval
        number = (steps - progress.step) // interval if length == interval else 1
        try:
            with synchronized(distiller.student):
                distiller.fit(
                    batches(progress.step),
                    initial_epoch=first,
                    epochs=first + number,
                    steps_per_epoch=length,
                    shuffle=False,
                    callbacks=[guard, *training],
                    verbose=verbose,
                    validation_data=watched,
                )
        except (TypeError, AttributeError) as error:
            if not re.search("learning rate is not settable|has no attribute 'assign'", str(error)):
                raise
            raise UserError(f"a callback {SETS_THE_RATE}") from error
        except tf.errors.OpError as error:
            # An image that could not be read, in the words of whoever reads.
            raise behind(error, getattr(dataset, "failure", None)) or error from error
        except KeyError as error:
            if "Failed to format this callback filepath" not in str(error):
                raise
            raise UserError(
                f"a callback names its files by {error.__context__}, which stage "
                f"'{distiller.stage.name}' does not log: leave it out of the name"
            ) from error
        if distiller.stop_training:
            break
        if progress.step < min(steps, (first + number) * interval):
            raise UserError(
                f"{dataset.name} ended after iteration {progress.step} of stage "
                f"'{distiller.stage.name}': expected images that can be gone through again"
            )
    for callback in training:
        callback.finish()
