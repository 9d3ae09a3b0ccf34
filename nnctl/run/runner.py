"""Train from a configuration to a result, in a run directory: resume, save, retain, record, and test in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nnctl import blas, build, checkpoint, environment, rundir
from nnctl.checkpoint import Checkpoint
from nnctl.config import Config, to_yaml
from nnctl.data.catalog import CATALOG
from nnctl.data.datasets import Dataset
from nnctl.data.mix import mixed, sha256_of_drawn
from nnctl.errors import ArgumentError, CheckpointError, DivergedError, StoppedError, StorageError
from nnctl.logs.jsonl import MetricsFile
from nnctl.logs.listener import Listener, Start
from nnctl.nn.metrics import Evaluation
from nnctl.run.ending import conclude
from nnctl.run.resuming import check_best, of_another, other_data, restore
from nnctl.rundir import RunDir
from nnctl.train import EpochReport

Stop = Callable[[], int | None]
"""Asked after each step and epoch: the number of the signal that asks for the end, or None."""


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What came of a run.

    Attributes:
        directory: where it is saved.
        config: resolved: training with it repeats the run to the bit.
        metadata: what run.json says: environment, data, best epoch, test figures, digest.
        history: an entry for each epoch.
        test: the best epoch's network on the test images; without validation, the last epoch's.
        seconds: that this part of the run took.
    """

    directory: Path
    config: Config
    metadata: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    test: Evaluation
    seconds: float


@contextlib.contextmanager
def never() -> Iterator[Stop]:
    """Nobody asks for the end."""
    yield lambda: None


def train_run(
    config: Config,
    dataset: Dataset | Callable[[], Dataset],
    directory: Path | str | None = None,
    listeners: Sequence[Listener] = (),
    *,
    resume: bool = False,
    stopping: Callable[[], AbstractContextManager[Stop]] = never,
) -> Result:
    """Train a network as a configuration describes, in a run directory that is locked meanwhile.

    Args:
        config: what to train, and how.
        dataset: what to learn from, or a function that loads it once the directory is locked.
        directory: where to save the run; None makes a new one in `runs/`.
        listeners: are told how training goes.
        resume: go on with the run in the directory, if there is one, with the same bits as if it had never stopped.
        stopping: is entered while the network trains, and gives the function that says when to save and stop.

    Raises:
        ConfigError: the configuration contradicts itself or the run that is resumed, or the directory holds a run.
        CheckpointError: a checkpoint of the run is missing or damaged.
        RunInUseError: another process trains in the directory.
        StorageError: the file system refused.
        DivergedError: the loss is no longer finite; the last checkpoint stays.
        StoppedError: `stopping` said so; everything is saved.
    """
    if not isinstance(config, Config):
        raise ArgumentError(f"train_run takes a Config, as nnctl.config.load gives it, not a {type(config).__name__}")
    if not all(isinstance(listener, Listener) for listener in listeners):
        raise ArgumentError("listeners are objects of nnctl.logs.listener.Listener")
    if resume and directory is None:
        raise ArgumentError("to resume a run, name its directory")
    began = time.perf_counter()
    with contextlib.ExitStack() as held:
        run = None if directory is None else held.enter_context(RunDir(Path(directory)))
        if run is not None and not resume:
            run.refuse_if_used()
        loaded = dataset() if callable(dataset) else dataset
        _check_dataset(loaded, config)
        held.enter_context(blas.limit(blas.choose_threads(config.train.threads, config.largest_product)))
        config = _settled(config, loaded)
        if run is None:
            run = held.enter_context(rundir.new(loaded.name, build.sizes(config.network.hidden)))
        started = _Run(config, loaded, run, listeners)
        test = started.train(stopping)
        return Result(run.path, config, started.metadata, started.trainer.history, test, time.perf_counter() - began)


