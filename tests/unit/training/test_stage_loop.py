"""Stages in their order: weights handed on, a fresh optimizer each, exactly so many iterations."""

import dataclasses
import types

import noise
import numpy as np
import pytest
import tensorflow as tf
from noise import BATCH, batches
from reference import same, values

from skt_tf.configuration import Config
from skt_tf.methods.catalogue import METHOD_NAMES, ONE_START, stages
from skt_tf.methods.flow_weights import normalized_flow_weights
from skt_tf.methods.sequences import sequence
from skt_tf.models.points import dense_flows
from skt_tf.training.sequential_distiller import SequentialDistiller
from skt_tf.training.stage_loop import run_stages

TRANSFER_STAGES = {"skt_kd": 2, "skt_bottom_up": 3}
# Between them: every kind of stage, alone, after others and as long as others together.
METHODS = ("teachers", "baseline_long", "kd_long", "hint", "skt_kd", "skt_bottom_up")


@dataclasses.dataclass(frozen=True)
class Fit:
    """One call of `SequentialDistiller.fit`: what it started with and ended with."""

    distiller: SequentialDistiller
    batches: list
    used: list
    start: list
    end: list
    start_iterations: int
    end_iterations: int
    start_momenta: list
    end_momenta: list


def momenta(optimizer):
    return [v.numpy() for v in optimizer.variables if "momentum" in v.path]


@pytest.fixture(scope="module")
def images():
    return noise.images()


@pytest.fixture(scope="module")
def train(images, network):
    """Runs a plan on a fresh student and a fresh teacher and notes every fit."""

    def run(plan, **settings):
        teacher, student = network(1), network(2)
        config = Config(batch_size=BATCH, **settings)
        fits, fit = [], SequentialDistiller.fit
        used, step = [], SequentialDistiller.train_step

        def noted_step(self, data):
            note = tf.py_function(
                lambda *parts: used.append(tuple(part.numpy().tobytes() for part in parts)),
                data,
                [],
            )
            with tf.control_dependencies([] if note is None else [note]):
                return step(self, data)

        def noted(self, data, **options):
            used.clear()
            before = values(self.student), int(self.optimizer.iterations), momenta(self.optimizer)
            result = fit(self, data, **options)
            after = values(self.student), int(self.optimizer.iterations), momenta(self.optimizer)
            pairs = [piece for pair in zip(before, after) for piece in pair]
            fits.append(Fit(self, batches(data), list(used), *pairs))
            return result

        weights = normalized_flow_weights(teacher, dense_flows(), images.train_images)
        initial = values(student)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SequentialDistiller, "fit", noted)
            patch.setattr(SequentialDistiller, "train_step", noted_step)
            records = run_stages(
                plan, student, teacher, images, config, seed=5, flow_weights=weights
            )
        return types.SimpleNamespace(
            records=records,
            fits=fits,
            initial=initial,
            student=student,
        )

    return run


@pytest.fixture(scope="module", params=METHODS)
def two_steps(request, train):
    """(method, what a run of it with two iterations per stage did)."""
    method = request.param
    transfer = 2 * TRANSFER_STAGES.get(method, 1)
    run = train(
        stages(method),
        methods=(method,),
        teacher_steps=2,
        transfer_steps=transfer,
        hint_steps=2,
        task_steps=2,
    )
    return method, run


def of_distiller(run):
    """The fits of each stage, in their order."""
    order = list(dict.fromkeys(id(fit.distiller) for fit in run.fits))
    return [[fit for fit in run.fits if id(fit.distiller) == key] for key in order]


def test_every_kind_of_stage_is_run_here():
    def kinds(methods):
        each = [stage for method in methods for stage in stages(method)]
        return {(stage.objective, stage.soft_weight, *sorted(stage.iterations)) for stage in each}

    assert kinds(METHODS) == kinds(set(METHOD_NAMES) - set(ONE_START))


