"""`nnctl checkpoint`: look into checkpoint files."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import click

from nnctl.cli import console, options
from nnctl.cli.reading import examined, load_checked
from nnctl.cli.types import PATH
from nnctl.errors import CheckpointError
from nnctl.storage import durable


@click.group()
def checkpoint() -> None:
    """Inspect and verify checkpoints."""


@options.command(checkpoint, name="info", examples="nnctl checkpoint info")
@click.argument("target", metavar="[RUN|CHECKPOINT]", required=False, type=PATH)
@options.as_json
def info(target: Path | None, as_json: bool) -> None:
    """Show what a checkpoint holds; by default the best one of the newest run."""
    from nnctl import rundir

    path = rundir.find_checkpoint(target)
    loaded = load_checked(path)
    state, environment, reading = loaded.state, loaded.environment, loaded.reading
    arrays = {name: list(array.shape) for name, array in loaded.arrays().items()}
    report: dict[str, Any] = {
        "checkpoint": str(path),
        "format_version": loaded.format_version,
        "epoch": state.epoch,
        "step": state.step,
        "batch": state.batch,
        "best": state.best,
        "reading": reading or None,
        "digest": loaded.digest(),
        "arrays": arrays,
        "about": environment,
    }
    if as_json:
        console.result_json(report | {"config": loaded.config, "history": state.history})
        return
    position = f" and {state.batch} batches" if state.batch else ""
    console.result(f"checkpoint  {console.printable(path)}")
    console.result(f"digest      {report['digest']}")
    version = console.printable(f"{environment.get('nnctl')!s:.20}")
    console.result(f"trained     {state.epoch} epochs{position}, {state.step:,} steps, by nnctl {version}")
    if state.best:
        console.result(
            f"best        epoch {state.best['epoch']}: validation accuracy {100 * state.best['accuracy']:.2f} %, "
            f"loss {state.best['loss']:.4f}"
        )
    if reading:
        judge = "a judge" if loaded.judge else "no judge"
        console.result(f"pictures    {judge}, temperature {reading['temperature']:.3f}")
    for name, shape in arrays.items():
        console.result(f"array       {console.printable(name)} ({', '.join(map(str, shape))})")


@options.command(checkpoint, name="verify", examples="nnctl checkpoint verify runs/*")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@options.as_json
def verify(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check every byte of checkpoints; a run directory stands for all that it holds."""
    failed = count = 0
    for path, read in itertools.chain.from_iterable(map(examined, paths)):
        entry: dict[str, Any] = {"path": str(path), "ok": not isinstance(read, CheckpointError)}
        entry |= {"error": read.message} if isinstance(read, CheckpointError) else {"digest": read.digest()}
        count += 1
        failed += not entry["ok"]
        if as_json:
            console.result_json(entry)
        else:
            console.result(console.printable(f"{path}: ok" if entry["ok"] else f"damaged: {entry['error']}"))
    if failed:
        hint = "check the names; restore a copy, or train again"
        raise CheckpointError(f"{failed} of {count} checkpoints cannot be used", hint)


@options.command(checkpoint, name="digest", examples="nnctl checkpoint digest")
@click.argument("target", metavar="[RUN|CHECKPOINT]", required=False, type=PATH)
def digest(target: Path | None) -> None:
    """Print the SHA-256 of the state of learning in a checkpoint, or in each one of a run.

    Equal digests mean the same settings, weights and position, and so the same future on the same data.
    """
    from nnctl import rundir

    found = rundir.find_checkpoint(target)
    if target is not None and not durable.is_folder(target):
        console.result(load_checked(found).digest())
        return
    for path, read in examined(found.parent.parent):
        if isinstance(read, CheckpointError):
            raise read
        console.result(f"{read.digest()}  {console.printable(path)}")
