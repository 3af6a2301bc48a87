"""Who may go on with a run, and where one may begin."""

import json

import pytest
from sentences import refused

from skt_tf.configuration import Config
from skt_tf.experiments.run_folder import resume
from skt_tf.utils.records import refuse_strangers


def begun(folder, config):
    """Writes results.json of a run that has just begun."""
    results = resume(folder, config, {})
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return results


def test_what_was_begun_is_gone_on_with(tmp_path):
    config = Config(dataset="digits", methods=("kd",))
    assert resume(tmp_path, config, {}) == begun(tmp_path, config)


def test_another_experiment_is_refused_with_what_differs_and_nothing_else(tmp_path):
    begun(tmp_path, Config(dataset="digits"))
    with refused("holds another experiment") as refusal:
        resume(tmp_path, Config(dataset="digits", seed=7, learning_rate=0.25), {})
    sentence = str(refusal.value)
    for part in (
        "seed (0 there, 7 here)",
        "learning_rate (0.1 there, 0.25 here)",
        "give another folder",
    ):
        assert part in sentence
    for name in ("width", "batch_size", "teacher_steps", "precision"):
        assert name not in sentence


@pytest.mark.parametrize(
    ("path", "says"), [("letter.txt", "is a file"), ("", "holds other files and no results.json")]
)
def test_a_run_begins_in_no_file_and_among_no_other_files(path, says, tmp_path):
    refuse_strangers(tmp_path, "results.json")
    (tmp_path / ".draft-of-a-run-that-was-killed").touch()
    refuse_strangers(tmp_path, "results.json")
    (tmp_path / "letter.txt").write_text("dear")
    with refused(f"^output_dir=.* {says}"):
        refuse_strangers(tmp_path / path, "results.json")
