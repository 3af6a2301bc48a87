"""What `pip install .` installs."""

import shutil
import subprocess
import sys
import zipfile

from command_line import ROOT

import skt_tf


def test_a_wheel_brings_the_package_and_the_command(tmp_path):
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "skt_tf", clone / "skt_tf", ignore=ignored)
    run = "docs/results/cifar10_sixteenth"  # Of the presets.
    shutil.copytree(ROOT / run, clone / run)
    (clone / "tests").mkdir()
    for path in (*ROOT.glob("*.*"), ROOT / "LICENSE", ROOT / "tests/requirements.txt"):
        if path.is_file():
            shutil.copy(path, clone / path.relative_to(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", tmp_path, clone],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    folder = f"skt_tf-{skt_tf.__version__}.dist-info"
    assert {path.name for path in (tmp_path / "site").iterdir()} == {"skt_tf", folder}
    ours, theirs = (
        {path.relative_to(folder) for path in (folder / "skt_tf").rglob("*.*")}
        for folder in (clone, tmp_path / "site")
    )
    presets = theirs - ours
    assert ours <= theirs
    shipped = {"/".join(path.parts[4:]) for path in presets}
    nets = {str(p.relative_to(ROOT / run)) for p in (ROOT / run).glob("*/net0/student.keras")}
    left_out = {f"{method}/net0/student.keras" for method in ("baseline", "kd")}
    assert left_out < nets
    assert shipped == {"results.json", "teacher/model.keras", *nets} - left_out
    assert sum((tmp_path / "site" / path).stat().st_size for path in presets) < 5e6
    entries = (tmp_path / "site" / folder / "entry_points.txt").read_text()
    assert "skt-tf = skt_tf.main:console" in entries
    metadata = (tmp_path / "site" / folder / "METADATA").read_text()
    for line in ("Requires-Dist: keras", "Requires-Dist: keras-tuner", "Provides-Extra: onnx",
                 "License-Expression: Apache-2.0"):  # fmt: skip
        assert line in metadata
    program = (
        "import sys; from skt_tf.main import console; sys.argv = ['skt-tf', '--help']; console()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "site", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--transfer_steps" in done.stdout
    program = "import skt_tf; print(skt_tf.__file__, *skt_tf.presets())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "site", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    home, *names = done.stdout.split()
    assert home.startswith(str(tmp_path / "site"))
    in_clone = ("cifar10_resnet8_baseline", "cifar10_resnet8_kd")
    assert names == [name for name in skt_tf.presets() if name not in in_clone]
