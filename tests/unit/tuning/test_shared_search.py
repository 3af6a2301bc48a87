"""A search's folder that is damaged, and its chief: one sentence, or the right continuation."""

import json
import shutil
import socket

import pytest
from command_line import is_one_sentence
from sentences import refused

import skt_tf
from skt_tf.configuration import Config
from skt_tf.tuning import chief, tune, tuner
from skt_tf.utils.errors import UserError
from skt_tf.utils.locks import LOCK


@pytest.fixture
def trained(monkeypatch):
    """Lets each trial take no time; the numbers of those that were trained."""
    numbers = []

    def train(self, name, values):
        numbers.append(int(name))
        return 0.5 + int(name) / 10

    monkeypatch.setattr(tuner.Tuner, "_train", train)
    return numbers


def search(folder, **options):
    options = {"tuner": "random", "trials": 3, "methods": ("baseline",), **options}
    return tune.run(
        Config(job="tune", dataset="digits", width=2, output_dir=str(folder), **options)
    )


@pytest.fixture
def finished(trained, tmp_path):
    """The folder of a search of three trials, whose name is a pattern."""
    folder = tmp_path / "a [search]"
    search(folder)
    assert trained == [0, 1, 2]
    trained.clear()
    return folder


@pytest.fixture
def networks(tmp_path):
    """{name: path} of saved networks: two that are alike but for their layers, and a wide one."""
    kinds = {"small": (8, 2), "deep": (14, 2), "wide": (8, 4)}
    paths = {name: tmp_path / f"{name}.keras" for name in kinds}
    for name, (depth, width) in kinds.items():
        skt_tf.resnet(depth, 10, (8, 8, 1), width).save(paths[name])
    return paths


def test_networks_that_do_not_fit_are_refused_before_the_teacher_is_trained(
    networks, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(tune, "train_teacher", lambda *_: pytest.fail("it is trained"))
    for student, says in ((tmp_path / "gone.keras", "does not exist"),
                          (networks["wide"], "same channels")):  # fmt: skip
        for method in ("skt", "kd") if says == "does not exist" else ("skt",):
            with refused(says):
                search(tmp_path / "run", methods=(method,), student=str(student))
            assert not (tmp_path / "run" / tune.RECORD).exists()
    assert not trained


def test_a_search_goes_on_with_its_student_alone(networks, trained, tmp_path):
    search(tmp_path / "run", student=str(networks["small"]), trials=1)
    record = tmp_path / "run" / tune.RECORD
    before = record.read_bytes()
    with refused("another network than this run was begun with"):
        search(tmp_path / "run", student=str(networks["deep"]))
    assert record.read_bytes() == before
    shutil.copy(networks["small"], tmp_path / "same.keras")
    search(tmp_path / "run", student=str(tmp_path / "same.keras"), trials=2)
    assert trained == [0, 1]


def test_a_teacher_is_kept_before_what_it_would_be_trained_on_from_goes(
    trained, tmp_path, monkeypatch
):
    options = {"methods": ("fsp",), "trials": 1, "teacher_depth": 8, "teacher_steps": 2}
    noted = tune.note_flow_weights

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "note_flow_weights", killed)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", **options)
    monkeypatch.setattr(tune, "note_flow_weights", noted)
    monkeypatch.setattr(tune, "train_teacher", lambda *_: pytest.fail("it is trained again"))
    search(tmp_path / "run", **options)
    assert trained == [0]


def test_a_search_goes_on_whatever_it_does_not_read(finished, trained):
    search(finished, trials=4, nets=3)
    assert trained == [3]


