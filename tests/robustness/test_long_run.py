"""What shows in minutes alone: only where the environment says SKT_TF_LONG=1."""

import contextlib
import pathlib
import random
import signal
import statistics
import subprocess
import time

import pytest
from command_line import SLOW, ran, running, tiny, without_times

pytestmark = [SLOW, pytest.mark.timeout(3 * 3600)]


def test_a_run_on_real_images_that_is_killed_every_minute_ends_with_the_same_bytes(tmp_path):
    import tensorflow_datasets as tfds

    run = tiny(
        dataset="cifar10" if tfds.builder("cifar10").is_prepared() else "digits",
        methods="baseline,hint,skt", teacher_depth=None, width=None, batch_size=None,
        teacher_steps=150, transfer_steps=120, hint_steps=60, task_steps=100, evaluations=3,
        checkpoint_every="5s", output_dir=None,
    )  # fmt: skip
    ran(*run, "--output_dir=undisturbed", cwd=tmp_path, timeout=3600, anew=True)
    status, kills = None, -1
    while status != 0:
        process = running([*run, "--output_dir=killed"], tmp_path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(20, 100))
        process.kill()
        status = process.wait()
        assert status in (0, -signal.SIGKILL), (tmp_path / "stderr").read_text()
        kills += 1
    assert kills > 0
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "undisturbed")


def resident(process):
    """Bytes that a process has in memory."""
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="Linux alone says so")
@pytest.mark.parametrize("method", ["baseline", "fsp"])
def test_memory_does_not_grow_with_the_iterations(method, tmp_path):
    many = {"baseline": {"task_steps": 6000}, "fsp": {"task_steps": 10, "transfer_steps": 4000}}
    run = tiny(
        methods=method, teacher_depth=14, width=None, batch_size=None, teacher_steps=10,
        evaluations=40, checkpoint_every="1s", **many[method],
    )  # fmt: skip
    process = running(run, tmp_path)
    sizes = []
    while process.poll() is None:
        if f"{method}, net 1 of 1, stage 1" in (tmp_path / "stdout").read_text():
            sizes.append(resident(process))
        time.sleep(0.5)
    assert process.returncode == 0, (tmp_path / "stderr").read_text()
    quarter = len(sizes) // 4
    assert quarter >= 10
    second, last = sizes[quarter : 2 * quarter], sizes[3 * quarter : -2]
    assert statistics.median(last) < 1.03 * statistics.median(second)
