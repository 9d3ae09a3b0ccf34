"""`nnctl train`: a configuration in, a run directory out."""

from __future__ import annotations

import contextlib
import platform
import shlex
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnctl import __version__
from nnctl.cli import console, options, progress, signals
from nnctl.errors import CheckpointError, ConfigError, DivergedError, StoppedError, StorageError

if TYPE_CHECKING:
    from nnctl.checkpoint import Checkpoint
    from nnctl.config import Config
    from nnctl.data.datasets import Dataset
    from nnctl.rundir import RunDir
    from nnctl.train import Evaluation, Training


@options.command(
    name="train",
    examples="""
nnctl train
nnctl train configs/tiny.toml
nnctl train --set 'network.hidden=[64,32]' --set train.epochs=3
nnctl train --resume
""",
)
@options.config_file
@options.overrides
@click.option("--run-dir", type=options.PATH, metavar="DIR", help="Where to keep the run.")
@click.option("--resume", is_flag=True, help="Continue the run in --run-dir, or start it; else the newest in runs/.")
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
    if resume and run is not None:
        if not run.used:
            console.warning(f"{run.path}: holds no run to resume; starting a new one")
        elif config_path is None:
            config_path = run.config
            if not config_path.exists():
                raise ConfigError(
                    f"{config_path}: is missing", "restore it, or name a configuration that says the same as it did"
                )
    config = load(config_path, overrides, options.settings(data_dir, offline, threads)).config
    blas.configure(config.train.threads, config.largest_product)

    with contextlib.ExitStack() as stack:
        if run is not None:
            stack.enter_context(run)
            if not resume:
                run.refuse_if_used()
        blas.check_kernel()
        from nnctl.build import sizes

        dataset = options.load_dataset(config.data, quiet=quiet)
        config = _settled(config, dataset)
        if run is None:
            run = stack.enter_context(rundir.new(dataset.name, sizes(config.network.hidden)))
        _run(config, dataset, run, quiet=quiet, as_json=as_json)


def _settled(config: Config, dataset: Dataset) -> Config:
    """What was left open has been decided by now: save what it has become, so that the run can be replayed."""
    from nnctl import blas

    data = config.data.model_copy(update={"dataset": dataset.name})
    train = config.train.model_copy(update={"threads": blas.threads_in_force() or config.train.threads})
    return config.model_copy(update={"data": data, "train": train})


def _run(config: Config, dataset: Dataset, run: RunDir, *, quiet: bool, as_json: bool) -> None:
    """Train in a run directory whose lock is held, then measure the test accuracy and report."""
    from nnctl import build
    from nnctl.config import to_yaml
    from nnctl.data.examples import Examples, split
    from nnctl.train import Training, fit

    began = time.perf_counter()
    examples, validation = split(
        Examples(dataset.train_images, dataset.train_labels), config.data.validation, config.data.train_limit
    )
    training = Training(build.plan(config, len(examples)))
    info = _about(config, dataset, training)
    if run.last.exists():
        _go_back(training, run, info)
    elif run.trained():
        raise CheckpointError(f"{run.last}: is missing", run.without_last())

    save = _saving(run, config.train.keep, info, training.step if run.last.exists() else None)
    run.write_config(to_yaml(config))
    if not run.last.exists():
        try:
            save(training, False)  # so that a folder that cannot be written is known before the first epoch
        except StorageError:
            if not run.last.exists():  # then no run has begun here
                run.config.unlink(missing_ok=True)
            raise
    with _early_end_noted(run, info):
        run.write_info(info)
        if not quiet:
            progress.announce(config, training, dataset, len(examples), len(validation))
        steps = training.plan.epochs * training.plan.steps_per_epoch
        with progress.TrainingBar(training.step, steps, shown=not quiet) as bar, signals.stop_asked() as stop:
            for report in fit(training, examples, validation, save=save, stop=stop, progress=bar.watch):
                run.append_metrics(vars(report))
                bar.write(progress.row(report, config.train.epochs))
        result = _test(training, run, Examples(dataset.test_images, dataset.test_labels))
        info |= _outcome(training.checkpoint({}), result)
        run.write_info(info)
    seconds = time.perf_counter() - began
    if as_json:
        console.result_json({"run": str(run.path), **info, "history": training.history, "seconds": seconds})
    else:
        if not quiet:
            console.note("")
        progress.summarize(config, run, dataset, training, result, seconds=seconds)


