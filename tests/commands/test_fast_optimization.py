"""The second experiment, from the command line: two nets a method, as deep as the teacher."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from command_line import ran, results_of, tiny
from parsing import here
from reference import softmax
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from skt_tf.models.resnet import resnet
from skt_tf.utils.records import unpack

NETS = 2
RUN = tiny(
    experiment="fast_optimization", methods="teachers,skt_kd", nets=NETS,
    transfer_steps=8, transfer_split="1,3", tensorboard=True,
)  # fmt: skip
STEPS = {"teachers": [12], "skt_kd": [2, 6, 4]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("fast")
    done = ran(*RUN, cwd=cwd)
    assert done.stderr == ""
    return cwd, done


@pytest.fixture(scope="module")
def results(run):
    return results_of(run[0] / "run")


def test_iterations_are_counted_over_all_nets(results):
    assert list(results["methods"]) == list(STEPS)
    for method, entry in results["methods"].items():
        assert [stage["steps"] for stage in entry["stages"]] == STEPS[method]
        assert entry["iterations"] == NETS * sum(STEPS[method])
        assert len(entry["accuracies"]) == NETS


def test_the_first_of_the_teachers_is_the_one_that_teaches(run, results, digits):
    teachers, teacher = results["methods"]["teachers"], results["teacher"]
    assert teachers["accuracies"][0] == teacher["accuracy"]
    assert teachers["seconds"] >= teacher["seconds"] > 0
    assert not (run[0] / "run/teachers/net0").exists()
    assert run[1].stdout.count("teacher, 8 layers, stage 1 of 1") == 1
    assert [f"teachers, net {k} of 2, stage" in run[1].stdout for k in (1, 2)] == [False, True]
    # Their ensemble is the mean of their softmax outputs.
    paths = "run/teacher/model.keras", "run/teachers/net1/student.keras"
    nets = [keras.models.load_model(run[0] / path) for path in paths]
    assert not np.allclose(*(net.get_weights()[-2] for net in nets))
    total = sum(softmax(net(digits.test_images)) for net in nets)
    expected = np.mean(total.argmax(1) == digits.test_labels)
    assert teachers["ensemble"] == pytest.approx(expected)


def test_a_line_after_each_stage_says_how_long_the_rest_takes(run):
    left = r"(about \d.* (?:s|min) left of|the last of) the experiment"
    line = rf"^(.+): (\w+) is done, (\d+) iterations in .+; {left}$"
    lines = re.findall(line, run[1].stdout, re.MULTILINE)
    stages = [(name, int(steps)) for name, _, steps, *_ in lines]
    expected = [("teacher, 8 layers", 12)]
    for method, steps in STEPS.items():
        for net in range(method == "teachers", NETS):
            expected += [(f"{method}, net {net + 1} of {NETS}", number) for number in steps]
    assert stages == expected
    assert [line[3].startswith("the last") for line in lines] == [False] * (len(lines) - 1) + [True]


def test_tensorboard_can_read_the_logs_of_every_stage(run):
    place = run[0] / "run/tensorboard"
    stages = ("1_step1", "2_step2", "3_task")
    nets = ("teacher/1_teacher", "teachers/net1/1_teacher")
    for folder in (*nets, *(f"skt_kd/net1/{stage}" for stage in stages)):
        events = EventAccumulator(str(place / folder / "train"), {"tensors": 0}).Reload()
        losses = events.Tensors("epoch_loss")
        assert len(losses) == 2
        assert all(np.isfinite(tf.make_ndarray(loss.tensor_proto)) for loss in losses)
    assert (place / "skt_kd/net1/3_task/validation").is_dir()


def test_the_shown_matrices_are_those_of_the_networks(run, results, digits, reference_fsp):
    shown = results["shown"]
    image = unpack(shown["image"])
    np.testing.assert_array_equal(image, digits.test_images[0])
    teacher = keras.models.load_model(run[0] / "run/teacher/model.keras")
    statistics = digits.mean.tolist(), digits.variance.tolist()
    before = resnet(8, 10, (8, 8, 1), 4, normalization=statistics, seed=1)
    for network, matrices in ((teacher, shown["teacher"]), (before, shown["before"])):
        points = [network.get_layer(f"p{k}").output for k in range(4)]
        maps = keras.Model(network.inputs, points)(image[None])
        for flow, packed in matrices.items():
            expected = reference_fsp(*(maps[int(point[1])] for point in flow.split("_")))[0]
            np.testing.assert_allclose(unpack(packed), expected, rtol=1e-4, atol=1e-5)
    after = {name: results["methods"][name].get("matrices") for name in STEPS}
    assert {name for name, found in after.items() if found} == {"skt_kd"}
    # Transfer brings what it transfers nearer to the teacher's.
    assert all(found.keys() == shown["teacher"].keys() for found in after.values() if found)
    assert all(found != shown["before"] for found in after.values() if found)


def test_the_networks_are_described(results, run):
    teacher = keras.models.load_model(run[0] / "run/teacher/model.keras")
    for network in results["networks"].values():
        assert network["parameters"] == teacher.count_params()
        assert network["images_per_second"] > 0
    assert results["networks"]["teacher"]["flops_per_image"] == pytest.approx(
        results["networks"]["student"]["flops_per_image"]
    )


def test_every_row_is_verified(run, monkeypatch, capsys):
    monkeypatch.chdir(run[0])
    assert here("--job=verify", "--output_dir=run")
    assert capsys.readouterr().out.count("confirmed") == 1 + len(STEPS) * (NETS + 2) + 1
