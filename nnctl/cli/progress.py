"""What a person sees of a training: an announcement, a bar, a table of epochs and a summary."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnctl.cli import console, options
from nnctl.logs.listener import Listener, Start

if TYPE_CHECKING:
    from nnctl.run import Result
    from nnctl.train import EpochReport, Step


class TrainingProgress(Listener):
    """One bar for a whole training on a terminal, with lines written above it; elsewhere the lines alone.

    Args:
        shown: whether to show anything but warnings.

    Attributes:
        directory: of the run, once it has started.
    """

    def __init__(self, *, shown: bool) -> None:
        self.directory: Path | None = None
        self._shown = shown
        self._epochs = 0
        self._bar: Any = None

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_start(self, start: Start) -> None:
        """Say what is about to learn from what, head the table of epochs, and draw the bar."""
        self.directory = start.directory
        self._epochs = start.config.train.epochs
        if not self._shown:
            return
        announce(start)
        if console.is_terminal(sys.stderr):
            from tqdm import tqdm

            trainer = start.trainer
            total = self._epochs * -(-len(start.train) // trainer.batch_size)
            ascii_only = not console.speaks_unicode(sys.stderr)
            self._bar = tqdm(
                desc="training", initial=trainer.steps, total=total, leave=False, ascii=ascii_only, unit="step"
            )

    def on_step(self, step: Step) -> None:  # noqa: ARG002
        """Move the bar."""
        if self._bar is not None:
            self._bar.update()

    def on_epoch(self, report: EpochReport) -> None:
        """Write a line of the table, above the bar."""
        line = row(report, self._epochs)
        if self._bar is not None:
            with contextlib.suppress(OSError):  # the terminal is gone
                self._bar.write(line, file=sys.stderr)
        elif self._shown:
            console.note(line)

    def on_end(self) -> None:
        """Take the bar away, before the result is measured."""
        self._close()

    def on_judge(self) -> None:
        """Say what the last seconds are for."""
        if self._shown:
            console.note("learning to tell digits from everything else")

    def on_warning(self, message: str) -> None:
        """Say it, whether or not anything else is shown."""
        console.warning(message)


def announce(start: Start) -> None:
    """Say what is about to learn from what, and head the table of epochs."""
    from nnctl import build

    dataset, trainer, described = start.dataset, start.trainer, start.config.network
    drawn = len(start.train) - len(dataset.train)
    and_drawn = f" and {drawn:,} drawn digits" if drawn else ""
    console.note(
        f"{dataset.name}: {len(dataset.train):,} images{and_drawn} to train on, "
        f"{len(dataset.validation):,} to validate, {len(dataset.test):,} to test\n"
        f"network: {build.sizes(described.hidden)}, {described.activation}, "
        f"{trainer.network.params.size:,} parameters"
    )
    if trainer.steps:
        console.note(f"resuming after step {trainer.steps:,}; epochs completed: {trainer.epoch}")
    if trainer.finished(start.config.train.epochs):
        console.note("nothing is left to train: ask for more with --set train.epochs=N")
        return
    console.note("\n  epoch    loss  accuracy  val loss  val accuracy    images/s")


def row(report: EpochReport, epochs: int) -> str:
    """Give one epoch as a line of the table; a star marks the best so far."""
    validation = f"{'-':>8}  {'-':>12}"
    if report.validation_loss is not None and report.validation_accuracy is not None:
        validation = f"{report.validation_loss:8.4f}  {100 * report.validation_accuracy:10.2f} %"
    epoch = f"{report.epoch}/{epochs}"
    rate = f"{report.images_per_second:,.0f}" if report.images_per_second else "-"
    loss = f"{report.loss:6.4f}" if report.loss < 100 else f"{report.loss:6.0f}"
    line = f"{epoch:>7}  {loss}  {100 * report.accuracy:6.2f} %  {validation}  {rate:>10}"
    return f"{line}  *" if report.best else line


def summarize(result: Result) -> None:
    """The result: how good it is, where it lies, and what to do with it."""
    best, test = result.metadata["best"], result.test
    which = f"best epoch, {best['epoch']}" if best else f"epoch {result.metadata['epochs']}"
    of_synthetic = " (synthetic digits, not MNIST)" if result.metadata["dataset"] == "synthetic" else ""
    console.result(
        f"test accuracy {100 * test.accuracy:.2f} %{of_synthetic}: {test.errors:,} of {len(test.labels):,} wrong "
        f"({which}), in {result.seconds:.1f} s"
    )
    console.result(f"run           {console.printable(result.directory)}")
    console.result(f"next          {_next(result)}")


def _next(result: Result) -> str:
    """Commands to paste: a picture from the same data, and this network's reading of it."""
    from nnctl.errors import CheckpointError
    from nnctl.rundir import RunDir, find_checkpoint

    predict, run = ["nnctl", "predict", "digit.png"], RunDir(result.directory)
    try:
        taken = find_checkpoint(None) in (run.best, run.last)
    except CheckpointError:  # this run lies elsewhere, and there is no other
        taken = False
    if not taken:
        predict += ["--checkpoint", str(result.directory)]
    return f"{options.export_command('test:7', result.config.data)} && {console.command_line(predict)}"
