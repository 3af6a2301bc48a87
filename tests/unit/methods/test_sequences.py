"""Sequences as one writes them: read, refused with the place, and written again."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentences import refused

from skt_tf.methods.catalogue import METHOD_NAMES, spelled, stages
from skt_tf.methods.objective_names import objective_names
from skt_tf.methods.sequences import Sequence, folder_name, sequence
from skt_tf.methods.stage import BUILT_IN, Loss, Stage, stage_steps
from skt_tf.models.points import Layout, dense_flows, disjoint_flows

NAMES = [*BUILT_IN, *objective_names()]


def test_losses_stages_weights_and_shares():
    first, second = sequence(" flows : 0.2 > dkd * 8 + task + soft*2 ")
    assert (first.objective, first.flows) == ("transfer", disjoint_flows())
    assert second.objective == "losses"
    assert second.losses == (Loss("dkd", 8.0), Loss("task"), Loss("soft", 2.0))
    shares = [stage.iterations for stage in (first, second)]
    assert shares == [{k: Fraction(n, 5) for k in ("transfer", "task")} for n in (1, 4)]
    assert [stage.name for stage in (first, second)] == ["flows", "dkd+task+soft"]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("flows>dense>task", ["transfer", "transfer", "task"]),
        ("hint>task+soft", ["hint", "soft_task"]),
        ("task", ["task"]),
        ("task*2", ["losses"]),
        ("flows*2>task", ["losses", "task"]),
        ("task+soft*4", ["soft_task"]),
        ("soft", ["losses"]),
        ("flows+hint", ["losses"]),
    ],
)
def test_what_the_papers_have_is_a_stage_of_theirs(text, kinds):
    assert [stage.objective for stage in sequence(text)] == kinds


def test_the_same_stages_as_the_method_have_the_same_losses():
    own, skt = sequence("flows>dense>task"), stages("skt")
    assert [s.flows for s in own] == [s.flows for s in skt]
    assert sequence("task+soft*4")[0].soft_weight == (4, 4)
    assert sequence("dense>task", overlap="half")[0].flows == dense_flows("half")
    assert sequence("flows>task", section_flows="within")[0].flows[0] == ("f1", "p1")


def test_sums_of_transfer_and_hints_have_the_rate_of_the_first_of_these():
    kinds = [sequence(text)[0].kind for text in ("flows+hint", "hint*2", "flows*2", "hint+at")]
    assert kinds == ["transfer", "hint", "transfer", "task"]


def test_shares_that_are_not_given_are_even():
    shares = [stage.iterations["task"] for stage in sequence("hint>flows:1/2>at>task")]
    assert shares == [Fraction(1, 6), Fraction(1, 2), Fraction(1, 6), Fraction(1, 6)]
    budget = {"transfer": 21, "task": 64, "hint": 7}
    assert stage_steps(sequence("flows:0.2>task"), budget) == [17, 68]
    assert sum(stage_steps(sequence("at>sp>nst>vid>task"), budget)) == 85
    assert stage_steps(sequence("task:0.5"), budget) == [42]


numbers = st.floats(1e-6, 1e8).map(lambda x: float(f"{x:.6g}"))
losses = st.builds(Loss, st.sampled_from(NAMES), st.none() | numbers)


@given(
    st.lists(st.lists(losses, min_size=1, max_size=3), min_size=1, max_size=4),
    st.lists(st.none() | st.fractions(Fraction(1, 100), Fraction(1, 5)), min_size=4, max_size=4),
)
def test_what_is_written_reads_as_what_it_was(plan, shares):
    plan = [list({loss.name: loss for loss in stage}.values()) for stage in plan]
    for stage in plan:
        if {"flows", "dense"} <= {loss.name for loss in stage}:
            stage[:] = [loss for loss in stage if loss.name != "flows"]
    made = sequence(plan, shares[: len(plan)])
    text = str(made)
    assert [list(stage.losses) for stage in made] == plan
    assert sequence(text) == made
    assert str(sequence(text)) == text == spelled(f" {text} ")
    assert "e" not in [sign for sign in text if not sign.isalpha()]
    assert [Stage.from_dict(stage.as_dict()) for stage in made] == list(made)


def test_parameters_are_written_too():
    made = sequence("at(squared=False)*2+task>dist(temperature=1.5; weight_inter=0)")
    assert made[0].losses[0] == Loss("at", 2.0, {"squared": False})
    assert made[1].losses[0].parameters == (("temperature", 1.5), ("weight_inter", 0))
    assert str(sequence(str(made))) == str(made)


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("flows>dkq*8+task", 7, r"'dkq' is no loss \(did you mean dkd\?\).*reviewkd"),
        ("flows>>task", 7, "missing"),
        ("flows>", 7, "missing"),
        ("+task", 1, "missing"),
        ("task task", 6, "expected"),
        ("task*0", 6, "weight"),
        ("task*-1", 6, "weight"),
        ("task*1e9", 6, "weight"),
        ("task:1.5", 6, "share"),
        ("flows:0>task", 7, "share"),
        ("task+task", 6, "twice"),
        ("flows+dense", 7, "dense"),
        ("task+anchor", 6, "anchor.*weight"),
        ("anchor*1", 1, "beside"),
        ("anchor*1+task+anchor*2", 15, "twice"),
        ("at(power=2; power=4)", 4, "'power' is given twice"),
        ("skt>task", 1, "'skt' is a method"),
        ("at(p)", 4, "name=value"),
        ("cc(kernel=gaussian)", 4, "'gaussian' is no value: .* text in quotes"),
        ("at(squared=false)", 4, "'false' is no value: expected a number, True"),
        ("at(power={[]:1})", 4, "is no value"),
        ("at(power=" + "-" * 3000 + "1)", 4, "is no value"),
        ("at(p=2", 7, "'\\)'"),
        ("task(p=2)", 1, "no parameters"),
        ("tåsk>task", 1, "'t' is no loss"),
    ],
)
def test_what_is_mistyped_is_pointed_at(text, place, says):
    with refused(f"character {place}, .*{says}"):
        sequence(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flows:0.5>task:0.6", "1.1"),
        ("flows:1>task", "leave nothing"),
        (">".join(["task"] * 101), "101 stages"),
        ("+".join(name for name in NAMES if name != "flows"), "21 losses"),
    ],
)
def test_shares_and_sizes_that_cannot_be(text, says):
    with refused(says):
        sequence(text)


@pytest.mark.parametrize(
    ("given", "shares", "says"),
    [
        (None, None, "a sequence is None"),
        (Loss("task"), None, "list of stages"),
        ({"task": 1}, None, "list of stages"),
        (["flows", None], None, "a stage is None"),
        ([["flows", 3]], None, "a stage is .*3"),
        ("flows>task", [0.5, 0.5], "a text has its own"),
        (["flows", "task"], [0.5], "a list of 2"),
        (["flows", "task"], 0.5, "a list of 2"),
        (["flows", "task"], [float("nan"), None], "a share is nan"),
        (["flows", "task"], [True, None], "a share is True"),
        (["flows", "task"], ["half", None], "a share is 'half'"),
    ],
)
def test_what_is_neither_a_text_nor_a_list_of_stages(given, shares, says):
    with refused(says):
        sequence(given, shares)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((3,), "name 3"),
        (("at>task",), "name 'at>task'"),
        (("at", "2"), "weight '2'"),
        (("at", True), "weight True"),
        (("at", float("inf")), "weight inf"),
        (("at", 1, "power"), "dictionary"),
        (("at", 1, {"power": float("nan")}), "value nan"),
        (("at", 1, {"power": "a;b"}), "value 'a;b'"),
        (("at", 1, {1: 2}), "parameter 1"),
    ],
)
def test_a_loss_that_cannot_be_written(arguments, says):
    with refused(says):
        Loss(*arguments)


def test_stages_and_losses_stand_for_themselves_and_numpy_for_its_numbers():
    first = sequence("flows>task")[0]
    made = sequence([first, Loss("task"), "at+task"], [np.float32(0.25), Fraction(1, 3), None])
    assert str(made) == "flows:0.25>task:1/3>at+task:5/12"
    loss = Loss("mlkd", np.float32(3), {"temperatures": [np.int64(4), 2.0]})
    assert loss == Loss("mlkd", 3.0, (("temperatures", (4, 2.0)),))
    assert str(sequence([loss])) == "mlkd(temperatures=(4, 2.0))*3"
    assert len({made, sequence(str(made)), sequence("task")}) == 2
    assert Loss("at", 1, {"power": np.array([1.0, 2.0])}) == Loss("at", 1, {"power": (1.0, 2.0)})


@pytest.mark.parametrize("text", ["flows:0.2>task:0.8", "flows>dense>task", "flows:0.1>task:0.4"])
def test_stages_keep_their_shares_in_another_sequence(text):
    assert str(sequence(list(sequence(text)))) == text
    first, last = sequence(text)[0], sequence(text)[-1]
    assert sequence([first, *sequence(text)[1:]]) == sequence(text)
    assert sequence([first, last], [None, None]) == sequence(f"{first}>{last}")


@pytest.mark.parametrize(("method", "number"), [("kd", 0), ("skt_kd", -1), ("hint", 0), ("fsp", 0)])
def test_a_stage_of_a_method_is_more_than_its_name_and_refused(method, number):
    stage = stages(method)[number]
    with refused(f"'{stage.name}' is one of a method"):
        sequence(["flows", stage])


@pytest.mark.parametrize("name", ["hint", "fsp"])
def test_a_loss_alone_is_not_the_method_of_its_name(name):
    made = sequence(name)
    assert str(made) == f"{name}:1"
    for text in (f"{name}:1", f"{name}()", f" {name} : 1/1 "):
        assert spelled(text) == str(made)
    assert stages(spelled(f"{name}:1")) == made != stages(name)
    assert spelled(name) == name


def test_dense_flows_need_middles():
    with refused("'dense'.*7 points"):
        sequence("dense>task", layout=Layout(3, middles=False))


def test_a_methods_name_stands_alone_and_an_unknown_one_is_refused_with_both():
    assert stages("hint")[0].objective == "hint"
    assert isinstance(stages("dkd"), Sequence)
    with refused(r"'sktt' is unknown \(did you mean skt\?\).*sequence"):
        stages("sktt")


def test_folders_are_safe_and_tell_texts_apart():
    texts = ["flows>task", "flows+task", "flows*2+task", "flows:0.2>task", "task(a='/../b')"]
    texts += ["+".join(["task", *["at"] * 60]), "+".join(["task", *["at"] * 61])]
    names = [folder_name(text) for text in texts]
    assert len({name.lower() for name in names}) == len(texts)
    for name in names:
        assert name.isascii()
        assert not set(name) & set('<>:"/\\|?*+ ')
        assert len(name) < 100
    assert [folder_name(name) for name in METHOD_NAMES] == list(METHOD_NAMES)
    assert all(one != two for one, two in itertools.combinations(names, 2))


def test_stages_of_the_papers_methods_are_written_as_before():
    for method in METHOD_NAMES:
        for stage in stages(method):
            assert not {"losses", "anchor"} & stage.as_dict().keys()
            assert Stage.from_dict(stage.as_dict()) == stage
