"""Checkpoints as commands read them: one by one, or all of a run that may be training meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nnctl.errors import CheckpointError
from nnctl.storage import durable

if TYPE_CHECKING:
    from nnctl.checkpoint import Checkpoint


def examined(path: Path) -> Iterator[tuple[Path, Checkpoint | CheckpointError]]:
    """A checkpoint, or each one of a run directory: what it holds, or why it cannot be used.

    A training may remove the older ones of its run meanwhile: what is gone since it was listed is passed over.
    """
    seen = False
    for file in sorted(path.glob("checkpoints/*.npz")) if durable.is_folder(path) else ():
        read = _read(file)
        gone = isinstance(read, CheckpointError) and isinstance(read.__cause__, FileNotFoundError)
        if not gone or file.is_symlink():
            seen = True
            yield file, read
    if not seen:
        yield path, _read(path)


def _read(path: Path) -> Checkpoint | CheckpointError:
    """What a checkpoint holds, or why it cannot be used."""
    try:
        return load_checked(path)
    except CheckpointError as error:
        return error


def load_checked(path: Path) -> Checkpoint:
    """Read a checkpoint, and see whether the network that it describes is the one whose arrays it holds."""
    from nnctl import blas

    blas.configure("auto")
    from nnctl import checkpoint as checkpoints
    from nnctl.model import Model

    loaded = checkpoints.load(path)
    Model.from_checkpoint(loaded, path)
    return loaded
