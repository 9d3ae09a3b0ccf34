"""The learning rate as a function of the step: large steps to get near, small ones to settle.

A step is one batch; the first has number 0. Every schedule is a frozen value that is called with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]
"""step -> learning rate"""


@dataclass(frozen=True)
class Constant:
    """The same learning rate for ever."""

    learning_rate: float

    def __call__(self, step: int) -> float:  # noqa: ARG002
        """Return the learning rate of this step."""
        return self.learning_rate


@dataclass(frozen=True)
class StepDecay:
    """Multiply the learning rate by `factor` after every `every` steps."""

    learning_rate: float
    every: int
    factor: float

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        return self.learning_rate * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Cosine:
    """Fall along half a cosine from `learning_rate` to `final` over `total` steps, then stay there.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without restarts.
    """

    learning_rate: float
    total: int
    final: float = 0.0

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        return _half_cosine(self.learning_rate, self.final, step / self.total)


@dataclass(frozen=True)
class OneCycle:
    """Climb along half a cosine from `start` to `learning_rate` at step `peak`, then fall to `final` at `total`.

    Source: Smith and Topin, "Super-convergence", 2018.
    """

    learning_rate: float
    total: int
    peak: int
    start: float
    final: float

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        if step < self.peak:
            return _half_cosine(self.start, self.learning_rate, step / self.peak)
        return _half_cosine(self.learning_rate, self.final, (step - self.peak) / max(1, self.total - self.peak))


@dataclass(frozen=True)
class WarmUp:
    """Grow in a straight line from near zero to another schedule's rate over the first `steps` steps."""

    schedule: Schedule
    steps: int

    def __call__(self, step: int) -> float:
        """Return the learning rate of this step."""
        return self.schedule(step) * min(1.0, (step + 1) / self.steps)


def _half_cosine(begin: float, end: float, progress: float) -> float:
    """Go smoothly from begin (progress 0) to end (progress 1 and beyond)."""
    return end + (begin - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
