"""The independent implementation of docs/replication is held against this one's own values."""

import ast
import pathlib

import numpy as np
import pytest

from docs.replication import protocol, reference
from skt_tf.configuration import Config
from skt_tf.methods.catalogue import METHOD_NAMES, stage_steps
from skt_tf.training.schedules import learning_rate

ONE_CYCLE = {"schedule": "onecycle", "learning_rate": 0.3}
FOLDER = pathlib.Path(reference.__file__).parent


def test_the_reference_is_what_this_implementation_computes():
    kept = dict(np.load(reference.FILE))
    names = [name for name in kept if name.split("/")[0] in reference.GIVEN]
    given = {name: kept.pop(name) for name in names}
    found = reference.outputs(given)
    assert found.keys() == kept.keys()
    for name, value in found.items():
        scale = np.abs(kept[name]).max()
        np.testing.assert_allclose(value, kept[name], rtol=0, atol=1e-5 * scale, err_msg=name)


@pytest.mark.parametrize("name", ["method", "programs", "protocol", "check", "replicate"])
def test_the_replication_imports_nothing_of_this_package(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = [alias.name for node in imports for alias in node.names]
    modules += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module.startswith("skt_tf")]


@pytest.mark.parametrize(
    ("table", "flags"),
    [
        ("a", {}),
        ("b16", {"budget": 0.0625, "hint_steps": 21_000, **ONE_CYCLE}),
        ("c_within", {"section_flows": "within"}),
        ("d", {"experiment": "fast_optimization", "task_steps": 21_000, "hint_steps": 25_000}),
        (
            "g_quarter",
            {
                "methods": ("skt", "skt_kd"),
                "budget": 0.0625,
                "transfer_steps": 4250,
                "task_steps": 80_750,
                "transfer_split": (1.0, 3.0),
                **ONE_CYCLE,
            },
        ),
    ],
)
def test_both_have_the_same_stages(table, flags):
    setting = protocol.SETTINGS[table]
    config = Config(**{"experiment": "minimization", "hint_steps": 35_000, **flags})
    for method in flags.get("methods", METHOD_NAMES):
        here, there = config.stages(method), protocol.stages(method, setting)
        assert [s.steps for s in there] == stage_steps(here, config.iterations), method
        assert [s.kind for s in there] == [s.objective for s in here], method
        assert [set(s.flows) for s in there] == [set(s.flows) for s in here], method
        for of_there, of_here in zip(there, here):
            kind, steps = of_here.objective, of_there.steps
            rate = config.rate(kind), steps, config.boundaries(of_here)
            schedule = learning_rate(config.schedule, kind, *rate)
            rates = protocol.rates(of_there)
            for step in {0, 1, steps - 1, *(k + d for k in of_there.falls or () for d in (-1, 0))}:
                assert rates[step] == pytest.approx(float(schedule(step))), (method, step)
