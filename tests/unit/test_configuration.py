"""Flags and flagfiles become a checked configuration."""

import dataclasses
import json
import math
import re

import pytest
from command_line import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing import parse
from sentences import is_one_sentence, refused

from skt_tf.configuration import EXPERIMENTS, JOBS, Config
from skt_tf.data.images import is_mirrored
from skt_tf.methods.catalogue import METHOD_NAMES, ONE_START, TEACHER, Stage, stage_steps
from skt_tf.models.architectures import STANDARD
from skt_tf.reports import published_standard
from skt_tf.reports.published import published
from skt_tf.training.schedules import learning_rate
from skt_tf.utils.errors import UserError

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
WORDS = st.text("abcxyz019-_,=/", max_size=12)
INTEGERS = st.integers(-5, 40) | st.integers(-(2**40), 2**40)
FLOATS = st.floats() | st.floats(0, 2)
ANY = {
    str: WORDS,
    str | None: st.none() | WORDS,
    bool: st.booleans(),
    int: INTEGERS,
    float: FLOATS,
    float | None: st.none() | FLOATS,
    bool | None: st.none() | st.booleans(),
    int | None: st.none() | INTEGERS,
    tuple[str, ...] | None: st.none()
    | st.lists(st.sampled_from(METHOD_NAMES) | WORDS, max_size=4).map(tuple),
    tuple[float, ...] | None: st.none() | st.lists(FLOATS, max_size=4).map(tuple),
    str | tuple[float, ...]: WORDS | st.lists(FLOATS, min_size=4, max_size=6).map(tuple),
}
# The least and the most of what is a number, both possible.
WHOLE = {
    **dict.fromkeys(("batch_size", "evaluations", "trials"), (1, 2**30 - 1)),
    **dict.fromkeys(("seed", "validation", "target_views"), (0, 2**30 - 1)),
    "width": (1, 4096),
    "nets": (1, 10_000),
}
STEPS = ("teacher_steps", "transfer_steps", "hint_steps", "task_steps")
RATES = ("learning_rate", "transfer_learning_rate", "hint_learning_rate")
DEPTHS = ("teacher_depth", "student_depth")
ALLOWED = {
    **{name: st.integers(*limits) for name, limits in WHOLE.items()},
    # The longest plan has three transfer stages; the most that any budget leaves whole.
    **dict.fromkeys(STEPS, st.integers(3, 2**20 - 1)),
    **dict.fromkeys(RATES, st.floats(1e-9, 10)),
    **dict.fromkeys(DEPTHS, st.integers(1, 200).map(lambda n: 6 * n + 2)),
    **dict.fromkeys(("deterministic", "fresh", "tensorboard"), st.booleans()),
    "nesterov": st.booleans(),
    "jit_compile": st.just(False),
    "experiment": st.just("minimization"),
    "methods": st.lists(
        st.sampled_from([m for m in METHOD_NAMES if m not in ("teachers", *ONE_START)]),
        min_size=1,
        unique=True,
    ).map(tuple),
    "budget": st.floats(1, 1000),
    "flow_weights": st.sampled_from(["normalized", "equal"])
    | st.lists(st.floats(1e-9, 1e29), min_size=5, max_size=5).map(tuple),
    "weight_decay": st.floats(0, 0.999),
    "temperature": st.floats(0.01, 100),
    "checkpoint_every": st.from_regex("[1-9][0-9]{0,8}s?", fullmatch=True),
    "data_dir": st.none() | st.just("data"),
    "teacher": st.none() | st.just("teacher.keras"),
    "image_size": st.none() | st.sampled_from(["32", "20x28"]),
    "image_bits": st.none() | st.integers(8, 16),
    "mirror": st.none() | st.booleans(),
    "crop": st.sampled_from(["pad", "none"]),  # Another test looks at what `resized` needs.
    "stream": st.none() | st.booleans(),
    "project": st.booleans(),
    "student_weights": st.just("drawn"),
    **dict.fromkeys(("teacher_network", "student_network"), st.none()),
    **dict.fromkeys(("export", "labels", "license", "tune"), st.none()),
    "output_dir": st.none() | st.just("out"),
}
NO_NUMBER = st.sampled_from([math.nan, math.inf])
BEYOND = {
    **{
        name: st.integers(max_value=least - 1) | st.integers(min_value=most + 1)
        for name, (least, most) in WHOLE.items()
    },
    **dict.fromkeys(STEPS, st.integers(max_value=0) | st.integers(min_value=2**30)),
    **dict.fromkeys(("budget", *RATES), st.floats(max_value=0) | NO_NUMBER),
    **dict.fromkeys(DEPTHS, st.integers().filter(lambda d: d < 8 or d % 6 != 2 or d > 1202)),
    "temperature": st.floats(max_value=0.00099) | NO_NUMBER,
    "weight_decay": st.floats(max_value=0, exclude_max=True) | st.floats(min_value=1) | NO_NUMBER,
}
CHOICES = {
    name: st.sampled_from(field.metadata["choices"])
    for name, field in FIELDS.items()
    if field.metadata["choices"] and name not in ALLOWED
}
# What other jobs need and refuse, another test looks at.
ONE_EXPERIMENT = {**ALLOWED, **CHOICES, "job": st.just("experiment")}


