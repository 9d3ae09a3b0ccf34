"""`nnctl train`: a configuration in, a run directory out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnctl.cli import console, options, signals
from nnctl.cli.progress import TrainingProgress, summarize
from nnctl.cli.types import PATH
from nnctl.errors import ConfigError, StoppedError

if TYPE_CHECKING:
    from nnctl.data import Dataset


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
@click.option("--run-dir", type=PATH, metavar="DIR", help="Where to save the run.")
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

    Learned weights, settings and measurements are saved in a run directory, runs/<time>-<dataset>-<sizes>/.
    Ctrl-C saves and stops; --resume goes on with the same bits as if nothing had happened.
    """
    if resume:
        run_dir, config_path = _resumed(run_dir, config_path)
    config = options.load_config(config_path, overrides, options.settings(data_dir, offline, threads))
    from nnctl.run import train_run

    def dataset() -> Dataset:
        return options.load_dataset(config.data, quiet=quiet)

    progress = TrainingProgress(shown=not quiet)
    try:
        with progress:
            result = train_run(config, dataset, run_dir, [progress], resume=resume, stopping=signals.stop_asked)
    except StoppedError as error:
        words = ["nnctl", "train", "--resume", "--run-dir", str(progress.directory)]
        error.hint = f"go on with: {console.command_line(words)}"
        raise
    if as_json:
        history = {"history": result.history, "seconds": result.seconds}
        console.result_json({"run": str(result.directory), **result.metadata, **history})
    else:
        if not quiet:
            console.note("")
        summarize(result)


def _resumed(run_dir: Path | None, config_path: Path | None) -> tuple[Path, Path | None]:
    """The run to go on with, the newest by default, and its own configuration unless another is given."""
    from nnctl import rundir

    run = rundir.RunDir(run_dir) if run_dir is not None else rundir.newest()
    if not run.used:
        console.warning(f"{run.path}: holds no run to resume; starting a new one")
    elif config_path is None:
        config_path = run.config
        if not config_path.exists():
            hint = "restore it, or name a configuration that says the same as it did"
            raise ConfigError(f"{config_path}: is missing", hint)
    return run.path, config_path