def _check_dataset(dataset: object, config: Config) -> None:
    """Raise ArgumentError unless this dataset is split as the configuration says, so that it can repeat the run."""
    if not isinstance(dataset, Dataset):
        raise ArgumentError(f"train_run takes a Dataset, as load_dataset gives it, not a {type(dataset).__name__}")
    if dataset.name not in CATALOG:
        raise ArgumentError(f"a run records a dataset of the catalogue; {dataset.name!r:.40} is none", "use a Trainer")
    limit = config.data.train_limit or dataset.first_validation
    expected = (min(limit, dataset.first_validation), config.data.validation)
    found = (len(dataset.train), len(dataset.validation))
    if found != expected:
        raise ArgumentError(
            f"the dataset has {found[0]} + {found[1]} images to train on and to validate, but the configuration asks "
            f"for {expected[0]} + {expected[1]}",
            "write load_dataset(..., validation=config.data.validation, limit=config.data.train_limit)",
        )


def _settled(config: Config, dataset: Dataset) -> Config:
    """What was left open has been decided by now: record what it has become, so that the run can be replayed."""
    entry = CATALOG[dataset.name]
    mix = config.data.mix if entry.of_digits and not entry.drawn else 0.0
    data = config.data.model_copy(update={"dataset": dataset.name, "mix": mix})
    train = config.train.model_copy(update={"threads": blas.threads_in_force() or config.train.threads})
    return config.model_copy(update={"data": data, "judge": config.judge and entry.of_digits, "train": train})