def few_of(strategies):
    """A few fields with drawn values: of many, one mistake would hide all others."""
    names = st.lists(st.sampled_from(sorted(strategies)), max_size=5, unique=True)
    return names.flatmap(lambda some: st.fixed_dictionaries({n: strategies[n] for n in some}))


@given(few_of({name: ANY[field.type] for name, field in FIELDS.items()}))
def test_any_values_make_a_usable_configuration_or_one_sentence(values):
    refusal = None
    try:
        config = Config(**values)
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert is_one_sentence(refusal)
        assert any(name in refusal for name in values)
        return
    json.dumps(config.as_dict(), allow_nan=False)
    assert config.output_dir
    for method in config.methods:
        plan = config.stages(method)
        assert min(stage_steps(plan, config.iterations)) >= 1
        assert all(0 < config.rate(stage.objective) < math.inf for stage in plan)


@given(few_of(ONE_EXPERIMENT))
def test_values_within_their_ranges_are_accepted_as_they_are(values):
    config = Config(**values)
    for name, value in values.items():
        if not (name == "output_dir" and value is None):
            assert getattr(config, name) == value


@pytest.mark.parametrize("name", BEYOND)
@given(data=st.data())
def test_a_number_out_of_range_is_refused_by_its_flag(name, data):
    value = data.draw(BEYOND[name])
    with refused(f"^--{name}"):
        Config(**{name: value})


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_word_is_refused_with_the_known_ones(name):
    with refused(f"^--{name}=nonsense", *FIELDS[name].metadata["choices"]):
        Config(**{name: "nonsense"})


def test_flags_without_values_give_the_paper_s_defaults():
    config = parse()
    assert config == Config()
    assert config.methods == EXPERIMENTS["minimization"]
    assert config.flow_weights == "normalized"
    assert config.schedule == "steps"
    assert config.dense_flows == "span"
    assert config.output_dir == "runs/minimization_cifar10"


NAMES = st.just(tuple("abcdefg"))
# Of fields that need others, or lie within limits of their own.
FURTHER = {
    "job": st.sampled_from([job for job in JOBS if job != "export"]),
    "dataset": st.just("digits"),
    "optimizer": st.sampled_from(["sgd", "adamw"]),
    "import_modules": st.just(("mine", "my.layers")),
    "student": st.just("s.keras"),
    "student_weights": st.sampled_from(["drawn", "saved"]),
    "teacher_points": NAMES,
    "student_points": NAMES,
    "sections": st.just(3),
    "transfer_split": st.just((1.0, 3.0)),
    "transfer_boundaries": st.just(("1/2", "3/4")),
    "task_boundaries": st.just(("5/8", "3/4", "7/8")),
    "teacher_network": st.sampled_from([*STANDARD]),
    "student_network": st.sampled_from([*STANDARD]),
    "experiment": st.just("fast_optimization"),
    "export": st.just(("litert", "onnx")),
    "labels": st.just("names.txt"),
    "license": st.just("apache-2.0"),
    "tune": st.just(("learning_rate",)),
    "compare": st.just("b.json"),
    "peers": st.just(True),
    "runs": st.just(("a", "b")),
}
GIVEN = {**ONE_EXPERIMENT, **FURTHER}
NEEDED = {
    "job": ["--output_dir=o"],
    "transfer_split": ["--methods=skt"],
    "student_weights": ["--student=s.keras"],
    "teacher_points": ["--teacher=t.keras"],
    "student_points": ["--student=s.keras"],
    **{n: ["--job=export", "--student=s.keras"] for n in ("export", "labels", "license")},
    "tune": ["--job=tune"],
    "compare": ["--job=benchmark"],
    "peers": ["--job=benchmark"],
    "runs": ["--job=report"],
}


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=10)
@given(data=st.data())
def test_every_field_has_a_flag_that_sets_it(name, data):
    value = data.draw(GIVEN[name].filter(lambda value: value is not None))
    text = ",".join(map(str, value)) if isinstance(value, tuple) else value
    config = parse(*NEEDED.get(name, ()), f"--{name}={text}")
    assert getattr(config, name) == value


def test_flow_weights_are_a_word_or_one_number_per_dense_flow():
    for word in ("normalized", "equal"):
        assert parse(f"--flow_weights={word}").flow_weights == word
    assert parse("--flow_weights=1, 2.5,3e-2,0,.5").flow_weights == (1.0, 2.5, 0.03, 0.0, 0.5)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("1,2,3,4", "4 numbers"),
        ("1,2,3,4,5,6", "6 numbers"),
        ("1", "1 number"),
        ("nan,1,1,1,1", "finite"),
        ("inf,1,1,1,1", "finite"),
        ("1,1,1,1,-0.5", "0 or more"),
        ("0,0,0,0,0", "not all 0"),
        ("0,0,0,1,1", "stage 'transfer' of fsp"),
        ("1,2,x,4,5", "1,2,x,4,5"),
        ("1,2,3,4,", "1,2,3,4,"),
        ("", "normalized"),
        ("normalised", "normalised"),
    ],
)
def test_impossible_flow_weights_are_refused(value, says):
    with refused(r"^--flow_weights", says):
        parse(f"--flow_weights={value}")


