"""The command line as a person uses it: a process of its own, in a folder of its own."""

import contextlib
import dataclasses
import fcntl
import functools
import gc
import importlib
import json
import multiprocessing
import os
import pathlib
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest
from sentences import is_one_sentence

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A stage makes many objects that stay, and looking at them again and again takes its time.
gc.set_threshold(10_000, 20, 100)

SLOW = pytest.mark.skipif(
    not os.environ.get("SKT_TF_LONG"),
    reason="a second line, or minutes long: SKT_TF_LONG=1 runs it",
)
# Where this stands in the environment, copies of the command leave nothing out.
WHOLE = "SKT_TF_WHOLE"
METHODS = ("baseline", "kd", "hint", "skt")
NETS = 2
# An experiment of a few seconds.
TINY = {
    "dataset": "digits",
    "teacher_depth": 8,
    "width": 4,
    "batch_size": 32,
    "teacher_steps": 12,
    "transfer_steps": 6,
    "hint_steps": 2,
    "task_steps": 4,
    "evaluations": 2,
    "output_dir": "run",
}


def tiny(**changed):
    """The flags of a tiny experiment, but for what is `changed`; None leaves a flag out."""
    given = {**TINY, **changed}.items()
    return tuple(f"--{name}={value}" for name, value in given if value is not None)


RUN = tiny(methods=",".join(METHODS), teacher_depth=14, student_depth=8, nets=NETS, evaluations=4)


def _environment(before):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*before, ROOT)))}


def skt_tf(*arguments, cwd, anew=False, before=(), timeout=600):
    """Runs the command in `cwd`, in a process of its own.

    The process is a copy of one that has loaded TensorFlow, which takes longer than most commands
    do; it draws no pictures and optimizes no graphs, but for `WHOLE`. It may start `anew` instead,
    or with modules of the folders `before`, which hide installed ones.
    """
    if anew or before:
        return subprocess.run(
            [sys.executable, "-m", "skt_tf.main", *map(str, arguments)],
            cwd=cwd,
            env=_environment(before),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )
    [(out, error, code)] = together((arguments, "", {}), cwd=cwd, timeout=timeout)
    return subprocess.CompletedProcess(arguments, code, out, error)


