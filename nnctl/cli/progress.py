"""What a person sees of a training: an announcement, a bar, a table of epochs and a summary."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from nnctl.cli import console, options

if TYPE_CHECKING:
    from nnctl.config import Config
    from nnctl.data.datasets import Dataset
    from nnctl.rundir import RunDir
    from nnctl.train import EpochReport, Evaluation, Training

T = TypeVar("T")


class TrainingBar:
    """One bar for a whole training on a terminal, with lines written above it; elsewhere the lines alone.

    Args:
        done, total: steps done already and in all.
        shown: whether to show anything.
    """

    def __init__(self, done: int, total: int, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None
        if shown and console.is_terminal(sys.stderr):
            from tqdm import tqdm

            ascii_only = not console.speaks_unicode(sys.stderr)
            self._bar = tqdm(desc="training", initial=done, total=total, leave=False, ascii=ascii_only, unit="step")

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def watch(self, batches: Iterable[T]) -> Iterable[T]:
        """Pass the batches of an epoch on, moving the bar by one for each."""
        return batches if self._bar is None else self._moving(batches)

    def _moving(self, batches: Iterable[T]) -> Iterator[T]:
        for batch in batches:
            yield batch
            self._bar.update()

    def write(self, line: str) -> None:
        """Write a line to standard error, above the bar."""
        if self._bar is not None:
            with contextlib.suppress(OSError):  # the terminal is gone
                self._bar.write(line, file=sys.stderr)
        elif self._shown:
            console.note(line)


def announce(config: Config, training: Training, dataset: Dataset, examples: int, validation: int) -> None:
    """Say what is about to learn from what, and head the table of epochs."""
    from nnctl import build

    console.note(
        f"{dataset.name}: {examples:,} images to train on, {validation:,} to validate, {len(dataset.test_images):,} "
        f"to test\nnetwork: {build.sizes(config.network.hidden)}, {config.network.activation}, "
        f"{training.plan.network.params.size:,} parameters"
    )
    if training.step:
        console.note(f"resuming after step {training.step:,}; epochs completed: {training.epoch}")
    if training.finished:
        console.note("nothing is left to train: ask for more with --set train.epochs=N")
        return
    console.note("\n  epoch    loss  accuracy  val loss  val accuracy    images/s")


def row(report: EpochReport, epochs: int) -> str:
    """One epoch as a line of the table; a star marks the best so far."""
    validation = f"{'-':>8}  {'-':>12}"
    if report.validation_loss is not None and report.validation_accuracy is not None:
        validation = f"{report.validation_loss:8.4f}  {100 * report.validation_accuracy:10.2f} %"
    epoch = f"{report.epoch}/{epochs}"
    rate = f"{report.images_per_second:,.0f}"
    loss = f"{report.loss:6.4f}" if report.loss < 100 else f"{report.loss:6.0f}"
    line = f"{epoch:>7}  {loss}  {100 * report.accuracy:6.2f} %  {validation}  {rate:>10}"
    return f"{line}  *" if report.best else line


def summarize(
    config: Config, run: RunDir, dataset: Dataset, training: Training, result: Evaluation, *, seconds: float
) -> None:
    """The result: how good it is, where it lies, and what to do with it."""
    which = f"best epoch, {training.best['epoch']}" if training.best else f"epoch {training.epoch}"
    of_synthetic = " (synthetic digits, not MNIST)" if dataset.name == "synthetic" else ""
    console.result(
        f"test accuracy {100 * result.accuracy:.2f} %{of_synthetic}: {result.errors:,} of {len(result.labels):,} wrong "
        f"({which}), in {seconds:.1f} s"
    )
    console.result(f"run           {console.printable(run.path)}")
    console.result(f"next          {_next(config, run)}")


def _next(config: Config, run: RunDir) -> str:
    """Commands to paste: a picture from the same data, and this network's reading of it."""
    from nnctl.errors import CheckpointError
    from nnctl.rundir import find_checkpoint

    predict = ["nnctl", "predict", "digit.png"]
    try:
        taken = find_checkpoint(None) in (run.best, run.last)
    except CheckpointError:  # this run lies elsewhere, and there is no other
        taken = False
    if not taken:
        predict += ["--checkpoint", str(run.path)]
    return f"{options.export_command('test:7', config.data)} && {shlex.join(predict)}"
