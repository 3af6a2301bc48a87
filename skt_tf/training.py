"""Runs a method's stages in their order, each from the last one's weights."""

import sys

import keras
import numpy as np
import tensorflow as tf

from skt_tf.batches import EVALUATION_BATCH
from skt_tf.distiller import SequentialDistiller
from skt_tf.distribution import all_agree
from skt_tf.errors import UserError
from skt_tf.guard import Guard, OneTraining, student_variables
from skt_tf.methods import stage_steps
from skt_tf.pictures import matrices
from skt_tf.progress import Progress
from skt_tf.projections import bridge
from skt_tf.remaining import duration
from skt_tf.schedules import learning_rate
from skt_tf.stopping import steps_in_peace


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
        dataset: a `skt_tf.datasets.Dataset`, or a `skt_tf.streams.Stream`.
        config: the run's `Config`.
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
    progress = checkpoints.newest() if checkpoints else Progress()
    resumes = progress.iterations > 0
    if not resumes:
        progress.records += done
    if not all_agree(tf.distribute.get_strategy(), str(progress.iterations)):
        raise UserError(
            f"the workers see different checkpoints in {checkpoints.folder}: expected one folder "
            "for all"
        )
    steps = stage_steps(plan, config.iterations)
    points, projections = config.points, {}
    if config.project:
        # Of all stages, since each goes on training the last one's.
        flows = tuple(flow for stage in plan for flow in stage.flows)
        projections = bridge(teacher, student, flows, points) if flows else {}
    if resumes and not progress.step:
        checkpoints.restore(student_variables(student, projections))
    for number in range(len(progress.records), len(plan)):
        stage, length = plan[number], steps[number]
        if verbose:
            print(
                f"\n{title}, stage {number + 1} of {len(plan)}: {stage.name}, {length} iterations"
            )
        if progress.step and verbose:
            print(f"going on after iteration {progress.step}")
        distiller = SequentialDistiller(
            teacher,
            student,
            stage,
            flow_weights=flow_weights,
            temperature=config.temperature,
            hint_reduction=config.hint_reduction,
            weight_decay=config.weight_decay,
            transfer_batch_norm=config.transfer_batch_norm,
            steps=length,
            teacher_points=points[0],
            student_points=points[1],
            project=projections,
        )
        rate = learning_rate(
            config.schedule,
            stage.objective,
            config.rate(stage.objective),
            length,
            config.boundaries(stage),
        )
        distiller.compile(keras.optimizers.SGD(rate, momentum=0.9), jit_compile=config.jit_compile)
        guard = Guard(
            progress,
            length,
            -(-length // config.evaluations),
            rate,
            config.rate_flag(stage.objective),
            f"{dataset.part}_accuracy",
            checkpoints,
            title,
        )
        # The task's batches are the same in every method, whatever stages came before:
        # nets of one seed are pairs.
        stream = 0 if distiller.objective.has_logits else 1 + number
        views = {"kept": kept, "flows": stage.flows} if kept and stage.flows else {}
        with steps_in_peace():
            watching = keras.tree.flatten(callbacks or ())  # As `fit`: one, several, or None.
            if logs:
                folder = str(logs / f"{number + 1}_{stage.name}")
                watching.append(keras.callbacks.TensorBoard(folder, write_graph=False))
            _fit(distiller, guard, watching, dataset, config, seed, verbose, stream=stream, **views)
            if shown is not None and stage.flows:
                guard.matrices = matrices(student, config.flows, shown, points[1])
            guard.finish()
        if remaining:
            _say_what_remains(remaining, title, plan, steps, progress.records)
    return progress.records


def _say_what_remains(remaining, title, plan, steps, records):
    number = len(records)
    stage, done = plan[number - 1], records[-1]
    remaining.add(stage, done.steps, done.seconds)
    left = remaining.seconds(zip(plan[number:], steps[number:]))
    rest = (
        f"about {duration(left)} left of the experiment" if left else "the last of the experiment"
    )
    print(
        f"{title}: {stage.name} is done, {done.steps:,} iterations in {duration(done.seconds)}; "
        + rest,
        flush=True,
    )


def _fit(distiller, guard, callbacks, dataset, config, seed, verbose, **views):
    """Fits until all steps are done; each of Keras' epochs is an interval of the log."""
    watched = None
    # Without the head's training, accuracy would say nothing.
    if distiller.objective.has_logits:
        watched = dataset.watched_batches()
    progress, steps, interval = guard.progress, guard.steps, guard.interval
    training = [OneTraining(callbacks)] if callbacks else []
    while progress.step < steps:
        # Keras wants epochs of one length: the rest of an interval that was begun before, and
        # a shorter last one, are fits of their own, with the same optimizer and batches.
        length = min(interval - progress.step % interval, steps - progress.step)
        first = progress.step // interval
        number = (steps - progress.step) // interval if length == interval else 1
        distiller.fit(
            dataset.training_batches(config.batch_size, seed, steps, start=progress.step, **views),
            initial_epoch=first,
            epochs=first + number,
            steps_per_epoch=length,
            shuffle=False,
            callbacks=[guard, *training],
            verbose=verbose,
            validation_data=watched,
        )
        if distiller.stop_training:
            break
    for callback in training:
        callback.finish()


def probabilities(network, images):
    """Softmax outputs of `network` for images: [number, classes], float32, NumPy."""

    outputs = _softmax(network)
    batches = np.split(images, range(EVALUATION_BATCH, len(images), EVALUATION_BATCH))
    return np.concatenate([outputs(batch) for batch in batches])


def _softmax(network):
    # A graph, since outside of one Keras holds the maps of all layers until the last is done.
    # And not that of `predict`, whose copies of the images would take as much again.
    @tf.function(autograph=False, reduce_retracing=True)
    def outputs(batch):
        return tf.nn.softmax(tf.cast(network(batch, training=False), tf.float32))

    return outputs


def accuracy_over(network, batches):
    """The share of images whose most probable class is their label.

    Args:
        network: a `keras.Model`.
        batches: an iterable of (images, labels).
    """
    outputs, hits, number = _softmax(network), 0, 0
    for images, labels in batches:
        hits += int(np.sum(np.argmax(outputs(images), axis=1) == np.ravel(labels)))
        number += len(images)
    return hits / number


def accuracy(network, images, labels):
    """The share of images whose most probable class is their label."""
    return ensemble_accuracy([probabilities(network, images)], labels)


def ensemble_accuracy(outputs, labels):
    """The share of images whose most probable class is their label, by several nets together.

    Args:
        outputs: softmax outputs of each net, [number, classes] each; their mean decides.
        labels: integers [number].
    """
    return float(np.mean(np.mean(outputs, axis=0).argmax(1) == labels))
