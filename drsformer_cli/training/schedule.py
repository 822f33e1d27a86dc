"""When a training does what: the minutes it has been at work, and its learning rate."""

from __future__ import annotations

import math
import time

from drsformer_cli.training.recipe import Schedule

#: A step that takes more times as long as usual was stopped, or the machine slept.
STOPPED = 10


class Clock:
    """Minutes at work. A step in which the process was stopped counts as long as those before it.

    Args:
        minutes: counted before.
    """

    def __init__(self, minutes: float) -> None:
        self.minutes, self.usual, self.last = minutes, math.inf, time.monotonic()

    def tick(self) -> float:
        """End a step, and return the minutes so far."""
        taken = self._since()
        if taken > STOPPED * self.usual:
            taken = self.usual
        # The first steps are slow: they must not stand for long.
        self.usual = taken if self.usual == math.inf else 0.9 * self.usual + 0.1 * taken
        self.minutes += taken
        return self.minutes

    def pause(self) -> None:
        """Count what was done since the last step in full, but as no step."""
        self.minutes += self._since()

    def _since(self) -> float:
        before, self.last = self.last, time.monotonic()
        return (self.last - before) / 60


def learning_rate(share: float, schedule: Schedule) -> float:
    """Learning rate at a share of the schedule: a linear warm-up, then a cosine down to the final rate."""
    if share < schedule.warmup:
        return float(schedule.learning_rate * max(share / schedule.warmup, 0.01))
    cosine = (1 + math.cos(math.pi * (share - schedule.warmup) / (1 - schedule.warmup))) / 2
    low, high = schedule.final_learning_rate, schedule.learning_rate
    return float(low + (high - low) * cosine)
