"""Put a trainer back to where its run has come to, or say why that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnctl import checkpoint
from nnctl.checkpoint import Checkpoint
from nnctl.data.catalog import CATALOG
from nnctl.data.datasets import Dataset
from nnctl.data.mix import DRAWN
from nnctl.errors import ArgumentError, CheckpointError, ConfigError
from nnctl.model import Model
from nnctl.rundir import RunDir
from nnctl.train import Trainer

MAY_CHANGE = checkpoint.INCIDENTAL | {"train.epochs", "train.patience"}
"""Keys that a resumed run may set anew: none of them alters a step that was taken."""


def restore(trainer: Trainer, config: Mapping[str, Any], saved: Checkpoint, path: Path) -> None:
    """Put a trainer back to a checkpoint of the same configuration, so that training goes on with the same bits.

    Args:
        trainer: as `build.trainer` makes it.
        config: what it was made of, as `build.recorded` has it.
        saved: what was read from `path`.
        path: of the checkpoint.

    Raises:
        ConfigError: this configuration would not repeat what the checkpoint has done so far.
        CheckpointError: the checkpoint contradicts itself.
    """
    now, before = checkpoint.flat(config), checkpoint.flat(saved.config)
    differing = (key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
    changed = sorted(key for key in differing if key not in MAY_CHANGE)
    epochs = now["train.epochs"]
    if changed or saved.state.epoch > epochs:
        Model.from_checkpoint(saved, path)  # which raises where the checkpoint is what is wrong
    if saved.state.epoch > epochs:
        raise ConfigError(
            f"train.epochs: {epochs}, but {path} has done {saved.state.epoch} already",
            "ask for more, or start anew",
        )
    if changed:
        raise ConfigError(
            f"{path}: cannot be resumed with another {', '.join(changed)}",
            f"only {', '.join(sorted(MAY_CHANGE))} may change; start a new run for the rest",
        )
    try:
        trainer.restore(saved.state)
    except ArgumentError as error:
        raise of_another(path) from error


def of_another(path: Path) -> CheckpointError:
    """The error of a checkpoint that cannot come from such a training."""
    return CheckpointError(f"{path}: is not a checkpoint of this configuration", "start a new run")


def other_data(run: RunDir, dataset: Dataset, saved: Checkpoint) -> ConfigError:
    """The error for a run that was begun with data of other hashes, and what to do about it."""
    before = saved.environment.get("data_sha256")
    files = {name: sha256 for name, sha256 in before.items() if name != DRAWN} if isinstance(before, dict) else None
    drawn = files == dataset.sha256 or CATALOG[dataset.name].drawn
    needed = "train on with the version of nnctl that drew its digits" if drawn else "give it the files it had"
    return ConfigError(f"{run.path}: was begun with other data", f"{needed}, or start a new run")


def check_best(run: RunDir, trainer: Trainer, epochs: int) -> None:
    """Raise CheckpointError unless best.npz is the best of this run, as far as the trainer has come."""
    if trainer.best is None:
        return
    if not run.best.exists():
        raise no_best(run, trainer, "is missing")
    best = checkpoint.load(run.best).state
    together = min(best.epoch, trainer.epoch)
    same_run = best.history[:together] == trainer.history[:together]
    # a kill may have come between saving the best and the last; what was best ahead of here will be so again
    ahead = best.epoch > trainer.epoch and not trainer.finished(epochs)
    if not same_run or (best.best != trainer.best and not ahead):
        raise no_best(run, trainer, "is not the best of this run")


def no_best(run: RunDir, trainer: Trainer, what: str) -> CheckpointError:
    """The error of a best checkpoint that is missing or foreign, and what to do about it."""
    hint = "restore it from a copy, or start a new run"
    if trainer.best is not None and (trainer.epoch, trainer.batch) == (trainer.best["epoch"], 0):
        hint = f"the last epoch was the best: copy {run.last} to {run.best}"
    return CheckpointError(f"{run.best}: {what}", hint)
