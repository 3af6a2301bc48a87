"""What moves the student: SGD, AdamW, or an optimizer of one's own, in each stage anew."""

import json

import keras
import numpy as np
import pytest
from chains import NAMES, SHORT, chain, examples, taught
from parsing import parse
from sentences import refused

import skt_tf
from skt_tf.training.optimizers import as_setting, loss_decay, stage_optimizer
from skt_tf.training.settings import Settings

OPTIMIZERS = keras.optimizers


def begun(optimizer, **settings):
    """An optimizer of the first stage of `fsp`, and a variable `kernel` that it has moved once."""
    config = Settings(methods=("fsp",), optimizer=optimizer, **settings)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.01, 0.001])
    made = stage_optimizer(config, rate)
    variables = [keras.Variable([2.0], name=name) for name in ("kernel", "gamma", "bias")]
    made.build(variables)
    made.apply([np.array([0.5], np.float32)] * 3, variables)
    return config, made, [float(variable[0]) for variable in variables]


def test_adamw_decays_kernels_alone_and_by_itself():
    config, made, (kernel, *others) = begun("adamw", weight_decay=0.1)
    assert type(made) is OPTIMIZERS.AdamW
    # The first step of Adam is the rate, whatever the gradient; decay is apart from it.
    assert kernel == pytest.approx(2 - 0.01 * 0.1 * 2 - 0.01, rel=1e-5)
    assert others == pytest.approx([2 - 0.01] * 2, rel=1e-5)
    assert loss_decay(config) == 0
    config, made, moved = begun("sgd", weight_decay=0.1)
    assert moved == pytest.approx([2 - 0.01 * 0.5] * 3)
    assert (loss_decay(config), made.momentum, made.nesterov) == (0.1, 0.9, False)
    _, made, moved = begun("sgd", nesterov=True)
    assert made.nesterov
    assert moved == pytest.approx([2 - 0.01 * (1 + 0.9) * 0.5] * 3)


def test_one_of_ones_own_is_made_anew_with_the_stage_s_rate():
    given = OPTIMIZERS.RMSprop(0.003, rho=0.5, clipnorm=1.0)
    config, made, _ = begun(as_setting(given))
    assert type(made) is OPTIMIZERS.RMSprop
    assert (made.rho, made.clipnorm) == (0.5, 1.0)
    assert float(made.learning_rate) == pytest.approx(0.01)
    rates = [config.rate(objective) for objective in ("task", "transfer", "hint", "soft_task")]
    assert rates == [0.003] * 4
    assert config.weight_decay == 0.0
    assert Settings(optimizer=as_setting(given), transfer_learning_rate=0.5).rate("transfer") == 0.5


@pytest.mark.parametrize(
    ("optimizer", "rates", "decay"),
    [("sgd", (0.1, 0.1, 0.0001), 0.0001), ("adamw", (0.001, 0.001, 0.0001), 0.004)],
)
def test_rates_that_are_not_given_are_the_optimizers(optimizer, rates, decay):
    config = parse(f"--optimizer={optimizer}")
    assert tuple(config.rate(o) for o in ("task", "transfer", "hint")) == rates
    assert config.weight_decay == decay
    assert parse("--flow_weights=equal").rate("transfer") == 0.001
    older = config.as_dict()
    if optimizer == "sgd":
        del older["optimizer"]  # Of a version that knew no other.
    assert config.differing(older) == {}
    assert "optimizer" in parse().differing(parse("--optimizer=adamw").as_dict())


def test_every_stage_begins_with_a_new_optimizer_and_the_record_says_which(tmp_path):
    seen, given = [], OPTIMIZERS.Adam(0.002)
    note = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(note.model.optimizer)
    )
    skt_tf.distill(
        taught(), chain(), examples(), method="fsp", optimizer=given, callbacks=note, verbose=0,
        output_dir=tmp_path, teacher_points=NAMES, student_points=NAMES, **SHORT,
    )  # fmt: skip
    assert {type(one) for one in seen} == {OPTIMIZERS.Adam}
    assert len({id(one) for one in (given, *seen)}) == 3
    assert not given.built
    record = json.loads((tmp_path / "distill.json").read_text())
    assert json.loads(record["settings"]["optimizer"])["class_name"] == "Adam"
    assert record["used"]["learning_rates"] == {"transfer": 0.002, "task": 0.002}


class Own(OPTIMIZERS.SGD):
    def get_config(self):
        raise NotImplementedError("not written")


def excluding():
    optimizer = OPTIMIZERS.AdamW(0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


class Unregistered(OPTIMIZERS.SGD):
    pass


def test_the_same_optimizer_made_again_is_the_same_setting():
    one, other = (as_setting(OPTIMIZERS.Adam(0.002)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (OPTIMIZERS.SGD(OPTIMIZERS.schedules.CosineDecay(0.1, 5)), "SGD has a schedule of its own"),
        (OPTIMIZERS.SGD(0.1, use_ema=True), "averages weights over one fit"),
        (OPTIMIZERS.LossScaleOptimizer(OPTIMIZERS.SGD(0.1)), "give the one within"),
        (Own(0.1), "Own cannot be made anew .*write it a get_config"),
        ("adam", r"optimizer=adam is unknown \(did you mean adamw\?\): expected sgd or adamw, or"),
        (excluding(), "AdamW excludes variables from its weight decay"),
        (3, "optimizer=3 is unknown: expected sgd or adamw, or in Python one that is made"),
        (OPTIMIZERS.SGD, "optimizer=<class.* is unknown: expected"),
        (OPTIMIZERS.SGD(0.0), "the optimizer SGD has learning_rate=0"),
        (Unregistered(0.1), "Unregistered cannot be made anew .* register its class"),
        (OPTIMIZERS.SGD(0.1, gradient_accumulation_steps=10**6), "gradient_accumulation_steps=10"),
        ('{"config": {"learning_rate": 1}}', "is unknown: expected sgd or adamw"),
    ],
)
def test_an_optimizer_that_no_stage_can_use_is_refused(given, says):
    with refused(says):
        skt_tf.distill(None, chain(), examples(), method="baseline", optimizer=given)