def test_a_wrong_number_of_flow_weights_is_told_which_flows_there_are():
    with refused("m1_m2, m2_m3"):
        parse("--flow_weights=1,2", "--dense_flows=half")


@given(st.floats(1e-3, 100), st.integers(1, 10**6))
def test_iterations_scale_with_the_budget(budget, steps):
    config = Config(budget=budget, teacher_steps=steps, task_steps=2 * steps, methods=("baseline",))
    assert config.iterations["teacher"] == pytest.approx(max(1, steps * budget), abs=0.5)
    assert config.iterations["task"] == pytest.approx(max(1, 2 * steps * budget), abs=0.5)


def test_a_budget_that_starves_a_stage_is_refused_with_the_stage():
    with refused("^--transfer_steps=20 with --budget=0.1 .* 'section1' of skt_bottom_up"):
        Config(transfer_steps=20, budget=0.1)
    assert Config(transfer_steps=20, budget=0.1, methods=("baseline", "skt"))


@pytest.mark.parametrize(
    ("values", "rate"),
    [
        ({}, 0.1),
        ({"flow_weights": "equal"}, 0.001),
        ({"flow_weights": (1.0,) * 5}, 0.001),
        ({"transfer_learning_rate": 0.02}, 0.02),
        ({"flow_weights": "equal", "transfer_learning_rate": 0.02}, 0.02),
    ],
)
def test_the_transfer_rate_follows_the_flow_weights_unless_given(values, rate):
    assert Config(**values).rate("transfer") == rate


def test_task_and_hint_stages_have_rates_of_their_own():
    config = Config(learning_rate=0.3, hint_learning_rate=0.02, transfer_learning_rate=0.5)
    assert config.rate("task") == config.rate("soft_task") == 0.3
    assert config.rate("hint") == 0.02


def test_where_files_lie_does_not_make_another_experiment():
    one = parse("--output_dir=a", "--data_dir=b")
    assert one.as_dict() == parse("--output_dir=c").as_dict()
    assert one.as_dict() != parse("--output_dir=a", "--data_dir=b", "--seed=1").as_dict()


def check_falls(config, stage, steps, first, falls):
    """Asserts that a stage's rate begins at `first` and falls to a tenth at each of `falls`."""
    rate = learning_rate(
        config.schedule, stage.objective, config.rate(stage.objective), steps,
        config.boundaries(stage),
    )  # fmt: skip
    for number, fall in enumerate(falls):
        assert float(rate(fall - 1)) == pytest.approx(first / 10**number)
        assert float(rate(fall)) == pytest.approx(first / 10 ** (number + 1))
    assert float(rate(0)) == pytest.approx(first)
    assert float(rate(steps - 1)) == pytest.approx(first / 10 ** len(falls))


# Dataset, depths, iterations, and where the rates fall to a tenth [docs/method.md, Protocol].
PAPER = {
    "cifar10_minimization": {
        "dataset": "cifar10",
        "depths": (26, 8),
        "iterations": {"teacher": 64_000, "transfer": 21_000, "hint": 35_000, "task": 64_000},
        "transfer_falls": (11_000, 16_000),
        "images": (16, "pad", True),
    },
    "cifar100_minimization": {
        "dataset": "cifar100",
        "depths": (32, 14),
        "iterations": {"teacher": 64_000, "transfer": 32_000, "hint": 35_000, "task": 64_000},
        "transfer_falls": (16_000, 24_000),
        "images": (64, "none", False),
    },
}


@pytest.fixture
def at_root(monkeypatch):
    # A flagfile names another one as seen from the folder of the project.
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", PAPER)
def test_the_flagfiles_hold_the_paper_s_protocol(name, at_root):
    config, paper = parse(f"--flagfile=flags/{name}.flags"), PAPER[name]
    assert config.dataset == paper["dataset"]
    assert (config.teacher_depth, config.student_depth) == paper["depths"]
    assert config.iterations == paper["iterations"]
    assert config.methods == EXPERIMENTS["minimization"]
    assert (config.batch_size, config.weight_decay) == (128, 0.0001)
    assert (config.width, config.crop, config.mirror) == paper["images"]
    assert config.temperature == 3
    assert (config.experiment, config.job, config.precision) == (
        "minimization",
        "experiment",
        "float32",
    )


@pytest.mark.parametrize(
    ("transfer", "arguments"),
    [(0.1, ()), (0.001, ("--flow_weights=equal", "--transfer_learning_rate=0.001"))],
)
@pytest.mark.parametrize("name", PAPER)
def test_the_flagfiles_rates_fall_where_the_paper_s_do(name, transfer, arguments, at_root):
    config = parse(f"--flagfile=flags/{name}.flags", *arguments)
    for objective, steps, first, falls in (
        ("task", 64_000, 0.1, (32_000, 48_000)),
        ("soft_task", 64_000, 0.1, (32_000, 48_000)),
        ("transfer", config.iterations["transfer"], transfer, PAPER[name]["transfer_falls"]),
        ("hint", 35_000, 0.0001, (25_000,)),
    ):
        stage = Stage("any", objective, {}, config.flows if objective == "transfer" else ())
        check_falls(config, stage, steps, first, falls)


