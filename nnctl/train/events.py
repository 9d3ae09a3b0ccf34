"""What a training tells: a step has been taken, an epoch has been completed."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


class Step(NamedTuple):
    """A step has been taken; `number` counts from 1, the first of the training."""

    number: int


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """How one epoch went.

    Attributes:
        epoch: 1 for the first.
        learning_rate: of the epoch's last step.
        loss, accuracy: on the training images as they came by, each before the network learned from it.
        validation_loss, validation_accuracy: after the epoch; None without validation images.
        seconds: for training and validation.
        images_per_second: training, with what listeners did meanwhile; 0 where the clock is too coarse to tell.
        best: whether the validation accuracy is the best so far.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    images_per_second: float
    best: bool

    def __str__(self) -> str:
        text = f"epoch {self.epoch}: loss {self.loss:.4f}, accuracy {100 * self.accuracy:.2f} %"
        if self.validation_accuracy is None:
            return text
        return f"{text}; validation loss {self.validation_loss:.4f}, accuracy {100 * self.validation_accuracy:.2f} %"
