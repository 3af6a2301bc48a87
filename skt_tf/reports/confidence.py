"""How far a mean over a few nets can be trusted."""

import dataclasses
import statistics

from scipy import stats

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean of numbers.

    Attributes:
        value: the mean.
        number: how many numbers there were.
        deviation: their standard deviation, of a sample (n − 1); None of one number.
        interval: (low, high) in which the mean of the distribution that they were drawn
            from lies with 95 % confidence, by Student's t; None of one number.
    """

    value: float
    number: int
    deviation: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def includes_zero(self):
        """Whether the mean may be zero; of one number nothing is known, so it may."""
        return self.interval is None or self.interval[0] <= 0 <= self.interval[1]


def mean(values):
    """The `Mean` of numbers; None if there are none."""
    values = list(values)
    if not values:
        return None
    value = statistics.fmean(values)
    if len(values) == 1:
        return Mean(value, 1)
    deviation = statistics.stdev(values)
    freedom = len(values) - 1
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * deviation / len(values) ** 0.5
    return Mean(value, len(values), deviation, (value - half, value + half))


def paired_difference(values, others):
    """The `Mean` of `values` − `others`, net by net; both must be of the same nets."""
    return mean(value - other for value, other in zip(values, others, strict=True))
