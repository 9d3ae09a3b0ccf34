"""Small trainings on drawn digits: trainers, their checkpoints, datasets, and who listens to a run."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnctl import build, checkpoint, config
from nnctl.checkpoint import Checkpoint
from nnctl.config import Config
from nnctl.data import Dataset
from nnctl.data.catalog import DIGITS
from nnctl.data.examples import Examples
from nnctl.errors import StoppedError
from nnctl.logs.listener import Listener, Start
from nnctl.run import Result, train_run
from nnctl.train import EpochReport, Step, Trainer, TrainerState

SMALL = (
    "network.hidden=[8]",
    "train.epochs=3",
    "train.batch_size=32",
    "data.augment.name=none",
    "data.validation=90",
    "data.mix=0",
    "judge=false",
)
STEPS = 10  # of an epoch: 300 images, 32 at a time, of which the last batch has 12


def digits(amount: int, seed: int = 0) -> Examples:
    """Pictures that are as dark and as hard to tell apart as digits: ten shapes, each a fifth lit, under noise."""
    shapes = np.random.default_rng(28).random((10, 28, 28)) < 0.2
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, amount)
    lit = np.where(rng.random((amount, 28, 28)) < 0.4, shapes[labels], rng.random((amount, 28, 28)) < 0.2)
    return Examples((lit * rng.integers(0, 256, lit.shape)).astype(np.uint8), labels)


TRAIN, VALIDATION, TEST, NONE = digits(300), digits(90, seed=1), digits(70, seed=2), digits(0)


def configured(*overrides: str) -> Config:
    """A small configuration."""
    return config.load(None, [*SMALL, *overrides], environ={}).config


def trainer_of(*overrides: str) -> Trainer:
    """A trainer of a small configuration, for TRAIN."""
    return build.trainer(configured(*overrides), len(TRAIN))


def finish(trainer: Trainer, *overrides: str, validation: Examples | None = VALIDATION) -> list[EpochReport]:
    """Train as long as the configuration says."""
    return list(trainer.fit(TRAIN, validation, epochs=configured(*overrides).train.epochs))


def train_until(trainer: Trainer, steps: int, *, epochs: int = 3) -> None:
    """Train until so many steps are done, and not further."""
    for event in trainer.run(TRAIN, VALIDATION, epochs):
        if isinstance(event, Step) and event.number == steps:
            return
    raise AssertionError(f"training ended before step {steps}")


def snapshot(trainer: Trainer, *overrides: str) -> Checkpoint:
    """The checkpoint of a trainer of this configuration."""
    return Checkpoint(trainer.state(), build.recorded(configured(*overrides)))


def from_checkpoint(path: Path, *overrides: str) -> Trainer:
    """A new trainer of this configuration in the state of a checkpoint."""
    trainer = trainer_of(*overrides)
    trainer.restore(checkpoint.load(path).state)
    return trainer


def dataset(validation: Examples = VALIDATION, **changes: Any) -> Dataset:
    """TRAIN, VALIDATION and TEST as a dataset."""
    fields: dict[str, Any] = {
        "name": "synthetic",
        "train": TRAIN,
        "validation": validation,
        "test": TEST,
        "class_names": DIGITS,
        "sha256": {"digits": "0" * 64},
        "first_validation": len(TRAIN),
    }
    return Dataset(**fields | changes)


def stopping_when(asked: Callable[[], bool], signal: int = 15) -> Callable[[], AbstractContextManager[Any]]:
    """A `stopping` of `train_run` that asks for the end, by the number of a signal, once something is so."""

    @contextmanager
    def stopping() -> Iterator[Callable[[], int | None]]:
        yield lambda: signal if asked() else None

    return stopping


Damage = Callable[[TrainerState], TrainerState]


def damaged(part: str, change: dict[str, Any], *, drop: str = "") -> Damage:
    """Change some of what a field holds."""

    def damage(state: TrainerState) -> TrainerState:
        values: Any = {key: value for key, value in getattr(state, part).items() if key != drop} | change
        return dataclasses.replace(state, **{part: values})

    return damage


def another_generator(name: str, **change: Any) -> Damage:
    """Change some of what it says of a generator."""
    return lambda state: damaged("generators", {name: state.generators[name] | change})(state)


DAMAGES: list[Damage] = [
    damaged("params", {}, drop="output.bias"),
    damaged("params", {"output.bias": np.ones((1, 10), np.float32)}),
    damaged("params", {"more": np.ones(1, np.float32)}),
    damaged("optimizer", {}, drop="velocity"),
    damaged("optimizer", {"velocity": np.ones(1, np.float32)}),
    damaged("optimizer", {"more": np.ones(1, np.float32)}),
    lambda state: dataclasses.replace(state, generators={}),
    lambda state: dataclasses.replace(state, generators={"dropout": 5}),
    lambda state: dataclasses.replace(state, generators={"dropout": {"bit_generator": "MT19937"}}),
    damaged("generators", {}, drop="deformation"),
    another_generator("dropout", uinteger=2**70),
    another_generator("deformation", uinteger=2**70),
    another_generator("deformation", bit_generator="MT19937"),
    lambda state: dataclasses.replace(state, totals={"guesses": 3}),
]
"""What makes the state of a trainer with momentum one that no such trainer was ever in."""


class Recorder(Listener):
    """Remembers what a run tells: the names of the events, and each event by its name."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.starts: list[Start] = []
        self.steps: list[int] = []
        self.reports: list[EpochReport] = []
        self.warnings: list[str] = []

    def on_start(self, start: Start) -> None:
        self.events.append("start")
        self.starts.append(start)

    def on_step(self, step: Step) -> None:
        self.events.append("step")
        self.steps.append(step.number)

    def on_epoch(self, report: EpochReport) -> None:
        self.events.append("epoch")
        self.reports.append(report)

    def on_end(self) -> None:
        self.events.append("end")

    def on_judge(self) -> None:
        self.events.append("judge")

    def on_warning(self, message: str) -> None:
        self.events.append("warning")
        self.warnings.append(message)


def trained(directory: Path | str, *overrides: str, **options: Any) -> Result:
    """Train a small network in this directory, on TRAIN unless another dataset is given."""
    return train_run(configured(*overrides), options.pop("dataset", dataset()), directory, **options)


def stopped(directory: Path | str, steps: int, *overrides: str, signal: int = 15, **options: Any) -> StoppedError:
    """Train and stop once so many steps are done."""
    recorder = Recorder()
    with pytest.raises(StoppedError) as caught:
        trained(
            directory,
            *overrides,
            listeners=[recorder, *options.pop("listeners", ())],
            stopping=stopping_when(lambda: recorder.starts[0].trainer.steps >= steps, signal),
            **options,
        )
    return caught.value


Save = tuple[str, int, int, int]
"""The name of a checkpoint, and the epoch, batch and step of its state."""


def saves_seen(monkeypatch: pytest.MonkeyPatch) -> list[Save]:
    """A list that every checkpoint is put down in, from now on, once it is saved."""
    saves: list[Save] = []
    really_save = checkpoint.save

    def save(path: Path, saved: Checkpoint) -> None:
        really_save(path, saved)
        saves.append((path.name, saved.state.epoch, saved.state.batch, saved.state.step))

    monkeypatch.setattr(checkpoint, "save", save)
    return saves
