"""Full disks, folders of others, readers that go away: one sentence, and nothing half-written."""

import os
import shutil
import subprocess

import pytest
from command_line import SLOW, Attempt, check_refused, ran, running, skt_tf, snapshot, tiny
from sentences import is_one_sentence

from skt_tf.models.resnet import resnet

TINY = tiny(methods="baseline", width=2, teacher_steps=4, evaluations=1, output_dir=None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_others_is_not_written_to(tmp_path):
    (tmp_path / "run").mkdir(mode=0o555)
    before = snapshot(tmp_path)
    done = skt_tf(*TINY, "--output_dir=run", cwd=tmp_path)
    check_refused(Attempt(done, before, snapshot(tmp_path)), ["--output_dir=run", "written"])


def test_a_reader_that_goes_away_ends_the_run_in_one_sentence(tmp_path):
    process = running([*TINY, "--teacher_steps=2000"], tmp_path, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(300) == 2
    message = (tmp_path / "stderr").read_text()
    assert is_one_sentence(message), message
    assert "output" in message


def check_ended(done, *parts):
    """Asserts that a command ended in one sentence that has all `parts`."""
    assert done.returncode == 2, done.stderr
    assert is_one_sentence(done.stderr), done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.fixture
def small_disk(request, tmp_path):
    """The folder `disk`, a file system in memory of a size that the test gives."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", place]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("small_disk", ["128k"], indirect=True)
def test_an_export_onto_a_full_disk_leaves_nothing(small_disk, tmp_path):
    resnet(8, 10, (8, 8, 1), 2, seed=0).save(tmp_path / "student.keras")
    student = ["--job=export", "--student=student.keras"]
    done = skt_tf(*student, "--output_dir=disk/new", cwd=tmp_path)
    check_refused(Attempt(done, {}, snapshot(small_disk)), ["disk/new", "o space left"])


@pytest.mark.parametrize("small_disk", ["4k"], indirect=True)
def test_where_not_even_a_lock_fits_nothing_is_left(small_disk, tmp_path):
    (small_disk / "ballast").write_bytes(bytes(4096))
    before = snapshot(small_disk)
    done = skt_tf(*TINY, "--output_dir=disk/run", cwd=tmp_path)
    check_refused(Attempt(done, before, snapshot(small_disk)), ["disk/run", "o space left"])


@pytest.mark.parametrize("small_disk", ["64k"], indirect=True)
def test_a_full_folder_for_temporary_files_is_named(small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(small_disk))
    done = skt_tf(*TINY, "--output_dir=run", cwd=tmp_path, anew=True)
    check_ended(done, str(small_disk))


@SLOW  # In this process: tests/unit/training/test_failed_operations.py.
@pytest.mark.parametrize("small_disk", ["40k"], indirect=True)
def test_a_disk_that_logs_have_filled_is_not_taken_for_memory(small_disk, tmp_path):
    # Nothing but the logs is written while the teacher is trained.
    many = ["--tensorboard", "--teacher_steps=300", "--evaluations=300"]
    done = skt_tf(*TINY, *many, "--output_dir=disk/run", cwd=tmp_path)
    check_ended(done, "disk/run", "o space left")


@pytest.mark.parametrize("small_disk", ["256k"], indirect=True)
def test_a_full_disk_is_named_and_with_room_the_run_goes_on(small_disk, tmp_path):
    run = [*TINY, "--checkpoint_every=1"]
    done = skt_tf(*run, "--output_dir=disk/run", cwd=tmp_path)
    check_ended(done, "disk/run", "o space left")
    # The teacher's training had begun, and nothing half-written is left.
    assert (small_disk / "run/results.json").exists()
    assert not [path for path in snapshot(small_disk) if ".draft" in path or ".lock" in path]
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = ran(*run, "--output_dir=disk/run", cwd=tmp_path)
    done = skt_tf(*run, "--output_dir=elsewhere", cwd=tmp_path)
    for path in ("teacher/model.keras", "baseline/net0/student.keras", "baseline/net0/metrics.csv"):
        other = (tmp_path / "elsewhere" / path).read_bytes()
        assert (small_disk / "run" / path).read_bytes() == other