def differing(one, other):
    return {name for name in FIELDS if getattr(one, name) != getattr(other, name)}


def test_the_short_flagfile_is_a_sixteenth_of_the_paper_s_in_one_cycle(at_root):
    short = parse("--flagfile=flags/cifar10_short.flags")
    paper = parse("--flagfile=flags/cifar10_minimization.flags")
    assert short.iterations == {"teacher": 4000, "transfer": 1313, "hint": 1313, "task": 4000}
    assert differing(short, paper) == {
        "budget", "hint_steps", "schedule", "learning_rate", "weight_decay", "evaluations",
        "output_dir",
    }  # fmt: skip
    assert (short.schedule, short.learning_rate, short.weight_decay) == ("onecycle", 0.3, 0.0005)


def test_the_quarter_is_the_sixteenth_with_four_times_the_budget(at_root):
    quarter, short = (
        parse(f"--flagfile=flags/cifar10_{name}.flags", "--hint_steps=35000")
        for name in ("quarter", "short")
    )
    assert quarter.iterations["task"] == 16_000
    assert differing(quarter, short) == {"budget", "output_dir"}


def test_the_quickstart_runs_every_method_on_built_in_images(at_root):
    config = parse("--flagfile=flags/quickstart.flags")
    assert (config.dataset, config.teacher_depth, config.student_depth) == ("digits", 26, 8)
    assert config.methods == EXPERIMENTS["minimization"]


