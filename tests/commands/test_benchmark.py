"""The benchmark counts what it says it counts, and its file holds together."""

import json

import pytest
import tensorflow as tf
from command_line import tiny, together

NAMES = (
    "teacher_forward",
    "student_flows",
    "task",
    "transfer_disjoint",
    "transfer_dense",
    "hint",
    "keras_distiller_float32",
    "keras_distiller_mixed_bfloat16",
    "keras_fit_task",
    "pipeline",
    "fit_task",
    "fit_transfer_dense",
    "fit_transfer_dense_kept",
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("benchmark")
    # One round of few images: here it does not matter how exact it is.
    hurry = (
        "from skt_tf.benchmarks import benchmark, step_costs\n"
        "benchmark.ROUNDS, benchmark._matmul_peak.__defaults__ = 1, (256, 4)\n"
        "step_costs.KEPT_IMAGES = 640\n"
    )
    arguments = tiny(
        job="benchmark", width=2, batch_size=16, precision="mixed_bfloat16", output_dir="first"
    )
    arguments += ("--peers", "--teacher_precision=bfloat16", "--methods=task+crd(negatives=8)")
    strangers = "first/run/.draft-9-model.keras", "first/.draft-9-notes.md"
    left = "first/.draft-benchmark-a/targets.float16", "first/.draft-9-benchmark.json"
    for name in strangers + left:
        (cwd / name).parent.mkdir(parents=True, exist_ok=True)
        (cwd / name).touch()
    [(said, error, code)] = together((arguments, hurry, {}), cwd=cwd)
    assert code == 0, error
    # What a benchmark that was killed has left, and nothing of others that are at work.
    found = {str(path.relative_to(cwd)) for path in cwd.rglob("*") if path.is_file()}
    assert found & {*strangers, *left} == {*strangers}
    for name in strangers:
        (cwd / name).unlink()
    (cwd / "first/run").rmdir()
    return cwd, said, json.loads((cwd / "first" / "benchmark.json").read_text(encoding="utf-8"))


def test_every_part_is_measured(measured):
    cwd, said, results = measured
    assert set(NAMES) <= set(results["stages"])
    for name in NAMES:
        row = results["stages"][name]
        assert name in said
        assert row["images_per_second"] * row["milliseconds"] == pytest.approx(16_000)
        if name != "pipeline":
            seconds = row["milliseconds"] / 1000
            peaks = results["peak_flops_per_second"]
            least = sum(16 * n / peaks[dtype] for dtype, n in row["flops_per_image"].items())
            assert row["share_of_peak"] == pytest.approx(least / seconds)
    saving = results["stages"]["checkpoint"]
    assert saving["images_per_second"] is None
    assert f"{saving['milliseconds'] / 60_000:.3%} of a stage" in said
    assert {path.name for path in (cwd / "first").iterdir()} == {"benchmark.json"}
    assert 1e8 < results["peak_memory_bytes"] < 1e11
    assert results["config"]["batch_size"] == 16
    assert results["environment"]["tensorflow"] == tf.__version__


def test_a_transfer_step_is_the_teacher_s_forward_pass_and_the_student_s_step(measured):
    _, _, results = measured
    flops = {
        name: sum(results["stages"][name]["flops_per_image"].values())
        for name in NAMES
        if name != "pipeline"
    }
    assert flops["fit_transfer_dense"] == flops["transfer_dense"]
    kept = flops["transfer_dense"] - flops["teacher_forward"]
    assert flops["fit_transfer_dense_kept"] == pytest.approx(kept)
    # Keras' own distiller runs the teacher once and the student twice, heads included.
    assert flops["keras_distiller_float32"] == pytest.approx(
        flops["teacher_forward"] + 2 * flops["task"], rel=0.15
    )


def test_the_students_flows_alone_are_their_products_and_the_gradients_of_these(measured):
    _, _, results = measured
    # 8×8 images, 2, 4 and 8 channels; positions of a flow: those of its smaller map.
    flows = [(2, 2, 64), (2, 4, 16), (4, 8, 4), (2, 4, 16), (2, 8, 4)]
    products = sum(2 * first * second * places for first, second, places in flows)
    counted = sum(results["stages"]["student_flows"]["flops_per_image"].values())
    assert counted == pytest.approx(3 * products)


def test_each_part_says_what_it_multiplies_in(measured):
    _, said, results = measured
    dtypes = {name: set(results["stages"][name]["flops_per_image"]) for name in NAMES}
    assert dtypes["keras_distiller_float32"] == {"float32"}
    # The convolutions in half precision; FSP matrices and logits are in float32 under any.
    assert dtypes["task"] == dtypes["transfer_dense"] == {"bfloat16", "float32"}
    assert set(results["peak_flops_per_second"]) == {"bfloat16", "float32"}
    assert "% bfloat16" in said
    # Of one round, a median is the ratio itself.
    milliseconds = {name: row["milliseconds"] for name, row in results["stages"].items()}
    parts = milliseconds["teacher_forward"] + milliseconds["task"]
    ratio = results["ratios"]["transfer to teacher's pass and task"]
    assert ratio == pytest.approx(milliseconds["transfer_dense"] / parts)
    assert f"{ratio:.2f}" in said


def test_the_stages_of_sequences_are_parts(measured):
    _, said, results = measured
    assert results["stages"]["task+crd(negatives=8)"]["milliseconds"] > 0
    assert "task+crd(negatives=8) to teacher's pass and task" in said
