"""How long the rest of an experiment will take, from what its stages took so far."""

import collections


class Remaining:
    """Time left of an experiment.

    Attributes:
        depth: layers of the network that is being trained.
        later: the stages of the networks that follow, as (stage, iterations, depth).
    """

    def __init__(self, teacher_depth):
        self.teacher_depth = self.depth = teacher_depth
        self.later = ()
        self._iterations, self._seconds = collections.Counter(), collections.Counter()

    def add(self, stage, iterations, seconds):
        """Takes note of a stage of the network that is being trained."""
        kind = _kind(stage), self.depth
        self._iterations[kind] += iterations
        self._seconds[kind] += seconds

    def seconds(self, rest):
        """Seconds that the network's further stages, (stage, iterations), and `later` will take.

        A kind of stage takes what it took so far; one that was not yet seen, what its
        passes through layers would.
        """
        passes = sum(self._passes(kind) * number for kind, number in self._iterations.items())
        unit = sum(self._seconds.values()) / passes

        def rate(kind):
            number = self._iterations[kind]
            return self._seconds[kind] / number if number else unit * self._passes(kind)

        all_stages = (*((*stage, self.depth) for stage in rest), *self.later)
        return sum(number * rate((_kind(stage), depth)) for stage, number, depth in all_stages)

    def say(self, title, plan, steps, records):
        """Takes note of the last of `records`, of the stages of `plan`, and prints what is left."""
        number = len(records)
        done = records[-1]
        self.add(plan[number - 1], done.steps, done.seconds)
        left = self.seconds(zip(plan[number:], steps[number:]))
        rest = f"about {duration(left)} left" if left else "the last"
        print(
            f"{title}: {done.name} is done, {done.steps:,} iterations in {duration(done.seconds)}; "
            f"{rest} of the experiment",
            flush=True,
        )

    def _passes(self, kind):
        """Of an iteration through layers: one forward and two backward, and the teacher's one."""
        objective, depth = kind
        if objective == "hint":  # Up to the middle layer of both.
            return (3 * depth + self.teacher_depth) / 2
        return 3 * depth + (objective != "task") * self.teacher_depth


def duration(seconds):
    """Seconds in words of at most two units: 42 s, 3 min 5 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _kind(stage):
    """What stages that take as long have in common: their objective, or their losses."""
    return tuple(map(str, stage.losses)) if stage.objective == "losses" else stage.objective
