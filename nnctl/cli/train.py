"""`nnctl train`: a configuration in, a run directory out."""

from __future__ import annotations

import contextlib
import itertools
import platform
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import click

from nnctl import __version__
from nnctl.cli import console, options
from nnctl.errors import DivergedError, StoppedError

if TYPE_CHECKING:
    from nnctl.checkpoint import Checkpoint
    from nnctl.config import Config
    from nnctl.data.datasets import Dataset
    from nnctl.rundir import RunDir
    from nnctl.train import EpochReport, Evaluation, Training


@options.command(
    name="train",
    examples="""
nnctl train
nnctl train configs/tiny.toml
nnctl train --set network.hidden=[64,32] --set train.epochs=3
nnctl train --resume --set train.epochs=12
""",
)
@options.config_file
@options.overrides
@click.option("--run-dir", type=options.PATH, metavar="DIR", help="Where to keep the run.")
@click.option("--resume", is_flag=True, help="Continue the run in --run-dir, or the newest one.")
@options.data_dir
@options.offline
@options.threads
@options.quiet
@options.as_json
def train(
    *,
    config_path: Path | None,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    resume: bool,
    data_dir: Path | None,
    offline: bool | None,
    threads: int | str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a network as CONFIG describes, or with the default settings.

    Learned weights, settings and measurements are kept in a run directory, runs/<time>-<dataset>-<sizes>/.
    Ctrl-C saves and stops; --resume goes on with the same bits as if nothing had happened.
    """
    from nnctl import blas, rundir
    from nnctl.config import load

    run = rundir.RunDir(run_dir) if run_dir else rundir.newest() if resume else None
    continued = run if resume and run is not None and run.used else None
    if continued and config_path is None:
        config_path = continued.config
    config = load(config_path, overrides, options.settings(data_dir, offline, threads)).config
    widths = (784, *config.network.hidden, 10)
    largest_product = config.train.batch_size * max(a * b for a, b in itertools.pairwise(widths))
    blas.configure(_threads(config, continued), largest_product)

    with contextlib.ExitStack() as stack:
        if run is not None:
            stack.enter_context(run)
            if not resume:
                run.refuse_if_used()
        blas.check_kernel()
        from nnctl.build import sizes

        dataset = options.load_dataset(config.data, quiet=quiet)
        config = config.model_copy(update={"data": config.data.model_copy(update={"dataset": dataset.name})})
        if run is None:
            run = stack.enter_context(rundir.new(dataset.name, sizes(config.network.hidden)))
        _run(config, dataset, run, quiet=quiet, as_json=as_json)


def _threads(config: Config, continued: RunDir | None) -> int | Literal["auto"]:
    """The thread count asked for; a run that goes on keeps its own, since another gives other last bits."""
    if continued is None or config.train.threads != "auto":
        return config.train.threads
    threads = continued.read_info().get("blas", {}).get("threads")
    return threads if isinstance(threads, int) else "auto"


def _run(config: Config, dataset: Dataset, run: RunDir, *, quiet: bool, as_json: bool) -> None:
    """Train in a run directory whose lock is held, then measure the test accuracy and report."""
    from nnctl import build, checkpoint
    from nnctl.config import to_yaml
    from nnctl.data.examples import Examples, split
    from nnctl.train import Training, fit

    began = time.perf_counter()
    examples, validation = split(
        Examples(dataset.train_images, dataset.train_labels), config.data.validation, config.data.train_limit
    )
    training = Training(build.plan(config, len(examples)))
    if run.last.exists():
        saved = checkpoint.load(run.last)
        training.resume(saved, str(run.last))
        run.rewind_metrics(training.history)
        _warn_of_stretching(config, saved)
    info = _about(config, dataset, training)
    _keep_the_beginning(info, run.read_info())
    run.write_config(to_yaml(config))
    run.write_info(info)

    def save(training: Training, best: bool) -> None:
        snapshot = training.checkpoint({"nnctl": __version__, "blas": info["blas"]})
        if best:  # before last: a crash in between repeats the epoch and writes both again
            checkpoint.save(run.best, snapshot)
        checkpoint.save(run.last, snapshot)

    if not run.last.exists():
        save(training, False)  # so that a folder that cannot be written is known before the first epoch
    if not quiet:
        _announce(config, training, dataset, len(examples), len(validation))
    steps = config.train.epochs * -(-len(examples) // config.train.batch_size)
    bar = console.TrainingBar(training.step, steps, shown=not quiet)
    with bar, _stop_asked() as stop, _early_end_noted(run, info):
        for report in fit(training, examples, validation, save=save, stop=stop, progress=bar.watch):
            run.append_metrics(vars(report))
            bar.write(_row(report, config.train.epochs))
    result = _test(training, run, Examples(dataset.test_images, dataset.test_labels))
    final = training.checkpoint({})
    info |= _outcome(final, result)
    run.write_info(info)
    seconds = time.perf_counter() - began
    if as_json:
        console.result_json({"run": str(run.path), **info, "history": training.history, "seconds": seconds})
    else:
        if not quiet:
            console.note("")
        _summarize(config, run, dataset, training, result, seconds=seconds)


def _about(config: Config, dataset: Dataset, training: Training) -> dict[str, Any]:
    """What run.json says of a run before it begins."""
    import numpy as np

    from nnctl import blas

    return {
        "nnctl": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": blas.processor(),
        "blas": blas.report(),
        "seed": config.seed,
        "dataset": dataset.name,
        "fallback": dataset.fallback,
        "data_sha256": dataset.sha256,
        "parameters": training.plan.network.params.size,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": "running",
    }


def _warn_of_stretching(config: Config, saved: Checkpoint) -> None:
    """Say so if the learning rate leaves the curve it was on: some schedules are laid over the whole training."""
    before = saved.meta.config["train"]["epochs"]
    if config.train.epochs != before and config.schedule.name in ("one_cycle", "cosine"):
        console.warning(
            f"schedule {config.schedule.name} is laid over {config.train.epochs} epochs now, not {before}: "
            "the learning rate jumps, and the result is not that of a run so long from the start"
        )


def _keep_the_beginning(info: dict[str, Any], earlier: dict[str, Any]) -> None:
    """Take over from run.json what is true of a resumed run as a whole; warn if its bits will not be the same."""
    info |= {key: earlier[key] for key in ("started", "fallback") if key in earlier}
    kernel, before = info["blas"]["kernel"], earlier.get("blas", {}).get("kernel")
    if before is not None and kernel != before:
        console.warning(f"BLAS runs its {kernel} kernel here, {before} before: the last bits of results may differ")


def _outcome(final: Checkpoint, result: Evaluation) -> dict[str, Any]:
    """What run.json says of a run in the end."""
    return {
        "status": "finished",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "epochs": final.meta.epoch,
        "steps": final.meta.step,
        "digest": final.digest(),
        "best": final.meta.best,
        "test": {"loss": result.loss, "accuracy": result.accuracy, "errors": result.errors},
    }


def _test(training: Training, run: RunDir, examples: Any) -> Evaluation:
    """Measure the best epoch's network on the test set; without validation, the last one's."""
    from nnctl import build, checkpoint
    from nnctl.train import evaluate

    network, criterion = training.plan.network, training.plan.criterion
    if training.best is not None:
        network, criterion = build.trained_network(checkpoint.load(run.best), str(run.best))
    return evaluate(network, criterion, examples)


@contextlib.contextmanager
def _early_end_noted(run: RunDir, info: dict[str, Any]) -> Iterator[None]:
    """Let run.json say so if training stops or diverges."""
    try:
        yield
    except (StoppedError, DivergedError) as error:
        run.write_info(info | {"status": "stopped" if isinstance(error, StoppedError) else "diverged"})
        raise


@contextlib.contextmanager
def _stop_asked() -> Iterator[Callable[[], int | None]]:
    """While training, take SIGINT and SIGTERM as a wish to save and stop; give a function that returns the signal.

    A second signal of the kind has its usual effect, for those who cannot wait.
    """
    received: list[int] = []
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _announce(config: Config, training: Training, dataset: Dataset, examples: int, validation: int) -> None:
    """Say what is about to learn from what, and head the table of epochs."""
    from nnctl import build

    console.note(
        f"{dataset.name}: {examples:,} images to train on, {validation:,} to validate, {len(dataset.test_images):,} "
        f"to test\nnetwork: {build.sizes(config.network.hidden)}, {config.network.activation}, "
        f"{training.plan.network.params.size:,} parameters"
    )
    if training.step:
        console.note(f"resuming after {training.epoch} epochs and {training.batch} batches")
    if training.finished:
        console.note("nothing is left to train: ask for more with --set train.epochs=N")
        return
    console.note("\n  epoch    loss  accuracy  val loss  val accuracy    images/s")


def _row(report: EpochReport, epochs: int) -> str:
    """One epoch as a line of the table; a star marks the best so far."""
    validation = f"{'-':>8}  {'-':>12}"
    if report.validation_loss is not None and report.validation_accuracy is not None:
        validation = f"{report.validation_loss:8.4f}  {100 * report.validation_accuracy:10.2f} %"
    epoch = f"{report.epoch}/{epochs}"
    rate = f"{report.images_per_second:,.0f}"
    line = f"{epoch:>7}  {report.loss:6.4f}  {100 * report.accuracy:6.2f} %  {validation}  {rate:>10}"
    return f"{line}  *" if report.best else line


def _summarize(
    config: Config, run: RunDir, dataset: Dataset, training: Training, result: Evaluation, *, seconds: float
) -> None:
    """The result: how good it is, where it lies, and what to do with it."""
    which = f"best epoch, {training.best['epoch']}" if training.best else f"epoch {training.epoch}"
    of_synthetic = " (synthetic digits, not MNIST)" if dataset.name == "synthetic" else ""
    console.result(
        f"test accuracy {100 * result.accuracy:.2f} %{of_synthetic}: {result.errors:,} of {len(result.labels):,} wrong "
        f"({which}), in {seconds:.1f} s"
    )
    console.result(f"run           {run.path}")
    console.result(f"next          {_next(config, run)}")


def _next(config: Config, run: RunDir) -> str:
    """Commands to paste: a picture from the same data, and this network's reading of it."""
    from nnctl.rundir import RUNS

    predict = ["nnctl", "predict", "digit.png"]
    if run.path.parent != RUNS:
        predict += ["--checkpoint", str(run.path)]
    return f"{options.export_command('test:7', config.data)} && {shlex.join(predict)}"
