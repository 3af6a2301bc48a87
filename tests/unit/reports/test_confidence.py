"""Means, intervals and paired differences against SciPy's own."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from skt_tf.reports.confidence import mean, paired_difference

SHARES = st.floats(0, 100)


@given(st.lists(SHARES, min_size=2, max_size=12))
def test_an_interval_is_that_of_a_one_sample_t_test(values):
    assume(np.std(values) > 1e-6)
    found = mean(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(found.interval, expected, rtol=1e-9, atol=1e-9)
    assert found.value == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    assert found.includes_zero == (expected.low <= 0 <= expected.high)


@given(st.lists(st.tuples(SHARES, SHARES), min_size=2, max_size=12))
def test_a_paired_difference_is_that_of_a_paired_t_test(pairs):
    one, other = zip(*pairs)
    assume(np.std(np.subtract(one, other)) > 1e-6)
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    found = paired_difference(one, other)
    np.testing.assert_allclose(found.interval, expected, rtol=1e-9, atol=1e-9)


def test_the_published_nets_have_the_published_means():
    # The slides' skt and teachers of 64k iterations, CIFAR-10: differences net by net.
    found = paired_difference((92.36, 92.34, 92.15), (91.91, 91.68, 91.68))
    assert found.value == pytest.approx(0.5267, abs=1e-4)
    assert found.interval == pytest.approx((0.2386, 0.8148), abs=1e-3)


def test_one_number_has_no_interval():
    found = mean([0.5])
    assert (found.value, found.number, found.deviation, found.interval) == (0.5, 1, None, None)
    assert found.includes_zero


def test_equal_numbers_have_an_interval_of_no_width():
    assert mean([0.5, 0.5, 0.5]).interval == (0.5, 0.5)


def test_no_numbers_have_no_mean():
    assert mean([]) is None


def test_pairs_must_be_complete():
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])