class _Run:
    """A run whose directory is locked, and its trainer."""

    def __init__(self, config: Config, dataset: Dataset, run: RunDir, listeners: Sequence[Listener]) -> None:
        self.config, self.dataset, self.run = config, dataset, run
        self.recorded = build.recorded(config)
        self.images = mixed(dataset.train, config.data.mix, config.seed)  # with their labels, to learn from
        self.trainer = build.trainer(config, len(self.images))
        self.metrics = MetricsFile(run.metrics)
        self.listeners = [self.metrics, *listeners]
        self.metadata: dict[str, Any] = environment.describe() | {
            "seed": config.seed,
            "dataset": dataset.name,
            "fallback": dataset.fallback,
            "data_sha256": dataset.sha256 | sha256_of_drawn(self.images[len(dataset.train) :]),
            "parameters": self.trainer.network.params.size,
            "started": _now(),
            "status": "running",
        }
        self.saved_at: int | None = None  # the step after which last.npz was saved

    def train(self, stopping: Callable[[], AbstractContextManager[Stop]]) -> Evaluation:
        """Train what is left to train, measure the result on the test images, and record it."""
        self._begin()
        with self._early_end_recorded():
            self.run.write_metadata(self.metadata)
            start = Start(self.run.path, self.config, self.dataset, self.images, self.trainer)
            for listener in self.listeners:
                listener.on_start(start)
            with stopping() as stop, np.errstate(all="ignore"):  # what overflows is reported as diverged
                self._learn(stop)
            for listener in self.listeners:
                listener.on_end()
            test = conclude(self.run, self.trainer, self.config, self.dataset, on_judge=self._tell_of_judge)
            self.metadata |= self._outcome(test)
            self.run.write_metadata(self.metadata)
        return test

    def _begin(self) -> None:
        """Take up the run that is here, or save the first state of a new one."""
        run = self.run
        if run.last.exists():
            self._go_back()
        elif run.trained():
            raise CheckpointError(f"{run.last}: is missing", run.without_last())
        run.write_config(to_yaml(self.config))
        if not run.last.exists():
            try:
                self._save(best=False)  # so that a folder that cannot be written is known before the first epoch
            except StorageError:
                if not run.last.exists():  # then no run has begun here
                    run.config.unlink(missing_ok=True)
                raise

    def _learn(self, stop: Stop) -> None:
        every = self.config.train.checkpoint_every
        for event in self.trainer.run(self.images, self.dataset.validation, self.config.train.epochs):
            if isinstance(event, EpochReport):
                self._save(best=event.best)
                for listener in self.listeners:
                    listener.on_epoch(event)
                signal = stop()
            else:
                signal = stop()
                if signal is not None or (every and event.number % every == 0):
                    self._save(best=False)
                for listener in self.listeners:
                    listener.on_step(event)
            if signal is not None:
                message = f"stopped after step {self.trainer.steps:,}; everything is saved"
                raise StoppedError(message, "resume the run to go on", signal)

    def _save(self, *, best: bool) -> None:
        run, retained = self.run, self.config.train.keep
        where = {key: self.metadata[key] for key in ("nnctl", "blas", "data_sha256")}
        snapshot = Checkpoint(self.trainer.state(shared=True), self.recorded, where)
        if best:  # before last: a crash in between repeats the epoch and writes both again
            checkpoint.save(run.best, snapshot)
        if retained > 1 and self.saved_at is not None:
            run.retain_last(self.saved_at)
        checkpoint.save(run.last, snapshot)
        run.remove_older(retained)
        self.saved_at = self.trainer.steps

    def _go_back(self) -> None:
        """Take up the run where its last checkpoint stands; warn of whatever keeps the result from being the same."""
        run, trainer = self.run, self.trainer
        try:
            saved = checkpoint.load(run.last)
        except CheckpointError as error:
            raise CheckpointError(error.message, run.without_last()) from error
        restore(trainer, self.recorded, saved, run.last)
        if saved.environment.get("data_sha256") != self.metadata["data_sha256"]:
            raise other_data(run, self.dataset, saved)
        try:
            trainer.check_examples(self.images, self.dataset.validation)
        except ArgumentError as error:
            raise of_another(run.last) from error
        check_best(run, trainer, self.config.train.epochs)
        self.metrics.rewind(trainer.history)
        self.saved_at = trainer.steps
        self._go_on_recording(saved)

    def _go_on_recording(self, saved: Checkpoint) -> None:
        """Take over what run.json said; tell what differs from before."""
        earlier = self.run.read_metadata()
        self.metadata |= {key: earlier[key] for key in ("started", "fallback") if key in earlier}
        if isinstance(earlier.get("extended"), list):
            self.metadata["extended"] = earlier["extended"]
        epochs, before = self.config.train.epochs, checkpoint.flat(saved.config).get("train.epochs")
        if epochs != before:
            longer = {"at": self.trainer.epoch, "from": before, "to": epochs}
            self.metadata["extended"] = [*self.metadata.get("extended", []), longer]
            if self.trainer.schedule.spans_training:
                self._warn(
                    f"the schedule is stretched over {epochs} epochs now, not {before}: the learning rate jumps, "
                    "and the result is not that of a run that was as long from the start"
                )
        recorded = saved.environment.get("blas")
        for what in ("kernel", "threads"):
            now, then = self.metadata["blas"][what], recorded.get(what) if isinstance(recorded, dict) else None
            if now != then:
                self._warn(f"BLAS {what}: {now} here, {then} before; the last bits of results may differ")

    def _warn(self, message: str) -> None:
        for listener in self.listeners:
            listener.on_warning(message)

    def _tell_of_judge(self) -> None:
        for listener in self.listeners:
            listener.on_judge()

    def _outcome(self, test: Evaluation) -> dict[str, Any]:
        """What run.json says of a run in the end."""
        final = Checkpoint(self.trainer.state(shared=True), self.recorded)
        return {
            "status": "finished",
            "finished": _now(),
            "epochs": final.state.epoch,
            "steps": final.state.step,
            "digest": final.digest(),
            "best": final.state.best,
            "test": {"loss": test.loss, "accuracy": test.accuracy, "errors": test.errors},
        }

    @contextlib.contextmanager
    def _early_end_recorded(self) -> Iterator[None]:
        """Let run.json say how a run ended, if it was not by finishing."""
        try:
            yield
        except BaseException as error:
            stopped = isinstance(error, StoppedError) or not isinstance(error, Exception)  # Ctrl-C is none
            status = "stopped" if stopped else "diverged" if isinstance(error, DivergedError) else "failed"
            with contextlib.suppress(StorageError):  # the disk may be what failed
                self.run.write_metadata(self.metadata | {"status": status})
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
