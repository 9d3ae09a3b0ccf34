"""The state of a training between two steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nnctl.nn.arrays import Array


@dataclasses.dataclass
class Totals:
    """Sums over the images of the epoch in progress."""

    loss: float = 0.0
    correct: int = 0
    images: int = 0

    def add(self, loss: float, correct: int, images: int) -> None:
        """Count one batch: its mean loss, how many predictions were right, and of how many."""
        self.loss += loss * images
        self.correct += correct
        self.images += images


@dataclasses.dataclass(frozen=True)
class TrainerState:
    """Everything that decides how training goes on, between two steps; it is saved and restored whole.

    Attributes:
        params: each array that the network has learned, by name, such as `hidden1.weight` (784, 128).
        optimizer: each (P,) array that the optimizer remembers.
        epoch: epochs completed.
        batch: batches done of the epoch in progress.
        step: batches done since the start.
        totals: sums over the epoch in progress: loss, correct, images.
        generators: states of the random generators that the epoch in progress draws from.
        best: epoch, loss and accuracy of the best validation so far; None before the first.
        history: for each epoch completed, what its report says that does not depend on the clock.
    """

    params: Mapping[str, Array]
    optimizer: Mapping[str, Array]
    epoch: int = 0
    batch: int = 0
    step: int = 0
    totals: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    generators: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    best: Mapping[str, Any] | None = None
    history: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)

    def arrays(self) -> dict[str, Array]:
        """Every array: `param/<layer>.<name>` and `optimizer/<name>`, sorted."""
        arrays = {f"param/{name}": array for name, array in self.params.items()}
        arrays |= {f"optimizer/{name}": array for name, array in self.optimizer.items()}
        return dict(sorted(arrays.items()))

    def values(self) -> dict[str, Any]:
        """Everything else, as plain values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[2:]}
