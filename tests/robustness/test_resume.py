"""Runs that are killed, stopped or disturbed end as if nothing had happened."""

import concurrent.futures
import os
import random
import re
import shutil
import signal
import time

import pytest
from command_line import (
    WHOLE,
    copied,
    ran,
    running,
    skt_tf,
    snapshot,
    tiny,
    without_times,
    without_warnings,
)
from sentences import is_one_sentence

from skt_tf.models.resnet import resnet

KILLS = int(os.environ.get("SKT_TF_KILLS", "2"))
TINY = tiny(
    student_depth=8, teacher_steps=20, transfer_steps=14, hint_steps=7, task_steps=10, evaluations=3
)
# Between them: every kind of stage, kept targets, a hint with a regressor, scaled losses,
# held-out images, both schedules.
RUNS = {
    "all stages": ("--methods=hint,skt", "--target_views=2", "--schedule=onecycle"),
    "regressor": (
        "--methods=hint", "--teacher=wide.keras", "--precision=mixed_float16", "--validation=100",
        "--nets=2",
    ),
}  # fmt: skip
ALONE = (*TINY, "--methods=baseline", "--checkpoint_every=2")
# Kills the process at the given call of what moves, removes or flushes files.
KILLER = """
import os, signal

left = [{at}]

def deadly(name):
    real = getattr(os, name)
    def call(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call

for name in ("replace", "fsync", "unlink", "rmdir"):
    setattr(os, name, deadly(name))
"""


def command(name, *more):
    # Seldom enough that steps lie between, often enough that most kills find a checkpoint.
    return [*TINY, *RUNS[name], "--checkpoint_every=2", *more]


def new_folder(place, wide):
    place.mkdir()
    shutil.copy(wide, place / "wide.keras")
    return place


def content(cwd):
    return without_times(cwd / "run")


def reaches(title, process, cwd):
    """Waits for the first interval of the stage of that title; whether it comes before the end."""
    for _ in range(30_000):
        if re.search(f"{title}.*?Epoch 1/", (cwd / "stdout").read_text(), re.DOTALL):
            return True
        if process.poll() is not None:
            assert process.poll() == 0, (cwd / "stderr").read_text()
            return False
        time.sleep(0.01)
    raise AssertionError(f"'{title}' was never printed")


@pytest.fixture(autouse=True, scope="module")
def whole():
    # Some of the processes start anew, and a kill may come as a picture is written.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WHOLE, "1")
        yield


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    path = tmp_path_factory.mktemp("wide") / "wide.keras"
    resnet(8, 10, (8, 8, 1), 6, seed=1).save(path)
    return path


@pytest.fixture(scope="module")
def references(wide, tmp_path_factory):
    """{name: (folder, seconds)} of each of RUNS, which nobody disturbed."""
    place = tmp_path_factory.mktemp("references")

    def run(name):
        cwd, began = new_folder(place / name, wide), time.monotonic()
        # One in a process that shares nothing with the copies that it is compared with.
        done = skt_tf(*command(name), cwd=cwd, anew=name == "all stages")
        assert done.returncode == 0, done.stderr
        return cwd, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(RUNS, pool.map(run, RUNS)))


def kill_and_go_on(name, kills, at_writing, stop, reference, cwd, seed):
    """Kills a run `kills` times, stops it once, then lets it end; anew where it ends before."""
    draw = random.Random(seed)
    killed, stopped = 0, False
    while True:
        last = stopped and killed == kills
        if killed < kills and at_writing:
            process = copied(command(name), cwd, KILLER.format(at=draw.randint(1, 120)))
        elif killed < kills:
            process = copied(command(name), cwd)
            time.sleep(draw.uniform(0, 0.8 * reference[1]))
            process.kill()
        elif last:
            # From nothing, as a machine does that was switched off.
            process = (copied if at_writing else running)(command(name), cwd)
        else:
            number, moment = stop
            # Nothing is saved within a stage but for the signal.
            process = copied(command(name, "--checkpoint_every=1000"), cwd)
            if reaches(moment, process, cwd):
                process.send_signal(number)
        status = process.wait()
        if status == 0:
            assert content(cwd) == content(reference[0]), (name, at_writing, seed)
            if last:
                said = (cwd / "stdout").read_text()
                assert "going on after iteration" in said
                return
            shutil.rmtree(cwd / "run")
        elif killed < kills:
            assert status == -signal.SIGKILL, (cwd / "stderr").read_text()
            killed += 1
        else:
            assert not last, (cwd / "stderr").read_text()
            check_stopped(status, number, cwd)
            stopped = True


def check_stopped(status, number, cwd):
    """Asserts that a signal has ended a run, which says how to go on."""
    message = without_warnings((cwd / "stderr").read_text()).strip()
    assert status == 128 + number, message
    assert is_one_sentence(message)
    assert number.name in message
    assert "the same command" in message
    assert not (cwd / "run" / ".lock").exists()


# Each kill is a start of some ten seconds, on a busy machine of a minute.
@pytest.mark.timeout(300 + 120 * KILLS)
def test_a_run_that_is_killed_and_stopped_ends_with_the_same_bytes(references, wide, tmp_path):
    seed = random.randrange(2**32)
    chains = [
        ("all stages", True, (signal.SIGTERM, "stage 2 of 3: step2")),
        ("regressor", False, (signal.SIGINT, "net 2 of 2, stage 2 of 2")),
    ]

    def chain(k):
        name, at_writing, stop = chains[k]
        cwd = new_folder(tmp_path / f"{name} {at_writing}", wide)
        kills = KILLS * (k + 1) // len(chains) - KILLS * k // len(chains)
        kill_and_go_on(name, kills, at_writing, stop, references[name], cwd, seed)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(chain, range(len(chains))))


def test_another_seed_gives_other_bytes_and_what_was_there_is_kept(tmp_path):
    ran(*ALONE, cwd=tmp_path)
    other = content(tmp_path)
    done = ran(*ALONE, "--fresh", "--seed=1", cwd=tmp_path)
    assert "kept as run.1" in done.stdout
    one = content(tmp_path)
    networks = "teacher/model.keras", "baseline/net0/student.keras"
    for path in (*networks, "baseline/net0/metrics.csv"):
        assert one[path] != other[path]
    assert without_times(tmp_path / "run.1") == other


def test_a_signal_while_libraries_are_loaded_ends_the_process_and_writes_nothing(tmp_path):
    process = running(TINY, tmp_path)
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 128 + signal.SIGTERM
    message = (tmp_path / "stderr").read_text()
    assert is_one_sentence(message)
    assert "SIGTERM" in message
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder whose run was killed as it was writing a checkpoint in the teacher's training."""
    cwd = tmp_path_factory.mktemp("killed")
    process = copied(ALONE, cwd, KILLER.format(at=55))
    assert process.wait() == -signal.SIGKILL
    return cwd


def test_where_all_checkpoints_are_damaged_the_run_stays_as_it_is(killed, tmp_path):
    cwd = tmp_path / "work"
    shutil.copytree(killed, cwd)
    found = list((cwd / "run/teacher/checkpoints").glob("[0-9]*/variables.data-00000-of-00001"))
    assert found
    for path in found:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = snapshot(cwd / "run")
    done = skt_tf(*ALONE, cwd=cwd)
    assert done.returncode == 2
    assert is_one_sentence(done.stderr)
    for words in ("damaged", "run/teacher/checkpoints", "--fresh"):
        assert words in done.stderr
    kept = {path: value for path, value in before.items() if ".draft-" not in path}
    kept.pop(".lock")
    assert snapshot(cwd / "run") == kept
