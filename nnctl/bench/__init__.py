"""Measure how fast a network trains, how near that is to the limit, and where the time goes.

The limit is a lower bound: the time that the bare matrix products of a step take, with nothing in between.
`parts` takes a step apart.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnctl import blas, build, environment
from nnctl.bench.parts import Part, clocked_steps
from nnctl.data.examples import Examples
from nnctl.nn.arrays import Array
from nnctl.nn.kernels import matrix_product
from nnctl.nn.layers import Linear
from nnctl.nn.network import Network
from nnctl.nn.schedules import Schedule
from nnctl.train import EpochReport, Step, Trainer

IMAGES = 60_000  # as many as MNIST has: fewer might fit a cache that real images do not
WARM_UP = 0.1  # seconds, in which memory is touched and the processor finds its pace
ROUNDS = 9
ROUND = 0.07  # seconds of training in a round
CLOCKED = 0.3  # seconds of steps with a clock between their parts
MOST_CLOCKED = 2000  # such steps; more would not move a median
LEARNING_RATE = 1e-9  # nothing that is learned here is worth keeping; but at 0 BLAS would skip work


@dataclasses.dataclass(frozen=True)
class Measurement:
    """How fast a network trains.

    Attributes:
        environment: versions, processor and BLAS, with its threads while this was measured.
        batch_size: images in a step.
        operations: additions and multiplications in the matrix products of a step.
        rounds: how often training and the bare products were timed, in turn.
        step_microseconds: a step of training, its batch gathered and augmented included; the median of the rounds.
        bound_microseconds: the bare matrix products of a step; the median of the rounds.
        ratio: step / bound, the median of the ratios of each round, so that a slow moment of the machine, which slows
            both, counts little.
        parts: of a step, in order. They are measured apart, in steps with a clock read between the parts, so that their
            sum is mostly a little larger than `step_microseconds`.
    """

    environment: dict[str, Any]
    batch_size: int
    operations: int
    rounds: int
    step_microseconds: float
    bound_microseconds: float
    ratio: float
    parts: tuple[Part, ...]

    @property
    def images_per_second(self) -> float:
        """How many images are learned from in a second."""
        return self.batch_size / self.step_microseconds * 1e6

    @property
    def product_share(self) -> float:
        """The share of a step, between 0 and 1, that its matrix products take by themselves."""
        return 1 / self.ratio

    @property
    def step_gflops(self) -> float:
        """Operations of the products, 1e9 in a second, while training."""
        return self.operations / self.step_microseconds / 1e3

    @property
    def bound_gflops(self) -> float:
        """Operations of the products, 1e9 in a second, while nothing else is done."""
        return self.operations / self.bound_microseconds / 1e3


@np.errstate(all="ignore")  # numbers that overflow take as long as others, and nobody looks at them
def measure(trainer: Trainer) -> Measurement:
    """Train a network on random pictures for a second or two, and time it.

    Raises:
        DivergedError: with its first weights already, the loss of the network is not finite.
    """
    trainer.schedule = _Slow(trainer.schedule)
    with blas.limit(trainer.chosen_threads()):
        trainer.threads = None  # they have been chosen
        return _measure(trainer)


def _measure(trainer: Trainer) -> Measurement:
    batch_size = trainer.batch_size
    examples = random_examples(max(1, IMAGES // batch_size) * batch_size)  # every batch a full one
    products = bare_products(trainer.network, batch_size)
    rounds = timed_rounds(trainer, examples, products)
    step, bound = np.median(rounds, axis=0).tolist()
    steps = min(MOST_CLOCKED, max(3, round(CLOCKED / step)))
    return Measurement(
        environment=environment.describe(),
        batch_size=batch_size,
        operations=sum(2 * len(a) * b.size for a, b, _ in products),
        rounds=len(rounds),
        step_microseconds=step * 1e6,
        bound_microseconds=bound * 1e6,
        ratio=float(np.median(rounds[:, 0] / rounds[:, 1])),
        parts=tuple(clocked_steps(trainer, examples, steps)),
    )


@dataclasses.dataclass(frozen=True)
class _Slow:
    """A schedule that takes the time of another, and moves hardly anything."""

    schedule: Schedule
    spans_training: ClassVar[bool] = False

    def __call__(self, step: int) -> float:
        self.schedule(step)
        return LEARNING_RATE


def random_examples(count: int) -> Examples:
    """Pictures as dark as MNIST's, four fifths of their pixels black, with labels that mean nothing."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *build.IMAGE_SHAPE), np.uint8)
    images *= images >= 256 * 4 / 5
    return Examples(images, rng.integers(0, build.CLASSES, count))


Product = tuple[Array, Array, Array]
"""Two matrices, and memory for their product."""


def bare_products(network: Network, batch_size: int) -> list[Product]:
    """The matrix products of one step in their order, with the network's own weights and memory for gradients."""
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    x: Array = np.ones((batch_size, linears[0].inputs), network.dtype)
    dx: Array | None = None  # nobody needs the gradient of the pixels
    forward: list[Product] = []
    backward: list[Product] = []  # from its end
    for layer in linears:
        y, dy = np.ones((2, batch_size, layer.outputs), network.dtype)
        forward.append((x, layer.weight, y))
        if dx is not None:
            backward.append((dy, layer.weight.T, dx))
        backward.append((x.T, dy, layer.dweight))
        x, dx = y, dy
    return forward + backward[::-1]


def timed_rounds(trainer: Trainer, examples: Examples, products: list[Product]) -> NDArray[np.float64]:
    """Train and multiply in turn; the seconds of a step and of its products in each round, (ROUNDS, 2).

    It is the training that users run that is timed, step after step. Within a round the median counts: a mean would
    tell what else the machine was doing.
    """
    training = trainer.run(examples, epochs=sys.maxsize)
    stamps = _timed_steps(training, sys.maxsize, WARM_UP)
    steps = min(max(1, round(ROUND / _median_gap(stamps))), len(examples) // trainer.batch_size)
    rounds: list[tuple[float, float]] = []
    while len(rounds) < ROUNDS:
        stamps = _timed_steps(training, steps, math.inf)
        if len(stamps) > steps:  # if not, the epoch ended within this round, which does not count
            rounds.append((_median_gap(stamps), _product_seconds(products, steps)))
    return np.array(rounds)


def _timed_steps(training: Iterator[Step | EpochReport], most: int, seconds: float) -> list[float]:
    """Take so many steps, or as many as so many seconds allow; the times before the first and after each.

    The end of an epoch ends them too: its time is that of no step.
    """
    stamps = [time.perf_counter()]
    while len(stamps) <= most and stamps[-1] - stamps[0] <= seconds:
        if isinstance(next(training), EpochReport):
            break
        stamps.append(time.perf_counter())
    return stamps


def _product_seconds(products: list[Product], repetitions: int) -> float:
    """What all products take once, in seconds."""
    stamps = [time.perf_counter()]
    for _ in range(repetitions):
        for a, b, out in products:
            matrix_product(a, b, out=out)
        stamps.append(time.perf_counter())
    return _median_gap(stamps)


def _median_gap(stamps: list[float]) -> float:
    return float(np.median(np.diff(stamps)))