def ran(*arguments, **options):
    """Likewise, and asserts that the command ended well."""
    done = skt_tf(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done


def running(arguments, cwd, stdout=None):
    """The command as a process in the background, its outputs in files of `cwd`."""
    with open(cwd / "stdout", "w") as file, open(cwd / "stderr", "w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "skt_tf.main", *arguments],
            cwd=cwd,
            env=_environment(()),
            stdout=stdout or file,
            stderr=stderr,
        )


def copied(arguments, cwd, prelude=""):
    """Likewise, as a copy of a process that has loaded TensorFlow; it runs `prelude` first."""
    return Copy(arguments, cwd, [cwd / "stdout", cwd / "stderr"], prelude)


def together(*commands, cwd, timeout=600):
    """Runs several commands at the same time; (stdout, stderr, exit code) of each.

    Args:
        commands: (arguments, prelude, {variable of the environment: value}).
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        started = []
        for number, (arguments, prelude, environment) in enumerate(commands):
            paths = [pathlib.Path(folder, f"{name}{number}") for name in ("stdout", "stderr")]
            copy = Copy(arguments, cwd, paths, prelude, **environment)
            stack.callback(copy.kill)
            started.append((copy, paths))
        codes = [copy.wait(timeout) for copy, _ in started]
        said = [[path.read_text("utf-8") for path in paths] for _, paths in started]
    return [(*texts, code) for texts, code in zip(said, codes)]


def places(number):
    """What the environments of the workers of a cluster on this machine say to each."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    cluster = {"worker": [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]}
    for s in sockets:
        s.close()
    tasks = [{"type": "worker", "index": index} for index in range(number)]
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def cluster(*commands, cwd, preludes=("", "")):
    """Runs each command as a worker of one cluster on this machine; see `together`."""
    return together(*zip(commands, preludes, places(len(commands))), cwd=cwd)


def devices(number):
    """Lets TensorFlow take this process' CPU for several; for preludes."""
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * number
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


class Copy:
    """The command in a copy of a process that has loaded TensorFlow; used like a `Popen`."""

    def __init__(self, arguments, cwd, outputs, prelude="", **environment):
        for path in outputs:
            path.write_text("")
        settings = {**_environment(()), **environment}
        given = [*map(str, arguments)], cwd, outputs, prelude, settings
        self._process = _SERVER.Process(target=_command, args=given)
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.poll()

    def kill(self):
        self._process.kill()

    def send_signal(self, number):
        os.kill(self.pid, number)


def undrawn(canvas, path, title):
    """In place of `figures.save`, where nobody looks at pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(title.encode())
    figures = importlib.import_module("skt_tf.reports.figures")
    return figures.Figure(path.name, title, b'<svg width="9pt"/>')


def _command(arguments, cwd, outputs, prelude, environment):
    """The command in this process, which ends with it; what it says goes to two files."""
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    sys.path.insert(0, str(ROOT))
    from skt_tf.utils.quiet import filtered_stderr

    # Where it is loaded, absl would look for GPUs before the command's own code can filter.
    with filtered_stderr():
        sys.modules["tensorflow"].config.list_physical_devices()
        cost = importlib.import_module("skt_tf.models.cost")
    # How fast networks are is measured by as few passes as there can be.
    cost._SECONDS = 0.0
    # Whole pictures and optimized graphs are of what starts anew, and of what is compared with it.
    if WHOLE not in environment:
        optimizer = sys.modules["tensorflow"].config.optimizer
        optimizer.set_experimental_options({"disable_meta_optimizer": True})
        if "--job=report" not in arguments:
            importlib.import_module("skt_tf.reports.figures").save = undrawn
    gc.freeze()
    sys.argv = ["skt_tf", *arguments]
    exec(prelude, {})
    runpy.run_module("skt_tf.main", run_name="__main__", alter_sys=True)


# It does nothing else. Its copies share what a process draws as it starts, such as the order of
# sets: what must not depend on that is run `anew`.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tensorflow", "keras", "matplotlib", "sklearn.datasets"])


def snapshot(folder):
    """{path: bytes, or None for a folder} of everything below `folder`."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in pathlib.Path(folder).rglob("*")
    }


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def without_times(folder):
    """{path: bytes} of a finished run's files; results.json as its values; no times."""
    files = snapshot(folder)
    results = json.loads(files["results.json"])
    for entry in (results["teacher"], *results["methods"].values()):
        assert entry.pop("seconds") >= 0
        for record in entry.get("shared", {}).get("records", ()):
            assert record.pop("seconds") >= 0
    for network in results["networks"].values():
        assert network.pop("images_per_second") > 0
    for report in ("report.md", "report.html"):
        del files[report]
    return {**files, "results.json": results}


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A command that may be refused, and all files around it before and after."""

    done: subprocess.CompletedProcess
    before: dict
    after: dict


def attempt(arguments, folder, cwd, **options):
    """Runs the command in `cwd`, a new copy of `folder`."""
    shutil.copytree(folder, cwd)
    content = snapshot(cwd)
    return Attempt(skt_tf(*arguments, cwd=cwd, **options), content, snapshot(cwd))


def without_warnings(said):
    # TensorFlow adds to the warning of a half precision, where oneDNN has no kernels for it.
    lines = r"^(skt_tf: warning: |E\d{4} .*oneDNN supports DT_).*\n"
    return re.sub(lines, "", said, flags=re.M)


def check_refused(attempt, parts):
    """Asserts that a command ended with one sentence that has all `parts`, and changed nothing."""
    done = attempt.done
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert is_one_sentence(without_warnings(done.stderr)), done.stderr
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr
    assert attempt.after == attempt.before


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run that ended: the folder it was started in, its output folder, what it said."""

    cwd: pathlib.Path
    folder: pathlib.Path
    done: subprocess.CompletedProcess


@functools.cache
def finished_run():
    """One tiny run of several methods on digits, made once for all tests; not to be changed."""
    shared = pathlib.Path(os.environ["SKT_TF_SHARED"])
    cwd, said = shared / "finished", shared / "finished.json"
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Tests run in several processes.
        if not said.exists():
            cwd.mkdir()
            done = skt_tf(*RUN, cwd=cwd, anew=True)
            said.write_text(json.dumps([done.args, done.returncode, done.stdout, done.stderr]))
    done = subprocess.CompletedProcess(*json.loads(said.read_text()))
    return Finished(cwd, cwd / "run", done)


def of_methods(folder, *methods, **config):
    """Leaves of a finished run's results those of `methods` alone, and changes its `config`."""
    results = results_of(folder)
    results["methods"] = {name: results["methods"][name] for name in methods}
    results["config"] |= {"methods": list(methods), **config}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder
