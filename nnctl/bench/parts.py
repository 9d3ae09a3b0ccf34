"""Take a step of training apart: how long each layer, forwards and backwards, and everything around them takes."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnctl.data.examples import Examples
from nnctl.nn.arrays import Array, Labels
from nnctl.train import Trainer
from nnctl.train import trainer as loop

T = TypeVar("T")


class Place(NamedTuple):
    """Where in a step time is spent.

    Attributes:
        phase: "data", "augmentation", "forward", "loss", "loss gradient", "backward", "optimizer" or "accuracy".
        layer: whose forward or backward operation it is; None in the other phases.
        of: which gradients a layer with parameters works out backwards, "params" or "inputs"; None elsewhere.
    """

    phase: str
    layer: str | None = None
    of: str | None = None


DATA, AUGMENTATION = Place("data"), Place("augmentation")
LOSS, ACCURACY, LOSS_GRADIENT = Place("loss"), Place("accuracy"), Place("loss gradient")
OPTIMIZER = Place("optimizer")


@dataclasses.dataclass(frozen=True)
class Part:
    """What one part of a step takes.

    Attributes:
        place: which part.
        microseconds: the median over many steps.
        share: of the sum of all parts, between 0 and 1.
    """

    place: Place
    microseconds: float
    share: float


def clocked_steps(trainer: Trainer, examples: Examples, steps: int) -> list[Part]:
    """Take so many of a trainer's steps with a clock read after each operation of which they are made.

    The steps are the trainer's own, and leave the bits in the network that they always leave.
    """
    places: list[Place] = []
    stamps = [time.perf_counter()]

    def lap(place: Place) -> None:
        places.append(place)
        stamps.append(time.perf_counter())

    with _clocks(trainer, lap):
        for x, labels in itertools.islice(_endless(trainer, examples), steps):
            lap(DATA if trainer.augmenter is None else AUGMENTATION)
            trainer.totals.add(*trainer.step(x, labels), len(labels))
    return _parts(list(dict.fromkeys(places)), np.diff(stamps))


def _endless(trainer: Trainer, examples: Examples) -> Iterator[tuple[Array, Labels]]:
    while True:
        trainer.batch = 0
        yield from trainer.batches(examples)


@contextlib.contextmanager
def _clocks(trainer: Trainer, lap: Callable[[Place], None]) -> Iterator[None]:
    """For a while, let every operation of a step end with a look at the clock."""
    clocked: list[tuple[object, str, object]] = []  # with what stood in the class's place before

    def clock(owner: object, operation: str, with_clock: Callable[..., Any], place: Place) -> None:
        clocked.append((owner, operation, vars(owner).get(operation)))
        setattr(owner, operation, with_clock(getattr(owner, operation), lap, place))

    network = trainer.network
    with_parameters = {name.partition(".")[0] for name in network.named(network.params)}
    for name, layer in zip(network.names, network.layers, strict=True):
        trained = name in with_parameters
        clock(layer, "forward", _then_lap, Place("forward", name))
        clock(layer, "backward", _then_lap, Place("backward", name, "inputs" if trained else None))
        if trained:
            clock(layer, "backward_params", _then_lap, Place("backward", name, "params"))
    clock(trainer.criterion, "forward", _then_lap, LOSS)
    clock(loop, "count_correct", _then_lap, ACCURACY)
    clock(trainer.criterion, "backward", _then_lap, LOSS_GRADIENT)
    clock(trainer.optimizer, "step", _then_lap, OPTIMIZER)
    if trainer.augmenter is not None:  # the images have been gathered when it is called
        clock(trainer.augmenter, "distort", _after_lap, DATA)
    try:
        yield
    finally:
        for owner, operation, before in reversed(clocked):
            if before is None:
                delattr(owner, operation)  # the class's own is seen again
            else:
                setattr(owner, operation, before)


def _then_lap(operation: Callable[..., T], lap: Callable[[Place], None], place: Place) -> Callable[..., T]:
    def clocked(*args: Any, **kwargs: Any) -> T:
        result = operation(*args, **kwargs)
        lap(place)
        return result

    return clocked


def _after_lap(operation: Callable[..., T], lap: Callable[[Place], None], place: Place) -> Callable[..., T]:
    def clocked(*args: Any, **kwargs: Any) -> T:
        lap(place)
        return operation(*args, **kwargs)

    return clocked


def _parts(places: list[Place], seconds: NDArray[np.float64]) -> list[Part]:
    """Medians of what each place took, in steps that lie behind each other."""
    medians = np.median(seconds.reshape(-1, len(places)), axis=0)
    return [
        Part(place, float(median) * 1e6, float(share))
        for place, median, share in zip(places, medians, medians / medians.sum(), strict=True)
    ]
