"""λ where the student's FSP matrices are far larger than the teacher's."""

import numpy as np
import pytest
from noise import images
from reference import same, values

from skt_tf.methods.flow_weights import LARGER, flow_weights, normalized_flow_weights
from skt_tf.methods.fsp import flow_model
from skt_tf.training.settings import Settings
from skt_tf.utils.errors import UserError

CONFIG = Settings(methods=("skt",), batch_size=8)
FLOWS = CONFIG.flows


def measured(teacher, student, **settings):
    return flow_weights(
        Settings(methods=("skt",), batch_size=8, **settings), teacher, DATA, student
    )


DATA = images()


def scaled(network, factor):
    """`network` with maps of another scale at every point."""
    for variable in network.trainable_variables:
        if variable.name in ("gamma", "beta"):
            variable.assign(factor * variable)
    return network


def squared_norms(network, training):
    matrices = flow_model(network, FLOWS)(DATA.sample(8), training=training)
    return [float(np.mean(np.sum(np.square(m), axis=(1, 2)))) for m in matrices]


def test_a_flow_that_is_not_far_larger_in_the_student_is_measured_by_the_teacher(network):
    teacher, student = network(1), network(2)
    expected = normalized_flow_weights(teacher, FLOWS, DATA.train_images)
    assert measured(teacher, student) == expected
    found = measured(teacher, lambda: scaled(network(2), 0.01))
    assert found == expected


@pytest.mark.parametrize(("statistics", "training"), [("batch", True), ("inference", False)])
def test_a_flow_that_is_far_larger_in_the_student_is_measured_by_the_student(
    statistics, training, network
):
    student = network(2)
    before = values(student)
    found = measured(scaled(network(1), 1e-4), student, transfer_batch_norm=statistics)
    assert same(before, values(student))  # Moving statistics included.
    assert list(found) == list(FLOWS)
    expected = [1 / norm for norm in squared_norms(student, training)]
    assert list(found.values()) == pytest.approx(expected, rel=1e-5)


def test_far_larger_is_a_factor_of_the_matrices(network):
    student, teacher = network(2), network(1)
    taught = normalized_flow_weights(teacher, FLOWS, DATA.train_images)
    for flow, norm in zip(FLOWS, squared_norms(network(2), True)):
        own = 1 / norm
        λ = measured(teacher, student)[flow]
        assert λ == pytest.approx(own if taught[flow] > LARGER**2 * own else taught[flow])


def test_matrices_of_a_student_that_are_no_numbers_are_named(network):
    with pytest.raises(UserError, match=r"student's FSP matrices of p0_p1.* are not finite"):
        measured(network(1), scaled(network(2), 1e30))


def test_projected_channels_are_measured_as_they_are_compared(network):
    narrow = network(2, width=1)
    found = measured(scaled(network(1), 1e-4), narrow, project=True)
    assert all(0 < λ < np.inf for λ in found.values())