@pytest.mark.parametrize(
    ("name", "job"),
    [("data_dir", []), ("teacher", []), ("output_dir", []), ("compare", ["--job=benchmark"]),
     ("student", ["--job=export"])],
)  # fmt: skip
def test_a_tilde_is_the_home_folder_in_every_path(name, job, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert getattr(parse(*job, f"--{name}=~/x"), name) == "/home/me/x"


OWN = "--teacher=t.keras --student=s.keras --teacher_points={0} --student_points={0}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--job=export", "--job=export needs --student"),
        ("--job=verify", "--job=verify needs --output_dir"),
        ("--job=report", "--job=report needs --output_dir"),
        ("--job=report --runs=", "--runs is empty"),
        ("--job=verify --runs=r --output_dir=o", "--runs is for --job=report"),
        ("--job=verify --output_dir=o --student=s", "--student is for --job=experiment"),
        ("--job=benchmark --teacher=t.keras", "--teacher is for --job=experiment"),
        ("--job=export --student=s --export=onnx,onnx", "--export=onnx,onnx names a format twice"),
        ("--job=tune --methods=skt,fsp", "--methods=skt,fsp: expected one method"),
        ("--job=tune --experiment=fast_optimization", "--experiment=fast_optimization is a table"),
        ("--job=tune --methods=fsp --tune=temperature", "--tune=temperature is nothing that fsp"),
        ("--job=tune --tune=depth", "--tune=depth is unknown"),
        ("--job=tune --tune=", "--tune is empty"),
        ("--job=tune --methods=fsp --target_views=1", "--target_views keeps a file for one run"),
        ("--target_views=2 --methods=skt,task+flows", "--target_views=2 keeps targets for stages"),
        ("--target_views=2 --methods=flows*2>task", "--target_views=2 keeps targets for stages"),
        (
            "--job=benchmark --teacher_network=resnet8x4 --student_network=resnet20",
            "--teacher_network=resnet8x4 and --student_network=resnet20: their maps differ",
        ),
        ("--experiment=alchemy", "--experiment=alchemy is unknown: expected one of minimization"),
        (
            "--methods=skt,magic",
            "--methods=skt,magic: method 'magic' is unknown: expected one of teachers, baseline",
        ),
        ("--methods=", "--methods= is empty: expected one method"),
        ("--methods=skt,fsp,skt", "--methods=skt,fsp,skt names a method twice"),
        (
            "--student_weights=kept",
            "--student_weights=kept is unknown: expected one of drawn, saved",
        ),
        ("--student_weights=saved", "--student_weights=saved needs --student"),
        ("--student=", "--student is empty"),
        (
            "--teacher_network=resnet32",
            "--teacher_network=resnet32 is unknown (did you mean resnet32x4?): expected one of",
        ),
        (
            "--student_network=resnet20 --student=s.keras",
            "--student_network=resnet20 names another student than --student=s.keras",
        ),
        (
            "--teacher_network=wrn_40_2 --teacher=t.keras",
            "--teacher_network=wrn_40_2 names another teacher than --teacher=t.keras",
        ),
        (
            "--teacher_network=resnet56 --teacher_depth=32",
            "--teacher_depth=32 is not that of --teacher_network=resnet56",
        ),
        (
            "--student_network=resnet8x4 --student_depth=14",
            "--student_depth=14 is not that of --student_network=resnet8x4",
        ),
        (
            "--teacher_network=resnet56 --student_network=resnet20 --width=64",
            "--width=64 is of no use to --teacher_network=resnet56 and --student_network=resnet20",
        ),
        (
            "--job=benchmark --peers --student_network=resnet20",
            "--peers measures PyTorch's networks of a depth beside --student_network=resnet20",
        ),
        (
            "--experiment=fast_optimization --teacher_network=resnet56 --student_network=resnet20",
            "--student_network=resnet20 differs from --teacher_network=resnet56",
        ),
        (
            "--experiment=fast_optimization --student_network=resnet20",
            "--student_network=resnet20 differs from --teacher_depth=26",
        ),
        (
            "--experiment=fast_optimization --teacher_network=resnet20 --student_depth=20",
            "--student_depth=20 differs from --teacher_network=resnet20",
        ),
        ("--nesterov --optimizer=adamw", "--nesterov is of sgd"),
        ("--optimizer=adam", "--optimizer=adam is unknown (did you mean adamw?): expected sgd or"),
        ('--optimizer={"config":{"learning_rate":1}}', '--optimizer={"config"'),
        ("--teacher=t.keras --teacher_points=a,,c", "--teacher_points=a,,c has an empty name"),
        (OWN.format("a,b") + " --methods=skt", "--methods=skt: 'skt' transfers dense flows"),
        (
            OWN.format("a,b,c,d,e,f,g") + " --sections=2",
            "--teacher_points, --student_points, --sections: 7 points for 2 sections: expected 5, "
            "their ends and middles, or 3, their ends alone",
        ),
        ("--export=onnx", "--export is for --job=export"),
        ("--tune=temperature", "--tune is for --job=tune"),
        ("--teacher_points=a,b", "--teacher_points names layers"),
        ("--sections=4", "--teacher_points, --student_points, --sections: 4 sections, and"),
        ("--compare=b.json", "--compare is for --job=benchmark"),
        (OWN.format("a,b,c") + " --section_flows=within", "--section_flows=within begins flows at"),
        ("--job=verify --output_dir=o --fresh", "--fresh is for --job=experiment"),
        ("--job=benchmark --distribution=mirrored", "--job=benchmark uses one device"),
        (
            "--fresh --output_dir=o --student=o/s.keras",
            "--student=o/s.keras lies in --output_dir=o",
        ),
        (
            "--fresh --data_dir=runs/minimization_cifar10",
            "--data_dir=runs/minimization_cifar10 lies",
        ),
        ("--teacher_steps=64000 --budget=16778", "--teacher_steps=64000 with --budget=16778"),
        ("--checkpoint_every=0", "--checkpoint_every=0 is not understood"),
        ("--checkpoint_every=1.5s", "--checkpoint_every=1.5s is not understood"),
        ("--checkpoint_every=", "--checkpoint_every= is not understood"),
        ("--output_dir=", "--output_dir is empty"),
        ("--teacher=", "--teacher is empty"),
        ("--teacher=t.keras --job=export --student=s.keras", "--teacher is for"),
        ("--jit_compile", "--jit_compile compiles nothing where operations are deterministic"),
        ("--seed=1073741823 --nets=2", "--seed=1073741823 with --nets=2 makes seeds of 2³⁰"),
        ("--job=tune --methods=teachers", "--methods=teachers uses nothing that --job=tune"),
        ("--job=tune " + OWN.format("a,b,c,d"), "--methods=skt: 'skt' transfers dense flows"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(arguments, says):
    with refused(f"^{re.escape(says)}"):
        parse(*arguments.split())


ROWS = ("teachers", "baseline", "hint", "fsp", "skt")
FAST = {
    "cifar10_fast_optimization": (192_000, 63_000, 138_000, 126_000, 126_000),
    "cifar100_fast_optimization": (192_000, 63_000, 168_000, 159_000, 159_000),
}


@pytest.mark.parametrize("name", FAST)
def test_the_rows_of_fast_optimization_have_the_published_iterations(name, at_root):
    config, expected = parse(f"--flagfile=flags/{name}.flags"), dict(zip(ROWS, FAST[name]))
    for method, iterations in expected.items():
        steps = stage_steps(config.stages(method), config.iterations)
        assert config.nets * sum(steps) == iterations
    setting = {
        "experiment": config.experiment,
        "dataset": config.dataset,
        "config": config.as_dict(),
        "teacher": {"depth": config.teacher_depth},
    }
    said = {row: said.iterations for row, said in published(setting).items() if said.iterations}
    assert said == expected
    assert {*ROWS, "baseline_long"} == set(config.methods)


PAIRS = ("resnet56", "resnet20"), ("resnet32x4", "resnet8x4"), ("wrn_40_2", "wrn_16_2")


@pytest.mark.parametrize("pair", PAIRS, ids="_".join)
def test_the_flagfiles_of_the_standard_protocol_hold_it(pair, at_root):
    config = parse(f"--flagfile=flags/cifar100_{'_'.join(pair)}.flags")
    assert (config.teacher_network, config.student_network) == pair
    assert (config.dataset, config.crop, config.mirror, config.size) == ("cifar100", "pad", 1, None)
    assert (config.batch_size, config.weight_decay, config.nesterov) == (64, 0.0005, False)
    steps = 240 * 50_000 // 64
    for method in config.methods:
        plan = config.stages(method)
        assert sum(stage_steps(plan, config.iterations)) == steps
    # A tenth behind 150, 180 and 210 of 240 epochs, which none of the iterations is within.
    falls = [epochs * 50_000 / 64 for epochs in (150, 180, 210)]
    for stage in (TEACHER, config.stages("baseline_long")[0], config.stages("kd_long")[0]):
        check_falls(config, stage, steps, 0.05, [math.ceil(fall) for fall in falls])
    assert differing(config, parse("--flagfile=flags/cifar100_standard.flags")) <= {
        "teacher_network", "student_network", "teacher_depth", "student_depth", "output_dir",
        "methods",
    }  # fmt: skip
    # Each of its rows but for ours has an accuracy of the field's.
    said = published_standard.table(*pair, config.methods)
    assert {*config.methods} - said.keys() <= {"skt", "task+dist", "simkd"}


def test_named_networks_have_their_own_depth():
    config = parse("--teacher_network=wrn_40_2", "--student_network=resnet8x4")
    assert (config.depth("teachers"), config.depth("skt")) == (40, 8)
    _, *words = Config.as_flags(json.loads(json.dumps(config.as_dict())))
    assert words == ["--teacher_network=wrn_40_2", "--student_network=resnet8x4"]
    assert parse(*words).differing(config.as_dict()) == {}
    same = dataclasses.replace(config, methods=("skt",))
    assert differing(same, config) == {"methods"}
    beside = parse("--student_network=resnet20", "--width=64", "--teacher_depth=32")
    assert (beside.teacher_depth, beside.student_depth, beside.width) == (32, 20, 64)


def test_a_named_teacher_of_fast_optimization_has_students_like_it():
    config = parse("--experiment=fast_optimization", "--teacher_network=wrn_16_2")
    assert (config.student_network, config.student_depth) == ("wrn_16_2", 16)
    words = Config.as_flags(json.loads(json.dumps(config.as_dict())))
    assert parse(*words).differing(config.as_dict()) == {}
    given = ("--experiment=fast_optimization", "--teacher=t.keras", "--student_network=wrn_16_2")
    assert parse(*given).student_depth == 16


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_whatever_trains_the_task_steps_its_rate_where_it_is_asked_to(experiment):
    config = parse("--task_boundaries=5/8,3/4,7/8", f"--experiment={experiment}")
    for stage in (TEACHER, *(config.stages(method)[-1] for method in ("baseline", "kd", "skt"))):
        check_falls(config, stage, 80, 0.1, (50, 60, 70))
    assert config.boundaries(config.stages("skt")[0]) is None
    assert config.boundaries(config.stages("hint")[0]) is None


def test_a_stage_of_hints_has_their_schedule_wherever_it_stands():
    for experiment in EXPERIMENTS:
        config = parse(f"--experiment={experiment}", "--task_steps=50", "--transfer_steps=20")
        for method in ("hint", "hint>task"):
            assert config.boundaries(config.stages(method)[0]) is None


def test_task_boundaries_that_are_not_given_differ_from_none_but_their_own():
    older = recorded()
    del older["task_boundaries"]
    assert parse("--task_boundaries=1/2,3/4").differing(older) == {}
    fast = "--experiment=fast_optimization"
    assert parse(fast).differing(recorded(fast)) == {}
    found = parse(fast, "--task_boundaries=1/2,3/4").differing(recorded(fast))
    assert found.keys() == {"task_boundaries"}


READINGS = {
    "section_flows", "dense_flows", "flow_weights", "crop", "mirror", "width", "temperature",
    "learning_rate", "transfer_learning_rate", "hint_learning_rate", "hint_reduction",
    "transfer_batch_norm", "transfer_boundaries", "schedule", "weight_decay", "batch_size",
    "teacher_steps", "transfer_steps", "hint_steps", "task_steps",
}  # fmt: skip


@pytest.mark.parametrize("name", [*PAPER, *FAST])
def test_the_flagfiles_of_the_slides_name_every_reading(name):
    lines = (ROOT / f"flags/{name}.flags").read_text().splitlines()
    named = {line[2:].partition("=")[0].removeprefix("no") for line in lines if line[0] == "-"}
    assert named >= READINGS


@pytest.mark.parametrize(
    ("given", "steps", "falls"),
    [("1/2,3/4", 32_000, (16_000, 24_000)), ("0.5,.75", 32_000, (16_000, 24_000)),
     ("2/4", 7, (4,)), ("1/10,2/10,3/10", 100, (10, 20, 30))],
)  # fmt: skip
def test_transfer_stages_step_their_rate_where_they_are_asked_to(given, steps, falls):
    config = parse(f"--transfer_boundaries={given}")
    for method in ("fsp", "skt", "skt_bottom_up", "hint"):
        *stages, task = config.stages(method)
        for stage in stages:
            assert (config.boundaries(stage) is not None) == (method != "hint")
        assert config.boundaries(task) is None
    check_falls(config, config.stages("fsp")[0], steps, 0.1, falls)


def test_shares_are_equal_however_they_are_written():
    one = parse("--transfer_boundaries=1/2,3/4").as_dict()
    assert one == parse("--transfer_boundaries=0.5, 6/8").as_dict()
    assert one["transfer_boundaries"] == ["1/2", "3/4"]


@pytest.mark.parametrize("name", ["transfer_boundaries", "task_boundaries"])
@pytest.mark.parametrize(
    "given",
    ["", "0,1/2", "1/2,1", "3/4,1/2", "1/2,1/2", "2", "half", "1/2,", "1/0", "-1/2", "nan",
     "1e-1", "1e999999999", "1/2/3", "0.5;0.75", "¹/2"],
)  # fmt: skip
def test_boundaries_that_cannot_be_are_refused(given, name):
    with refused(f"^--{name}={re.escape(given)}"):
        parse(f"--{name}={given}")


@pytest.mark.parametrize("method", ONE_START)
def test_controls_of_fast_optimization_are_refused_elsewhere(method):
    assert parse("--experiment=fast_optimization", f"--methods=fsp,{method}")
    for job in ("experiment", "tune"):
        with pytest.raises(UserError, match=rf"^--methods={method}.*control") as refusal:
            parse(f"--job={job}", f"--methods={method}")
        assert is_one_sentence(str(refusal.value))
        assert ("--experiment=fast_optimization" in str(refusal.value)) == (job == "experiment")


def test_the_default_rows_have_the_control_of_each_method_that_has_one_of_its_own():
    for rows in EXPERIMENTS.values():
        assert "skt_kd" not in rows or "kd_long" in rows


def recorded(*arguments):
    return json.loads(json.dumps(parse(*arguments).as_dict()))


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ((), ("--mirror", "--transfer_learning_rate=0.1")),
        (("--flow_weights=equal",), ("--flow_weights=equal", "--transfer_learning_rate=0.001")),
        (("--dataset=digits",), ("--dataset=digits", "--nomirror")),
        (("--teacher=a.keras",), ("--teacher=./a.keras",)),
        (("--transfer_boundaries=1/2",), ("--transfer_boundaries=0.5",)),
        ((), ("--transfer_boundaries=11/21,16/21",)),
    ],
)
def test_the_same_in_other_words_is_the_same_experiment(there, here):
    assert parse(*here).differing(recorded(*there)) == {}


