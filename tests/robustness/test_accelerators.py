"""Every kind of stage trains in half precision and under XLA, and its step has a place on a GPU.

There is no GPU here: XLA and half precision run on the CPU, and what a GPU would run is looked up
in TensorFlow's registry of kernels, which its Linux wheel has for both.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from command_line import SLOW
from tensorflow.python.framework import kernels

import skt_tf
from skt_tf.methods.catalogue import TASK, stages

KINDS = {
    "transfer": stages("skt")[1],
    "kept": stages("skt")[1],
    "hint": stages("hint")[0],
    "soft_task": stages("hint")[1],
    "task": TASK,
}
STEPS = 20


@pytest.fixture(scope="module")
def data():
    return skt_tf.load_dataset("digits")


@pytest.fixture(scope="module")
def teacher(data):
    standard = data.mean, data.variance
    return skt_tf.resnet(8, 10, data.image_shape, 4, normalization=standard, seed=1)


@pytest.fixture(scope="module")
def kept(data, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "targets"
    return skt_tf.keep_targets(teacher, skt_tf.dense_flows(), data.first(320), 1, 0, path)


@pytest.fixture
def prepare(data, teacher, kept):
    def prepare(kind, precision="float32", jit_compile=False):
        """A compiled distiller and its batches."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            standard = data.mean, data.variance
            student = skt_tf.resnet(8, 10, data.image_shape, 4, normalization=standard, seed=2)
        finally:
            keras.config.set_dtype_policy(before)
        stage = KINDS[kind]
        flows = skt_tf.dense_flows()
        weights = skt_tf.normalized_flow_weights(teacher, flows, data.train_images[:100])
        distiller = skt_tf.SequentialDistiller(
            skt_tf.fold_batch_norm(teacher, precision.removeprefix("mixed_")),
            student,
            stage,
            flow_weights=weights,
            weight_decay=1e-3,
            steps=STEPS,
            hint_reduction="mean",
        )
        distiller.compile(keras.optimizers.SGD(0.02, momentum=0.9), jit_compile=jit_compile)
        views = {"kept": kept, "flows": stage.flows} if kind == "kept" else {}
        source = kept.dataset if kind == "kept" else data
        return distiller, skt_tf.training_batches(source, 32, 0, STEPS, **views)

    return prepare


def losses(distiller, batches):
    history = distiller.fit(batches, epochs=4, steps_per_epoch=STEPS // 4, shuffle=False, verbose=0)
    return np.array(history.history["loss"])


@pytest.fixture(scope="module")
def known():
    """{kind: losses in float32 without XLA}, made by whoever asks first."""
    return {}


@pytest.mark.parametrize(
    ("kind", "precision", "jit_compile", "tolerance"),
    [
        *((kind, "mixed_float16", False, 0.05) for kind in KINDS),
        *((kind, "mixed_bfloat16", False, 0.1) for kind in KINDS),
        *((kind, "float32", True, 0.01) for kind in ("transfer", "task")),
        ("soft_task", "mixed_float16", True, 0.05),
        # XLA takes its time.
        *(
            pytest.param(kind, "float32", True, 0.01, marks=SLOW)
            for kind in ("kept", "hint", "soft_task")
        ),
    ],
)
def test_every_kind_of_stage_trains_as_it_does_in_float32(
    prepare, known, kind, precision, jit_compile, tolerance
):
    if kind not in known:
        known[kind] = losses(*prepare(kind))
    distiller, batches = prepare(kind, precision, jit_compile)
    found = losses(distiller, batches)
    assert known[kind][-1] < 0.98 * known[kind][0]
    np.testing.assert_allclose(found, known[kind], rtol=tolerance)
    assert {v.dtype for v in distiller.student.trainable_variables} == {"float32"}


def nodes(graph):
    """All nodes of a GraphDef, those of the functions it calls included."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def is_on_gpu(node):
    """Whether TensorFlow has a kernel for `node` on GPUs; Python's have one that is none."""
    if "PyFunc" in node.op:
        return False
    for kernel in kernels.get_registered_kernels_for_op(node.op).kernel:
        if kernel.device_type in ("GPU", "DEFAULT") and all(
            node.attr[rule.name].type in rule.allowed_values.list.type
            for rule in kernel.constraint
            if node.attr[rule.name].type
        ):
            return True
    return False


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_step_goes_back_to_the_host(prepare, kind, precision):
    distiller, batches = prepare(kind, precision)
    step = tf.function(distiller.train_step)
    graph = step.get_concrete_function(next(iter(batches))).graph.as_graph_def()
    ops = {node.op for node in nodes(graph)}
    assert "Conv2DBackpropFilter" in ops
    calls = {"StatefulPartitionedCall", "PartitionedCall"}
    absent = {n.op for n in nodes(graph) if n.op not in calls and not is_on_gpu(n)}
    assert not absent


@pytest.mark.parametrize("kind", ["task", "kept"])
def test_the_pipeline_calls_no_python(prepare, kind):
    _, batches = prepare(kind)
    serialized = tf.raw_ops.DatasetToGraphV2(input_dataset=batches._variant_tensor)
    graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
    ops = {node.op for node in nodes(graph)}
    assert "RandomIndexShuffle" in ops
    assert not {op for op in ops if "PyFunc" in op}
