"""--job=tune as a person uses it: searches that are killed, shared, and end with a flagfile."""

import pytest

from skt_tf.configuration import Config
from skt_tf.models.points import dense_flows
from skt_tf.tuning import search_report as report
from skt_tf.tuning.search_space import configured, hyperparameters, searchable


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("skt", ("learning_rate", "transfer_learning_rate", "flow_weights", "transfer_split")),
        ("fsp", ("learning_rate", "transfer_learning_rate", "flow_weights")),
        ("kd", ("learning_rate", "temperature")),
        ("hint", ("learning_rate", "hint_learning_rate", "temperature")),
        ("baseline", ("learning_rate",)),
    ],
)
def test_what_a_method_uses_is_searched(method, expected):
    assert searchable(Config(job="tune", methods=(method,))) == expected


def test_values_of_a_trial_make_the_configuration_that_runs_with_them():
    config = Config(job="tune", methods=("skt_kd",))
    space = hyperparameters(config)
    names = {p.name: (p.min_value, p.default, p.max_value) for p in space.space}
    assert len(names) == 9
    assert all(low < default < high for low, default, high in names.values())
    assert names["transfer_learning_rate"][1] == 0.1
    values = {name: high for name, (_, _, high) in names.items()}
    λ = dict(zip(dense_flows(), (1.0, 2.0, 3.0, 4.0, 5.0)))
    made = configured(config, values, λ)
    assert made.flow_weights == (10.0, 20.0, 30.0, 40.0, 50.0)
    assert made.transfer_split == (9.0, 1.0)
    assert (made.learning_rate, made.transfer_learning_rate, made.temperature) == (3.0, 3.0, 20.0)
    # Of a method that has three flows, the others keep their weights.
    config = Config(job="tune", methods=("fsp",), tune=("flow_weights",))
    values = {name.name: 2.0 for name in hyperparameters(config).space}
    made = configured(config, values, λ)
    assert made.flow_weights == (2.0, 4.0, 6.0, 4.0, 5.0)
    assert made.transfer_learning_rate == 0.1


def test_a_search_changes_the_weights_of_losses_and_anchors_and_the_shares():
    sequence = "flows+anchor*0.5:0.25>task+soft+anchor*0.1>task:0.5"
    config = Config(job="tune", methods=(sequence,), tune=("loss_weights", "stage_shares"))
    space = hyperparameters(config)
    assert {p.name: p.default for p in space.space} == {
        "weight_1_anchor": 0.5,
        "weight_2_task": 1.0,
        "weight_2_soft": 9.0,  # The default temperature squared.
        "weight_2_anchor": 0.1,
        "stage_part_1": 0.5,
        "stage_part_2": 0.5,
    }
    values = {p.name: p.max_value for p in space.space}
    made = configured(config, values, None)
    # Parts of 4.5, 4.5 and 1.
    assert made.methods == ("flows+anchor*5:0.45>task*10+soft*90+anchor*1:0.45>task:0.1",)


def test_losses_that_are_not_imported_yet_are_searched():
    config = Config(job="tune", methods=("task+unheard",), import_modules=("its_module",))
    assert "loss_weights" in config.tune == searchable(config)


def test_the_flagfile_names_the_folder_of_the_images(tmp_path):
    best = Config(job="tune", dataset="folder", data_dir="images", image_size="32")
    trial = {
        "number": 0,
        "accuracy": 0.5,
        "share": 1.0,
        "values": {"temperature": 3.0},
        "failed": None,
    }
    record = {"settings": {"methods": ["skt"], "dataset": "folder", "tuner": "random"},
              "validation": 2, "environment": {}}  # fmt: skip
    report.write(tmp_path, record, [trial], best)
    lines = (tmp_path / report.FLAGFILE).read_text().splitlines()
    assert {"--dataset=folder", "--data_dir=images", "--image_size=32"} <= set(lines)