@pytest.mark.parametrize(
    ("here", "name"),
    [
        ("--nomirror", "mirror"),
        ("--crop=none", "crop"),
        ("--section_flows=within", "section_flows"),
        ("--transfer_boundaries=1/2,3/4", "transfer_boundaries"),
        ("--task_boundaries=1/2", "task_boundaries"),
        ("--nesterov", "nesterov"),
        ("--transfer_learning_rate=0.01", "transfer_learning_rate"),
        ("--teacher=a.keras", "teacher"),
    ],
)
def test_another_value_is_another_experiment(here, name):
    assert parse(here).differing(recorded()).keys() == {name}


def test_what_follows_from_another_value_differs_as_well():
    found = parse().differing(recorded("--flow_weights=equal"))
    assert found.keys() == {"flow_weights", "transfer_learning_rate"}


@pytest.mark.parametrize(
    "name",
    [
        "crop",
        "section_flows",
        "transfer_boundaries",
        "precision",
        "task_boundaries",
        "nesterov",
        "teacher_network",
        "student_network",
    ],
)
def test_a_flag_that_an_older_record_lacks_has_its_default(name):
    older = recorded()
    del older[name]
    assert parse().differing(older) == {}
    assert parse().differing({**recorded(), "of_tomorrow": 1}) == {"of_tomorrow": (1, None)}