def _saving(run: RunDir, keep: int, info: dict[str, Any], saved_at: int | None) -> Callable[[Training, bool], None]:
    """Give the function that saves a training, and whether it is the best so far, into its run directory.

    Args:
        run: the directory.
        keep: how many of the last checkpoints to leave there.
        info: what is known of the run.
        saved_at: the step after which its last checkpoint was saved; None if there is none yet.
    """
    from nnctl import checkpoint

    about = {key: info[key] for key in ("nnctl", "blas", "data_sha256")}

    def save(training: Training, best: bool) -> None:
        nonlocal saved_at
        snapshot = training.checkpoint(about)
        if best:  # before last: a crash in between repeats the epoch and writes both again
            checkpoint.save(run.best, snapshot)
        if keep > 1 and saved_at is not None:
            run.keep_last(saved_at)
        checkpoint.save(run.last, snapshot)
        run.remove_older(keep)
        saved_at = training.step

    return save


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


def _go_back(training: Training, run: RunDir, info: dict[str, Any]) -> None:
    """Take up a run where its last checkpoint stands; warn of whatever keeps the result from being the same."""
    from nnctl import checkpoint

    try:
        saved = checkpoint.load(run.last)
    except CheckpointError as error:
        raise CheckpointError(error.message, run.without_last()) from error
    about, earlier = saved.meta.about, run.read_info()
    if about.get("data_sha256") != info["data_sha256"]:
        raise ConfigError(f"{run.path}: was begun with other data", "give it the files it had, or start a new run")
    training.resume(saved, str(run.last))
    if training.best is not None:
        if not run.best.exists():
            raise _no_best(run, training, "is missing")
        best = checkpoint.load(run.best).meta
        together = min(best.epoch, training.epoch)
        same_run = best.history[:together] == training.history[:together]
        # a kill may have come between saving the best and the last; what was best ahead of here will be so again
        ahead = best.epoch > training.epoch and not training.finished
        if not same_run or (best.best != training.best and not ahead):
            raise _no_best(run, training, "is not the best of this run")
    run.rewind_metrics(training.history)
    info |= {key: earlier[key] for key in ("started", "fallback") if key in earlier}
    if isinstance(earlier.get("extended"), list):
        info["extended"] = earlier["extended"]

    epochs, before = training.plan.epochs, checkpoint.flat(saved.meta.config).get("train.epochs")
    if epochs != before:
        info["extended"] = [*info.get("extended", []), {"at": training.epoch, "from": before, "to": epochs}]
        if training.plan.config["schedule"]["name"] in ("one_cycle", "cosine"):
            console.warning(
                f"the schedule is laid over {epochs} epochs now, not {before}: the learning rate jumps, "
                "and the result is not that of a run so long from the start"
            )
    recorded = about.get("blas")
    for what in ("kernel", "threads"):
        now, then = info["blas"][what], recorded.get(what) if isinstance(recorded, dict) else None
        if now != then:
            console.warning(f"BLAS {what}: {now} here, {then} before; the last bits of results may differ")


def _no_best(run: RunDir, training: Training, what: str) -> CheckpointError:
    hint = "restore it from a copy, or start a new run"
    if training.best is not None and (training.epoch, training.batch) == (training.best["epoch"], 0):
        hint = f"the last epoch was the best: copy {run.last} to {run.best}"
    return CheckpointError(f"{run.best}: {what}", hint)


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
        best = checkpoint.load(run.best)
        if best.meta.best != training.best:
            raise _no_best(run, training, "is not the best of this run")
        network, criterion = build.trained_network(best, str(run.best))
    return evaluate(network, criterion, examples)


@contextlib.contextmanager
def _early_end_noted(run: RunDir, info: dict[str, Any]) -> Iterator[None]:
    """Let run.json say how a run ended, if it was not by finishing."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, StoppedError):
            error.hint = f"go on with: {shlex.join(['nnctl', 'train', '--resume', '--run-dir', str(run.path)])}"
        stopped = isinstance(error, StoppedError | SystemExit | KeyboardInterrupt)
        status = "stopped" if stopped else "diverged" if isinstance(error, DivergedError) else "failed"
        with contextlib.suppress(StorageError):  # the disk may be what failed
            run.write_info(info | {"status": status})
        raise
