"""--job=export with several formats: each is run and compared, or refused with what is missing."""

import json

import pytest
from command_line import finished_run, skt_tf, snapshot
from sentences import is_one_sentence


def test_the_command_compares_every_file_with_the_student(tmp_path):
    path = finished_run().folder / "kd/net0/student.keras"
    arguments = ("--job=export", f"--student={path}", "--export=saved_model,litert,onnx")
    wrong = skt_tf(*arguments, "--dataset=cifar10", "--output_dir=out", cwd=tmp_path)
    assert wrong.returncode == 2
    assert is_one_sentence(wrong.stderr)
    done = skt_tf(*arguments, "--dataset=digits", "--output_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = json.loads((tmp_path / "out/export.json").read_text())["formats"]
    assert {"saved_model", "litert", "litert_int8", "onnx"} <= set(rows)
    for kind in ("saved_model", "litert", "onnx"):
        assert rows[kind]["agreement"] == 1.0
    for row in rows.values():
        assert row["milliseconds"] > 0
        assert row["bytes"] > 0
    assert "litert_int8" in (tmp_path / "out/export.md").read_text()


@pytest.mark.parametrize(("kind", "module"), [("onnx", "tf2onnx"), ("onnx", "onnxruntime")])
def test_a_missing_package_is_named_with_how_to_install_it(kind, module, tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / f"hidden/{module}.py").write_text("raise ImportError('hidden')")
    (tmp_path / "work").mkdir()
    path = finished_run().folder / "kd/net0/student.keras"
    done = skt_tf(
        "--job=export", f"--student={path}", f"--export={kind}", "--dataset=digits",
        "--output_dir=out", cwd=tmp_path / "work", before=(tmp_path / "hidden",),
    )  # fmt: skip
    assert done.returncode == 2
    assert f"needs {module}" in done.stderr
    assert "pip install" in done.stderr
    assert is_one_sentence(done.stderr)
    assert snapshot(tmp_path / "work") == {}
