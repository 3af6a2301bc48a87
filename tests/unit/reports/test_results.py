"""results.json: what a run is that grew, failed, is damaged, or is of an older version."""

import copy
import json

import pytest
from command_line import ROOT
from sentences import refused

from skt_tf.reports.results import finished, grow, method_entry, read_results

OLDER = ROOT / "docs/results/cifar10_short/results.json"
SOUND = ROOT / "docs/results/cifar10_fast_short/results.json"


def results_of(config, **accuracies):
    entries = {}
    for name, found in accuracies.items():
        entries[name] = method_entry((), {}, 0) | {"accuracies": found or [], "ensemble": 0.5}
        if found is None:
            entries[name] |= {"failed": {"message": "it diverged"}, "ensemble": None}
    return {"config": config, "methods": entries}


def test_what_was_asked_for_and_never_trained_is_no_part_of_a_run():
    results = results_of(
        {"methods": ["kd", "skt", "fsp"], "nets": 4}, skt=[0.5, 0.5], kd=[0.5], fsp=[]
    )
    grow(results)
    assert results["config"] == {"methods": ["kd", "skt"], "nets": 2}
    assert list(results["methods"]) == ["kd", "skt"]


def test_what_is_asked_for_is_a_part_of_it_in_the_order_of_the_methods():
    results = results_of({"methods": ["skt"], "nets": 2}, skt=[0.5, 0.5])
    grow(results, ("fsp", "baseline"), 3)
    assert results["config"] == {"methods": ["baseline", "fsp", "skt"], "nets": 3}


def test_a_run_in_which_all_failed_keeps_the_number_that_was_asked_for():
    results = results_of({"methods": ["baseline"], "nets": 2}, baseline=None)
    grow(results)
    assert results["config"] == {"methods": ["baseline"], "nets": 2}


def test_more_nets_that_were_asked_for_and_never_trained_are_not_counted(tmp_path):
    results = json.loads(OLDER.read_text("utf-8"))
    results["config"]["nets"] = 4
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert finished(tmp_path)["config"]["nets"] == 1
    del results["methods"]["skt"]
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    with refused("without all nets of skt:"):
        finished(tmp_path)


def test_what_a_record_of_the_first_version_lacks_is_added():
    older = json.loads(OLDER.read_text("utf-8"))
    assert "failed" not in older["teacher"]
    results = read_results(OLDER)
    assert results["teacher"]["failed"] is results["teacher"]["final_loss"] is None
    assert {entry["failed"] for entry in results["methods"].values()} == {None}


# Where results.json is damaged, and what stands there instead.
GONE = object()
DAMAGES = {
    "no methods": (["methods"], GONE),
    "methods of another kind": (["methods"], []),
    "a method with nothing in it": (["methods", "hint"], {}),
    "a method without stages": (["methods", "hint", "stages"], GONE),
    "an accuracy that is a word": (["methods", "hint", "accuracies"], ["high"]),
    "an accuracy above one": (["methods", "hint", "accuracies"], [1.5]),
    "no environment": (["environment"], GONE),
    "environment of another kind": (["environment"], "here"),
    "a teacher without an accuracy": (["teacher"], {"depth": 8}),
    "a teacher of another kind": (["teacher"], "x"),
    "no weights of flows": (["flow_weights"], {}),
    "a weight that is a word": (["flow_weights", "p0_p1"], "heavy"),
    "no configuration": (["config"], GONE),
    "a network of words": (["networks", "student", "flops_per_image"], "many"),
    "an image of nothing": (["shown", "image"], {}),
    "an image of other bytes": (["shown", "image", "values"], "AAAA"),
    "a matrix of other bytes": (["methods", "skt", "matrices", "p0_p1", "values"], "%%%"),
    "no matrices of the teacher": (["shown", "teacher"], None),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_results_are_refused(name, tmp_path):
    sound = json.loads(SOUND.read_text("utf-8"))
    assert read_results(SOUND) == sound
    results = copy.deepcopy(sound)
    (*way, last), value = DAMAGES[name]
    place = results
    for key in way:
        place = place[key]
    place[last] = value
    if value is GONE:
        del place[last]
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    with refused(r"results\.json is not a results file"):
        read_results(tmp_path / "results.json")
