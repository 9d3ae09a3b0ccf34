"""What a run tells to those who listen."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnctl.config import Config
    from nnctl.data import Dataset, Examples
    from nnctl.train import EpochReport, Step, Trainer


@dataclasses.dataclass(frozen=True)
class Start:
    """A run as it is about to train.

    Attributes:
        directory: where it is saved.
        config: resolved, nothing in it is left open.
        dataset: its images, as they were published or drawn.
        train: what it learns from: the training images, and behind them the drawn digits that were mixed in.
        trainer: in the state from which it goes on.
    """

    directory: Path
    config: Config
    dataset: Dataset
    train: Examples
    trainer: Trainer


class Listener:
    """Is told how a run goes; a subclass overrides what it wants to know."""

    def on_start(self, start: Start) -> None:
        """Training is about to begin, or to go on."""

    def on_step(self, step: Step) -> None:
        """A step has been taken, and saved if it is one that `train.checkpoint_every` asks to save."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch has been completed and saved."""

    def on_end(self) -> None:
        """Training is over; the result is measured next."""

    def on_judge(self) -> None:
        """The result is measured; a second network learns next what is no digit, which takes some seconds."""

    def on_warning(self, message: str) -> None:
        """Something is odd that does not stop the run."""
