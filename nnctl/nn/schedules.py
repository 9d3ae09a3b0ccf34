"""The learning rate as a function of the step: large steps to get near, small ones to settle.

A step is one batch; the first has number 0. Every schedule is a frozen value that is called with it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Schedule(Protocol):
    """What every schedule has: step -> learning rate.

    Attributes:
        spans_training: whether it is stretched over the whole training, so that another length is another schedule.
    """

    @property
    def spans_training(self) -> bool:
        """Whether it is stretched over the whole training, so that another length is another schedule."""

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    learning_rate: float
    spans_training: ClassVar[bool] = False

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        return self.learning_rate


@dataclass(frozen=True)
class StepDecay:
    """Multiply the learning rate by `factor` after every `every_epochs` epochs, rounded up to whole steps."""

    learning_rate: float
    every_epochs: float
    factor: float
    steps_per_epoch: int
    spans_training: ClassVar[bool] = False

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        return self.learning_rate * self.factor ** (step // math.ceil(self.every_epochs * self.steps_per_epoch))


@dataclass(frozen=True)
class Cosine:
    """Fall along half a cosine over `total_steps` steps to a fraction of the learning rate, then stay there.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without restarts.
    """

    learning_rate: float
    total_steps: int
    final_fraction: float = 0.0
    spans_training: ClassVar[bool] = True

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        return _half_cosine(self.learning_rate, self.learning_rate * self.final_fraction, step / self.total_steps)


@dataclass(frozen=True)
class OneCycle:
    """Climb along half a cosine from a fraction of the learning rate to all of it, then fall to another fraction.

    Source: Smith and Topin, "Super-convergence", 2018.

    Args:
        learning_rate: the peak.
        total_steps: after which the rate stays at its final fraction.
        peak_at: the share of the steps after which the peak is reached.
        start_fraction, final_fraction: of the learning rate, at the start and in the end.
    """

    learning_rate: float
    total_steps: int
    peak_at: float
    start_fraction: float
    final_fraction: float
    spans_training: ClassVar[bool] = True

    @functools.cached_property
    def peak(self) -> int:
        """The step at which the learning rate is highest."""
        return round(self.total_steps * self.peak_at)

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        peak, rate = self.peak, self.learning_rate
        if step < peak:
            return _half_cosine(rate * self.start_fraction, rate, step / peak)
        return _half_cosine(rate, rate * self.final_fraction, (step - peak) / max(1, self.total_steps - peak))


@dataclass(frozen=True)
class WarmUp:
    """Grow in a straight line from near zero to another schedule's rate over the first `steps` steps."""

    schedule: Schedule
    steps: int

    @property
    def spans_training(self) -> bool:
        """Whether the other schedule does."""
        return self.schedule.spans_training

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        return self.schedule(step) * min(1.0, (step + 1) / self.steps)


def _half_cosine(begin: float, end: float, progress: float) -> float:
    """Go smoothly from begin (progress 0) to end (progress 1 and beyond)."""
    return end + (begin - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


SCHEDULES: dict[str, type[Constant] | type[StepDecay] | type[Cosine] | type[OneCycle]] = {
    "one_cycle": OneCycle,
    "cosine": Cosine,
    "step": StepDecay,
    "constant": Constant,
}
"""Each of them by the name that a configuration gives it."""
