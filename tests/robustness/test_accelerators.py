"""Every kind of stage trains in half precision, and its step has a place on a GPU.

Under XLA, too; all kinds with SKT_TF_LONG=1.

There is no GPU here: XLA and half precision run on the CPU, and what a GPU would run is looked up
in TensorFlow's registry of kernels, which its Linux wheel has for both.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from command_line import SLOW
from tensorflow.python.framework import kernels

import skt_tf
from skt_tf.methods.catalogue import TASK, stages
from skt_tf.models.resnet import resnet_for

KINDS = {
    "transfer": stages("skt")[1],
    "kept": stages("skt")[1],
    "hint": stages("hint")[0],
    "soft_task": stages("hint")[1],
    "task": TASK,
}
STEPS = 20


@pytest.fixture(scope="module")
def teacher(digits):
    return resnet_for(digits, 8, 4, seed=1)


@pytest.fixture(scope="module")
def kept(digits, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "targets"
    return skt_tf.keep_targets(teacher, skt_tf.dense_flows(), digits.first(320), 1, 0, path)


@pytest.fixture(scope="module")
def prepare(digits, teacher, kept):
    def prepare(kind, precision="float32", jit_compile=False):
        """A compiled distiller and its batches."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            student = resnet_for(digits, 8, 4, seed=2)
        finally:
            keras.config.set_dtype_policy(before)
        stage = KINDS[kind]
        flows = skt_tf.dense_flows()
        weights = skt_tf.normalized_flow_weights(teacher, flows, digits.train_images[:100])
        distiller = skt_tf.SequentialDistiller(
            skt_tf.fold_batch_norm(teacher, precision.removeprefix("mixed_")), student, stage,
            flow_weights=weights, weight_decay=1e-3, steps=STEPS, hint_reduction="mean",
        )  # fmt: skip
        distiller.compile(keras.optimizers.SGD(0.02, momentum=0.9), jit_compile=jit_compile)
        views = {"kept": kept, "flows": stage.flows} if kind == "kept" else {}
        source = kept.dataset if kind == "kept" else digits
        return distiller, skt_tf.training_batches(source, 32, 0, STEPS, **views)

    return prepare


def losses(distiller, batches):
    history = distiller.fit(batches, epochs=4, steps_per_epoch=STEPS // 4, shuffle=False, verbose=0)
    return np.array(history.history["loss"])


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


def stepped(distiller, batches):
    """Losses as `losses` has them, and the graph of a step, which is traced once for both."""
    step, found = tf.function(distiller.train_step), []
    for number, batch in enumerate(batches.take(STEPS), start=1):
        loss = step(batch)["loss"]
        if number % (STEPS // 4) == 0:
            found.append(float(loss))
            distiller.reset_metrics()
    return np.array(found), step.get_concrete_function(batch).graph.as_graph_def()


def check_on_gpu(graph):
    assert "Conv2DBackpropFilter" in {node.op for node in nodes(graph)}
    calls = {"StatefulPartitionedCall", "PartitionedCall"}
    absent = {n.op for n in nodes(graph) if n.op not in calls and not is_on_gpu(n)}
    assert not absent


@pytest.fixture(scope="module")
def known(prepare):
    """kind → losses in float32 without XLA, of a step that does not go back to the host."""

    @functools.cache
    def known(kind):
        found, graph = stepped(*prepare(kind))
        assert found[-1] < 0.98 * found[0]
        check_on_gpu(graph)
        return found

    return known


@pytest.mark.parametrize(
    ("kind", "precision", "tolerance"),
    [
        *((kind, "mixed_float16", 0.05) for kind in KINDS),
        # Its loss is not scaled, and all else is as in the other half precision.
        ("transfer", "mixed_bfloat16", 0.1),
        *(pytest.param(k, "mixed_bfloat16", 0.1, marks=SLOW) for k in ("hint", "soft_task")),
    ],
)
def test_every_kind_of_stage_trains_in_half_precision_and_on_a_gpu(
    prepare, known, kind, precision, tolerance
):
    distiller, batches = prepare(kind, precision)
    found, graph = stepped(distiller, batches)
    np.testing.assert_allclose(found, known(kind), rtol=tolerance)
    assert {v.dtype for v in distiller.student.trainable_variables} == {"float32"}
    check_on_gpu(graph)


@pytest.mark.parametrize(
    ("kind", "precision", "tolerance"),
    [
        ("transfer", "mixed_float16", 0.05),
        # XLA takes its time.
        *(pytest.param(k, "float32", 0.01, marks=SLOW) for k in KINDS),
    ],
)
def test_every_kind_of_stage_trains_under_xla(prepare, known, kind, precision, tolerance):
    found = losses(*prepare(kind, precision, jit_compile=True))
    np.testing.assert_allclose(found, known(kind), rtol=tolerance)


@pytest.mark.parametrize("kind", ["task", "kept"])
def test_the_pipeline_calls_no_python(prepare, kind):
    _, batches = prepare(kind)
    serialized = tf.raw_ops.DatasetToGraphV2(input_dataset=batches._variant_tensor)
    graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
    ops = {node.op for node in nodes(graph)}
    assert "RandomIndexShuffle" in ops
    assert not {op for op in ops if "PyFunc" in op}
