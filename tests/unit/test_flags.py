"""Flags as people give them: flagfiles of all editors, and flags that a job does not read."""

import pytest
from absl import flags
from parsing import parse
from sentences import refused

from skt_tf.flags import define_flags, from_flags, without_effect
from skt_tf.utils.errors import UserError


@pytest.mark.parametrize(
    ("given", "unused"),
    [(("--job=experiment", "--nets=2", "--trials=4"), ["--trials"]),
     (("--job=tune", "--nets=1", "--trials=4", "--tensorboard"), ["--nets", "--tensorboard"]),
     (("--job=verify", "--output_dir=run", "--data_dir=d", "--methods=kd"), ["--methods"]),
     (("--job=report", "--output_dir=run", "--dataset=digits"), ["--dataset"]),
     (("--job=export", "--student=s.keras", "--dataset=digits"), ["--dataset"]),
     (("--job=export", "--student=s.keras", "--export=litert", "--dataset=digits"), []),
     (("--job=benchmark", "--width=4", "--task_steps=9"), ["--task_steps"])],
)  # fmt: skip
def test_flags_without_effect_in_a_job_are_named(given, unused):
    values = flags.FlagValues()
    define_flags(values)
    values(["skt_tf", *given])
    assert without_effect(from_flags(values), values) == unused


def test_a_flagfile_may_be_written_as_editors_and_people_do(tmp_path, monkeypatch):
    from skt_tf.main import _parse

    text = "\ufeff# A comment.\n--dataset = digits\n  # Another.\n--width 4\n--data_dir=a -- b =c\n"
    text += "--nets= 3\n"
    (tmp_path / "inner.flags").write_text(text, encoding="utf-8")
    outer = f"\ufeff--flagfile={tmp_path}/inner.flags\n"
    (tmp_path / "given.flags").write_text(outer, encoding="utf-8")
    values = flags.FlagValues()
    define_flags(values)
    monkeypatch.setattr(flags, "FLAGS", values)
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    own = "--output_dir = mine"  # Of the command line nothing is changed.
    _parse(["skt_tf", f"--flagfile={tmp_path}/given.flags", "--teacher", own])
    assert (values.dataset, values.width, values.data_dir) == ("digits", 4, "a -- b =c")
    assert values.nets == 3
    assert values.teacher == own


@pytest.mark.parametrize(
    ("given", "meant"),
    [("--methods=baseline,stk", "skt"), ("--methods=kd_lnog", "kd_long"),
     ("--experiment=Minimization", "minimization"), ("--schedule=one_cycle", "onecycle"),
     ("--job=export --export=lite_rt --student=a.keras", "litert"), ("--crop=zebra", None)],
)  # fmt: skip
def test_a_mistyped_choice_is_told_what_it_may_have_been(given, meant):
    hint = rf" \(did you mean {meant}\?\)" if meant else ""
    with refused(rf"(=\w+|method '\w+') is unknown{hint}: expected (one|some) of \w+, "):
        parse(*given.split())


@pytest.mark.parametrize("name", ["batch_size", "temperature", "jit_compile", "seed"])
def test_words_and_switches_are_no_numbers_nor_the_other_way_round(name):
    from skt_tf.training.settings import Settings

    for value in ("1", 7 if name == "jit_compile" else True, None):
        with pytest.raises(UserError, match=f"^{name}={value!r} is n"):
            Settings(**{name: value})


@pytest.mark.parametrize("temperature", [1e4, 1e8])
def test_a_temperature_that_leaves_rounding_alone_is_refused(temperature):
    from skt_tf.training.settings import Settings

    with pytest.raises(UserError, match=r"temperature=.* out of range: .* below 10⁴"):
        Settings(temperature=temperature)