def removed(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def spoilt(text):
    """A trial whose learning rate is a word."""
    state = json.loads(text)
    state["hyperparameters"]["values"]["learning_rate"] = "x"
    return json.dumps(state)


@pytest.mark.parametrize(
    ("name", "text"),
    [("trial_1/trial.json", spoilt),
     ("oracle.json", None), ("oracle.json", ""), ("oracle.json", "[]"), ("oracle.json", "{}"),
     ("trial_1", None), ("trial_1/trial.json", "["), ("trial_2/trial.json", "{}"), ("", None)],
)  # fmt: skip
def test_a_damaged_search_is_refused_in_a_sentence(name, text, finished, trained):
    path = finished / "search" / name
    if callable(text):
        text = text(path.read_text())
    removed(path) if text is None else path.write_text(text)
    if not name:  # Other files say that it has ended, too.
        (finished / "trials.json").unlink()
    with pytest.raises(UserError, match="holds a search that is damaged") as refusal:
        search(finished)
    assert is_one_sentence(str(refusal.value))
    assert not trained


@pytest.mark.parametrize("text", [None, "", "[]"])
def test_a_file_that_holds_nothing_may_be_damaged_or_missing(text, finished, trained):
    path = finished / "search/tuner0.json"
    removed(path) if text is None else path.write_text(text)
    before = (finished / "trials.json").read_text()
    search(finished)
    assert not trained
    assert (finished / "trials.json").read_text() == before
    search(finished, trials=4)
    assert trained == [3]


def test_a_best_trial_that_had_a_share_of_the_iterations_is_said_to(trained, tmp_path, capsys):
    search(tmp_path / "run", tuner="hyperband", trials=2)
    says = "of the validation images, after 1/9 of the iterations"
    assert says in capsys.readouterr().out
    for name in ("best.flags", "report.md"):
        assert says in (tmp_path / "run" / name).read_text()
    search(tmp_path / "whole", trials=1)
    assert "of the iterations" not in (tmp_path / "whole/best.flags").read_text()


@pytest.fixture
def process(monkeypatch):
    """Sets keras-tuner's variables: process(name, port)."""

    def be(name, port, host="127.0.0.1"):
        for key, value in (("TUNER_ID", name), ("ORACLE_PORT", port), ("ORACLE_IP", host)):
            monkeypatch.setenv(f"KERASTUNER_{key}", str(value))

    return be


@pytest.mark.parametrize(
    ("name", "port", "host", "says"),
    [("chief", "eight", "127.0.0.1", "KERASTUNER_ORACLE_PORT=eight is no port"),
     ("tuner0", "", "127.0.0.1", "KERASTUNER_ORACLE_PORT= is no port"),
     ("tuner0", "70000", "127.0.0.1", "from 1 to 65535"),
     ("", "8000", "127.0.0.1", "KERASTUNER_TUNER_ID is not"),
     ("chief", "8000", "", "KERASTUNER_ORACLE_IP is empty"),
     ("tuner0", "8000", "nowhere.invalid", "KERASTUNER_ORACLE_IP=nowhere.invalid cannot be found"),
     ("chief", "8000", "203.0.113.1", "at port 8000 of KERASTUNER_ORACLE_IP=203.0.113.1")],
)  # fmt: skip
def test_what_is_no_place_for_a_chief_is_refused(name, port, host, says, process, tmp_path):
    process(name, port, host)
    with pytest.raises(UserError, match=says) as refusal:
        search(tmp_path / "run")
    assert is_one_sentence(str(refusal.value))
    assert not (tmp_path / "run").exists()


def test_a_chief_s_port_that_is_in_use_is_refused(process, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process("chief", port := taken.getsockname()[1])
        with pytest.raises(UserError, match=f"the chief cannot listen at port {port}"):
            search(tmp_path / "run")


def test_a_worker_does_not_wait_for_a_chief_that_died_before_it_was_ready(
    finished, process, monkeypatch
):
    record = finished / tune.RECORD
    record.write_text(json.dumps({**json.loads(record.read_text()), "ready": False}))
    process("tuner0", 8000)
    monkeypatch.setattr(chief, "SILENCE", 1)
    for left in (False, True):
        if left:
            (finished / LOCK).touch()
        with pytest.raises(UserError, match=r"the chief of the search .* no life for 1 s"):
            search(finished)


def test_a_worker_waits_as_long_as_the_chief_shows_life(tmp_path, monkeypatch):
    monkeypatch.setattr(chief, "SILENCE", 0.8)
    monkeypatch.setattr(chief, "_BEAT", 0.1)
    (tmp_path / LOCK).touch()
    asked = []

    def ready():
        asked.append(None)
        return len(asked) > 3

    with chief.showing_life(tmp_path):
        chief.wait_for_chief(tmp_path, lambda: True, ready)


def test_a_worker_does_not_wait_for_a_chief_that_died_later(finished, process, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process("tuner0", port)
    monkeypatch.setattr(tuner, "SILENCE", 1)
    with pytest.raises(UserError, match=f"the chief at 127.0.0.1:{port} does not answer"):
        search(finished)
