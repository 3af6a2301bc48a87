"""Flags as people give them: flagfiles of all editors, and flags that a job does not read."""

import pytest
from absl import flags
from parsing import parse
from sentences import refused

from skt_tf.flags import define_flags, from_flags, without_effect
from skt_tf.utils.errors import UserError


@pytest.mark.parametrize(
    ("given", "unused"),
    [(("--job=experiment", "--nets=2", "--trials=4"), ["--trials: without effect in --job="]),
     (("--job=tune", "--nets=1", "--trials=4", "--tensorboard"), ["--nets, --tensorboard: "]),
     (("--job=verify", "--output_dir=run", "--data_dir=d", "--methods=kd"), ["--methods: without"]),
     (("--job=report", "--output_dir=run", "--dataset=digits"), ["--dataset: without effect in"]),
     (("--job=export", "--student=s.keras", "--dataset=digits"), ["--dataset: without effect in"]),
     (("--job=export", "--student=s.keras", "--export=litert", "--dataset=digits"), []),
     (("--job=benchmark", "--width=4", "--task_steps=9"), ["--task_steps: without effect in"]),
     (("--student=s.keras", "--student_depth=14", "--width=4"), ["--student_depth: without"]),
     (("--teacher=s.keras", "--teacher_steps=9", "--width=4"), ["--teacher_steps: without effect"]),
     (("--student=s.keras", "--teacher=s.keras", "--width=4", "--teacher_depth=8", "--trials=3"),
      ["--trials: without effect in", "--teacher_depth, --width: without effect beside networks"]),
     (("--job=export", "--student=s.keras", "--student_depth=14"), ["--student_depth: without"]),
     # The students that are built are as deep.
     (("--experiment=fast_optimization", "--teacher=t.keras", "--teacher_depth=8"), [])],
)  # fmt: skip
def test_flags_without_effect_are_named(given, unused):
    values = flags.FlagValues()
    define_flags(values)
    values(["skt_tf", *given])
    found = without_effect(from_flags(values), values)
    assert [said[: len(begins)] for said, begins in zip(found, unused, strict=True)] == unused


@pytest.mark.parametrize(
    ("text", "expected"),
    [("fsp, skt", ("fsp", "skt")), ('"fsp, skt"', ("fsp", "skt")), ('"fsp",skt', ("fsp", "skt")),
     ('task+mlkd(terms=("instance","batch"))', ("task+mlkd(terms=('instance', 'batch'))",)),
     ("\"kd, task+mlkd(terms=('instance','batch'))\"",
      ("kd", "task+mlkd(terms=('instance', 'batch'))"))],
)  # fmt: skip
def test_quotes_of_a_sequence_are_its_own(text, expected):
    assert parse(f"--methods={text}").methods == expected


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