def test_two_iterations_per_stage_are_enough(two_steps):
    method, run = two_steps
    expected = [(stage.name, 2) for stage in stages(method)]
    if method.endswith("_long"):
        expected = [("task", 4)]
    assert [(record.name, record.steps) for record in run.records] == expected
    for record in run.records:
        assert [row["step"] for row in record.rows] == list(range(1, record.steps + 1))
        assert np.isfinite([row["loss"] for row in record.rows]).all()
        assert record.final_loss == record.rows[-1]["loss"]


def test_every_stage_goes_on_from_the_last_one_s_weights(two_steps):
    _, run = two_steps
    assert same(run.fits[0].start, run.initial)
    for fit, following in zip(run.fits, run.fits[1:]):
        assert same(fit.end, following.start)
    assert same(run.fits[-1].end, values(run.student))
    for fit in run.fits:
        assert not same(fit.start, fit.end)


def test_every_stage_starts_with_a_fresh_optimizer(two_steps):
    method, run = two_steps
    by_stage = of_distiller(run)
    assert len(by_stage) == len(stages(method))
    assert len({id(fits[0].distiller.optimizer) for fits in by_stage}) == len(by_stage)
    for fits, record in zip(by_stage, run.records):
        assert fits[0].start_iterations == 0
        assert fits[-1].end_iterations == record.steps
        assert len(fits[0].start_momenta) == len(fits[0].distiller.trainable_variables)
        assert all((momentum == 0).all() for momentum in fits[0].start_momenta)
        assert any((momentum != 0).any() for momentum in fits[-1].end_momenta)


def test_every_stage_s_rate_starts_anew(two_steps):
    _, run = two_steps
    first = {"transfer": 0.1, "hint": 0.0001, "task": 0.1, "soft_task": 0.1}
    by_stage = of_distiller(run)
    for fits, stage_rows in zip(by_stage, [record.rows for record in run.records]):
        objective = type(fits[0].distiller.objective).__name__
        name = {"SoftTask": "soft_task"}.get(objective, objective.lower())
        assert stage_rows[0]["learning_rate"] == pytest.approx(first[name])


@pytest.fixture(scope="module")
def alone(train):
    """What a run of the baseline with four iterations and one evaluation did."""
    return train(stages("baseline"), methods=("baseline",), task_steps=4, evaluations=1)


def test_the_task_s_batches_are_the_same_in_every_method(two_steps, alone):
    _, run = two_steps
    *earlier, task = of_distiller(run)
    task = [batch for fit in task for batch in fit.batches]
    assert len(alone.fits[0].batches) == 4
    assert task == alone.fits[0].batches[: len(task)]
    for fits in earlier:
        assert fits[0].batches[0] not in task


def test_each_stage_of_a_sequence_sees_batches_of_its_own_and_the_last_those_of_all(train, alone):
    text = "soft>task>task+soft"
    run = train(sequence(text), methods=(text,), transfer_steps=4, task_steps=2)
    first, second, last = (fits[0].batches[:2] for fits in of_distiller(run))
    assert last == alone.fits[0].batches[:2]
    seen = [batch for batches in (first, second, last) for batch in batches]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("method", "steps", "evaluations"), [("fsp", 5, 2), ("baseline", 7, 3), (None, 4, 1)]
)
def test_exactly_the_steps_are_run_whatever_the_evaluations(
    method, steps, evaluations, train, alone
):
    settings = {"transfer_steps": steps, "task_steps": steps, "evaluations": evaluations}
    run = train(stages(method), methods=(method,), **settings) if method else alone
    for fits, record in zip(of_distiller(run), run.records):
        assert fits[-1].end_iterations == record.steps == steps
        assert len(record.rows) <= evaluations
        assert record.rows[-1]["step"] == steps
        logged = [row["step"] for row in record.rows]
        assert logged == sorted(set(logged))
        # A second fit of a stage goes on where the first one's batches ended.
        seen = []
        for fit in fits:
            seen += fit.used
        assert len(seen) == steps
        assert seen == fits[0].batches[:steps]


def test_only_stages_that_train_the_head_are_tested(two_steps):
    method, run = two_steps
    for stage, record in zip(stages(method), run.records):
        tested = [0 <= row.get("test_accuracy", -1) <= 1 for row in record.rows]
        assert tested == [stage.objective in ("task", "soft_task")] * len(record.rows)
