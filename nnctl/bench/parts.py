"""Take a step of training apart: how long each layer, forwards and backwards, and everything around them takes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnctl.data.augment import Deformer
from nnctl.data.examples import Examples, batches
from nnctl.nn import Array
from nnctl.nn.network import Network, Workspace
from nnctl.train import Training

T = TypeVar("T")


class Place(NamedTuple):
    """Where in a step time is spent.

    Attributes:
        phase: "data", "deformation", "forward", "loss", "accuracy", "loss gradient", "backward" or "optimizer".
        layer: whose forward or backward operation it is; None in the other phases.
        of: which gradients a layer with parameters works out backwards, "params" or "inputs"; None elsewhere.
    """

    phase: str
    layer: str | None = None
    of: str | None = None


DATA, DEFORMATION = Place("data"), Place("deformation")
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


def clocked_steps(training: Training, examples: Examples, order: NDArray[np.intp]) -> list[Part]:
    """Train on the examples in this order with a clock read between the parts of a step.

    Step by step it does what `fit` does, and leaves the same bits in the network.

    Args:
        training: the state to go on from; it is changed.
        examples: to learn from.
        order: indices of examples, as many as make whole batches.
    """
    plan, network = training.plan, training.plan.network
    places: list[Place] = []
    stamps: list[float] = []

    def lap(place: Place) -> None:
        places.append(place)
        stamps.append(time.perf_counter())

    deform = None
    if plan.deformation is not None:
        deformer = Deformer(plan.deformation, training.generators["deformation"], plan.batch_size, network.dtype)

        def deform(images: NDArray[np.uint8]) -> Array:
            lap(DATA)
            return deformer(images)

    work = Workspace(network, plan.batch_size)
    began = time.perf_counter()
    with _clock_on_layers(network, lap):
        for x, labels in batches(examples, order, plan.batch_size, network.dtype, deform):
            lap(DATA if deform is None else DEFORMATION)
            logits = network.forward(x, work, training.generators["dropout"])
            loss, probs = plan.criterion.forward(logits, labels, out=work.probs)
            lap(LOSS)
            training.totals.add(loss, probs, labels)
            lap(ACCURACY)
            dlogits = plan.criterion.backward(probs, labels, out=probs)
            lap(LOSS_GRADIENT)
            network.backward(dlogits, work)
            plan.optimizer.step(network.params, network.grads, lr=plan.schedule(training.step))
            training.step += 1
            lap(OPTIMIZER)
    return _parts(list(dict.fromkeys(places)), np.diff([began, *stamps]))


@contextlib.contextmanager
def _clock_on_layers(network: Network, lap: Callable[[Place], None]) -> Iterator[None]:
    """For a while, let every operation of every layer end with a look at the clock."""
    clocked = []
    for name, layer in zip(network.names, network.layers, strict=True):
        places = {"forward": Place("forward", name), "backward": Place("backward", name)}
        if layer.parameter_shapes():
            places["backward_params"] = Place("backward", name, "params")
            places["backward"] = Place("backward", name, "inputs")
        for operation, place in places.items():
            setattr(layer, operation, _then_lap(getattr(layer, operation), lap, place))
            clocked.append((layer, operation))
    try:
        yield
    finally:
        for layer, operation in clocked:
            delattr(layer, operation)  # the class's own is seen again


def _then_lap(operation: Callable[..., T], lap: Callable[[Place], None], place: Place) -> Callable[..., T]:
    def clocked(*args: Any, **kwargs: Any) -> T:
        result = operation(*args, **kwargs)
        lap(place)
        return result

    return clocked


def _parts(places: list[Place], seconds: NDArray[np.float64]) -> list[Part]:
    """Medians of what each place took, in steps that lie behind each other."""
    medians = np.median(seconds.reshape(-1, len(places)), axis=0)
    return [
        Part(place, float(median) * 1e6, float(share))
        for place, median, share in zip(places, medians, medians / medians.sum(), strict=True)
    ]
