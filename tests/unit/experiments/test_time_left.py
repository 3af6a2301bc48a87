"""Time left of an experiment."""

import pytest

from skt_tf.experiments.time_left import Remaining, duration
from skt_tf.methods.catalogue import TASK, stages


def test_stages_of_a_kind_take_what_they_took():
    remaining = Remaining(26)
    remaining.depth = 8
    remaining.add(TASK, 100, 10.0)
    remaining.later = ((TASK, 300, 8),)
    assert remaining.seconds([(TASK, 50)]) == pytest.approx(5 + 30)


def test_the_rate_is_that_of_all_iterations_so_far():
    remaining = Remaining(26)
    remaining.add(TASK, 100, 10.0)
    remaining.add(TASK, 300, 60.0)
    assert remaining.seconds([(TASK, 40)]) == pytest.approx(7)


def test_a_kind_that_was_not_seen_takes_what_its_layers_would():
    transfer = stages("fsp")[0]
    remaining = Remaining(26)
    remaining.add(TASK, 100, 100 * 3 * 26.0)
    remaining.later = ((transfer, 10, 8),)
    # Three passes of the student, one of the teacher, a second a layer.
    assert remaining.seconds([]) == pytest.approx(10 * (3 * 8 + 26))


def test_at_the_end_nothing_is_left():
    remaining = Remaining(26)
    remaining.add(TASK, 1, 1.0)
    assert remaining.seconds([]) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3600, "1 h 0 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations_are_in_words(seconds, words):
    assert duration(seconds) == words