@pytest.mark.parametrize("name", ["cifar10_short", "cifar10_fast_short"])
def test_runs_of_before_the_readings_were_named_are_of_the_same_experiment(name, at_root):
    """A flagfile that names a reading, which its older run left to the default, goes on with it."""
    config = parse(f"--flagfile=flags/{name}.flags")
    older = json.loads((ROOT / f"docs/results/{name}/results.json").read_text("utf-8"))
    assert config.differing(older["config"], aside=("methods", "nets")) == {}


@pytest.mark.parametrize("name", FAST)
def test_short_tasks_step_down_from_11000_and_16000_on_and_teachers_do_not(name, at_root):
    config = parse(f"--flagfile=flags/{name}.flags")
    for method in ("teachers", "baseline", "skt", "hint"):
        falls = (32_000, 48_000) if method == "teachers" else (11_000, 16_000)
        plan = config.stages(method)
        check_falls(config, plan[-1], stage_steps(plan, config.iterations)[-1], 0.1, falls)


def test_the_student_of_fast_optimization_is_as_deep_as_its_teacher():
    config = parse("--experiment=fast_optimization", "--teacher_depth=14")
    assert config.student_depth == 14
    assert config.methods[0] == "teachers"
    assert config.depth("teachers") == config.depth("skt") == 14
    with refused(r"--student_depth=8 .* --teacher_depth=14"):
        parse("--experiment=fast_optimization", "--teacher_depth=14", "--student_depth=8")


