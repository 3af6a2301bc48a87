"""Unit tests start no process: what does is in tests/commands or tests/robustness."""

import multiprocessing.util
import os
import platform
import subprocess

import pytest

platform.uname().processor  # noqa: B018 – libraries ask for it; Python asks a process, once.


@pytest.fixture(autouse=True, scope="module")
def no_processes():
    def refuse(*arguments, **options):
        raise AssertionError(f"a unit test starts a process: {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        patch.setattr(multiprocessing.util, "spawnv_passfds", refuse)
        for name in ("fork", "forkpty", "posix_spawn", "system"):
            patch.setattr(os, name, refuse)
        yield
