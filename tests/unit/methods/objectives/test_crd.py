"""The memories of CRD: what is drawn, remembered, kept constant, and gone on with."""

import numpy as np
import tensorflow as tf
from objective_inputs import IMAGES, batch_of, built, differentiated, seen

from skt_tf.methods.objective_names import find


def memory_of(objective):
    return [variable.numpy() for variable in objective.heads[2].variables]


def test_what_is_drawn_depends_on_the_images_and_the_count_of_batches_alone():
    objective, other = built(find("crd")), built(find("crd"))
    indices = np.array([4, 0, 19])
    drawn = objective.draw(indices, 5).numpy()
    tf.random.set_seed(1)
    assert np.array_equal(drawn, other.draw(indices, tf.Variable(5, dtype=tf.int64)))
    assert not np.array_equal(drawn, objective.draw(indices, 6))
    assert not np.array_equal(drawn[:, 1:], objective.draw(indices + 1, 5)[:, 1:])
    assert not np.array_equal(drawn, built(find("crd"), seed=1).draw(indices, 5))
    assert drawn.shape == (3, 8)
    assert np.array_equal(drawn[:, 0], indices)


def test_all_other_images_are_drawn_and_never_the_own_one():
    drawn = built(find("crd"), negatives=2000).draw(np.array([4, 0]), 0).numpy()
    for own, *others in drawn:
        counts = np.bincount(others, minlength=IMAGES)
        assert counts[own] == 0
        assert (np.delete(counts, own) > 50).all()
        assert len(counts) == IMAGES


def test_rows_move_by_the_momentum_and_the_constants_stay():
    objective = built(find("crd"))
    student, teacher, constants, count = memory_of(objective)
    assert (constants == 0).all()
    assert count == 0
    batch = batch_of()
    differentiated(objective, seen(1), seen(2), batch)
    after = memory_of(objective)
    embeddings = [
        objective.embed_student(seen(2).embedding),
        objective.embed_teacher(seen(1).embedding),
    ]
    for before, now, found in zip((student, teacher), after, embeddings):
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        rows = (before[batch.indices] + found) / 2
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        assert np.allclose(now[batch.indices], rows, atol=1e-6)
        others = np.delete(np.arange(IMAGES), batch.indices)
        assert np.array_equal(now[others], before[others])
    assert (after[2] > 0).all()
    assert after[3] == 1
    differentiated(objective, seen(3), seen(4), batch)
    assert np.array_equal(memory_of(objective)[2], after[2])
    assert memory_of(objective)[3] == 2


def test_from_kept_variables_it_goes_on_with_the_same_bytes():
    def step(objective, number):
        return differentiated(objective, seen(number), seen(number + 9), batch_of())[0].numpy()

    whole, first, second = (built(find("crd")) for _ in range(3))
    losses = [step(whole, number) for number in range(4)]
    assert losses[:2] == [step(first, number) for number in range(2)]
    for kept, head in zip(first.heads, second.heads):
        head.set_weights(kept.get_weights())
    assert losses[2:] == [step(second, number) for number in (2, 3)]
    for one, other in zip(memory_of(whole), memory_of(second)):
        assert one.tobytes() == other.tobytes()


def test_a_graph_does_what_is_done_without():
    eager, graph = built(find("crd")), built(find("crd"))
    loss = tf.function(lambda: graph.loss(seen(1), seen(2), batch_of()))
    for _ in range(2):
        expected = eager.loss(seen(1), seen(2), batch_of())
        assert np.allclose(loss(), expected, rtol=1e-5)
    for one, other in zip(memory_of(eager), memory_of(graph)):
        assert np.allclose(one, other, rtol=1e-5)


def test_the_memory_is_not_trained_and_the_embeddings_are():
    objective = built(find("crd"))
    assert [len(head.trainable_variables) for head in objective.heads] == [2, 2, 0]
    _, gradients = differentiated(objective, seen(1), seen(2), batch_of())
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