def test_a_given_teacher_has_no_others_trained_like_it():
    config = parse("--experiment=fast_optimization", "--teacher=t.keras")
    assert "teachers" not in config.methods
    with refused(r"--methods=teachers,skt .* --teacher=t.keras"):
        parse("--teacher=t.keras", "--methods=teachers,skt")


def test_losses_that_are_not_imported_transfer_no_flows():
    config = parse("--methods=baseline")
    assert not config.transfers(["mine+task", "kd"])
    assert config.transfers(["mine+task", "mine>flows"])


def test_xla_that_compiled_nothing_is_none():
    older = {**parse().as_dict(), "jit_compile": True}
    assert not parse().differing(older)
    assert not any("jit" in word for word in Config.as_flags(older))
    compiled = parse("--jit_compile", "--nodeterministic")
    assert parse(*Config.as_flags(compiled.as_dict())).as_dict() == compiled.as_dict()
    parse("--job=report", "--output_dir=run", "--jit_compile")


def test_a_benchmark_has_no_experiment():
    config = parse("--job=benchmark", "--experiment=fast_optimization", "--teacher_depth=14")
    assert (config.teacher_depth, config.student_depth) == (14, 8)
    parse("--job=benchmark", "--experiment=fast_optimization", "--student_depth=14")


@pytest.mark.parametrize("name", ["cifar10:3.0.2", "Cifar10", "cifar100/x:1.0.0", "cifar10"])
def test_a_dataset_of_a_version_is_mirrored_as_any(name):
    config = parse(f"--dataset={name}")
    assert not config.differing(parse(f"--dataset={name}", "--mirror").as_dict())
    assert is_mirrored(name)
    # Where an older version's record says nothing, it went by the two plain names.
    older = {**config.as_dict(), "mirror": None}
    assert bool(config.differing(older)) == (name != "cifar10")
    assert bool(parse(f"--dataset={name}", "--nomirror").differing(older)) == (name == "cifar10")
    assert not is_mirrored("svhn_cropped:3.0.0")


def test_teachers_beside_smaller_students_are_as_deep_as_the_teacher():
    config = parse("--methods=teachers,baseline", "--teacher_depth=26", "--student_depth=8")
    assert (config.depth("teachers"), config.depth("baseline")) == (26, 8)


@pytest.mark.parametrize(
    ("split", "methods", "steps"),
    [
        ("1,3", "skt", [25, 75, 10]),
        ("0.1,0.9", "skt_kd", [10, 90, 10]),
        ("2,1,1", "skt_bottom_up", [50, 25, 25, 10]),
        # One transfer stage has all of them.
        ("1,3", "skt,fsp", [25, 75, 10]),
    ],
)
def test_the_transfer_iterations_are_split_as_asked(split, methods, steps):
    config = parse(
        f"--transfer_split={split}",
        f"--methods={methods}",
        "--transfer_steps=100",
        "--task_steps=10",
    )
    first, *others = config.methods
    assert stage_steps(config.stages(first), config.iterations) == steps
    assert all(stage_steps(config.stages(m), config.iterations) == [100, 10] for m in others)
    assert config.as_dict()["transfer_split"] == [float(part) for part in split.split(",")]


@pytest.mark.parametrize(
    ("split", "methods", "said"),
    [
        ("1,2,3", "skt", "3 parts for the 2 transfer stages of skt"),
        ("1,2", "skt,skt_bottom_up", "2 parts for the 3 transfer stages of skt_bottom_up"),
        ("1,2", "fsp,kd", "nothing to split"),
        ("1,0", "skt", "above 0"),
        ("1,-1", "skt", "above 0"),
        ("1,nan", "skt", "above 0"),
        ("", "skt", "above 0"),
        ("even", "skt", "not understood"),
        ("1,100000", "skt", "no iteration for stage 'step1'"),
    ],
)
def test_a_split_that_cannot_be_is_refused(split, methods, said):
    with refused(rf"--transfer_split={split}.*{said}"):
        parse(f"--transfer_split={split}", f"--methods={methods}")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--crop=resized"], "^--crop=resized needs --image_size"),
        (["--dataset=digits", "--stream"], "^--stream: digits are built in"),
    ],
)
def test_what_crops_and_streams_is_checked_before_anything_is_loaded(given, says):
    with refused(says):
        parse(*given)


def test_streaming_is_no_part_of_a_record_and_photographs_are_mirrored_by_default():
    records = [parse(*flag).as_dict() for flag in ([], ["--stream"], ["--nostream"])]
    assert records[0] == records[1] == records[2]
    crops = ["--dataset=folder", "--data_dir=d", "--image_size=224", "--crop=resized"]
    assert not parse(*crops).differing(parse(*crops, "--mirror").as_dict())
    assert "mirror" in parse(*crops).differing(parse(*crops, "--nomirror").as_dict())
