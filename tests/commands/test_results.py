"""results.json of a run that goes on, or is verified, is looked at before it is used."""

import copy
import json
import shutil

import pytest
from command_line import finished_run, skt_tf, snapshot
from sentences import is_one_sentence, refused

from skt_tf.configuration import Config
from skt_tf.experiments.run_folder import resume
from skt_tf.reports.results import finished

GONE = object()
DAMAGES = {
    "no methods": (["methods"], GONE),
    "methods of another kind": (["methods"], []),
    "a method with nothing in it": (["methods", "kd"], {}),
    "a method without stages": (["methods", "kd", "stages"], GONE),
    "an accuracy that is a word": (["methods", "kd", "accuracies"], ["high"]),
    "an accuracy above one": (["methods", "kd", "accuracies"], [1.5]),
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


@pytest.fixture(scope="module")
def sound():
    return json.loads((finished_run().folder / "results.json").read_text(encoding="utf-8"))


@pytest.fixture
def written(sound, tmp_path):
    """Writes results with one part changed; the folder."""

    def write(where=(), value=GONE):
        results = copy.deepcopy(sound)
        if where:
            *way, last = where
            place = results
            for name in way:
                place = place[name]
            if value is GONE:
                del place[last]
            else:
                place[last] = value
        (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
        return tmp_path

    return write


def config_of(results):
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in results["config"].items()}
    return Config(**values)


def test_sound_results_are_taken_as_they_are(sound, written):
    folder = written()
    assert resume(folder, config_of(sound), {}) == sound
    assert finished(folder) == sound


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_results_are_refused(name, sound, written):
    folder = written(*DAMAGES[name])
    for read in (lambda: resume(folder, config_of(sound), {}), lambda: finished(folder)):
        with refused(r"results\.json is not a results file"):
            read()


def test_the_command_line_refuses_damaged_results_and_changes_nothing(tmp_path):
    run = shutil.copytree(finished_run().folder, tmp_path / "run")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    results["methods"]["kd"] = {}
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    before = snapshot(tmp_path)
    done = skt_tf("--job=verify", "--output_dir=run", cwd=tmp_path)
    assert done.returncode == 2
    assert is_one_sentence(done.stderr)
    assert snapshot(tmp_path) == before
