"""A run directory: where one training run saves everything it knows, and lets no other run in.

runs/20260102-030405-mnist-784-128-10/
    config.yaml         the resolved configuration; `nnctl train` with it repeats the run to the bit
    run.json            versions, processor, BLAS, seed, SHA-256 of the data, and at the end the result
    metrics.jsonl       one line for each epoch
    checkpoints/        last.npz after every epoch, best.npz after the best one, step-000001234.npz if more are retained
    .lock               held by the process that trains here
"""

from __future__ import annotations

import contextlib
import json
import operator
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnctl.errors import CheckpointError, RunInUseError, RunUsedError, StorageError
from nnctl.storage import durable

RETAINED = re.compile(r"step-(\d{9,})\.npz")
RUNS = Path("runs")
"""Where runs are made, and looked for, unless a directory is named."""


class RunDir:
    """One run directory. Use it as a context manager to hold its lock.

    Args:
        path: the directory; `__enter__` creates it where it is missing.

    Raises:
        RunInUseError: on entering, if another process holds the lock.
        StorageError: on entering or writing, if the file system refuses.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path = Path(path)
        self.config = path / "config.yaml"
        self.metadata = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.last = path / "checkpoints" / "last.npz"
        self.best = path / "checkpoints" / "best.npz"
        self._held = contextlib.ExitStack()

    def __enter__(self) -> RunDir:
        busy = RunInUseError(
            f"{self.path}: another process is training here", "wait for it, or choose another directory"
        )
        self._held.enter_context(durable.locked(self.path, 0, busy))
        durable.make_folder(self.last.parent)
        durable.sweep(self.last.parent)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def used(self) -> bool:
        """Whether a run has begun here."""
        own = (self.config, self.metadata, self.metrics, self.last, self.best, *self._retained())
        return any(path.exists() for path in own)

    def trained(self) -> bool:
        """Whether an epoch has been finished here."""
        try:
            return self.best.exists() or self.metrics.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False

    def refuse_if_used(self) -> None:
        """Raise RunUsedError if a run has begun here: a new one would overwrite it."""
        if self.used:
            raise RunUsedError(f"{self.path}: holds a run already", "resume it, or choose another directory")

    def without_last(self) -> str:
        """What to do where last.npz is missing or cannot be used: a hint."""
        spare = next((path for path in (*reversed(self._retained()), self.best) if path.exists()), None)
        return f"go on from an earlier one: copy {spare} to {self.last}" if spare else "start a new run"

    def retain_last(self, step: int) -> None:
        """Give last.npz, saved after so many steps, a second name, under which it stays when last.npz is replaced."""
        retained = self.last.with_name(f"step-{step:09d}.npz")
        if not self.last.exists() or (retained.exists() and retained.samefile(self.last)):
            return
        durable.remove(retained)  # an earlier save after the same step, such as one just before the epoch was validated
        durable.link(self.last, retained)

    def remove_older(self, keep: int) -> None:
        """Of the checkpoints retained under second names, leave the newest; last.npz counts as one of `keep`."""
        retained = self._retained()
        for path in retained[: max(0, len(retained) - (keep - 1))]:
            durable.remove(path)

    def _retained(self) -> list[Path]:
        """The checkpoints that were retained, the oldest first; a file with any other name is not one of ours."""
        found = ((RETAINED.fullmatch(path.name), path) for path in self.last.parent.glob("step-*.npz"))
        return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]

    def write_config(self, text: str) -> None:
        """Save the resolved configuration."""
        durable.write_atomic(self.config, text.encode())

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        """Save what is worth knowing about the run as a whole."""
        durable.write_atomic(self.metadata, (json.dumps(metadata, indent=2) + "\n").encode())

    def read_metadata(self) -> dict[str, Any]:
        """What `write_metadata` saved; empty where there is none or it cannot be read."""
        try:
            with durable.open_regular(self.metadata) as file:
                metadata = json.load(file)
        except (OSError, ValueError, RecursionError):
            return {}
        return metadata if isinstance(metadata, dict) else {}


def new(dataset: str, sizes: str) -> RunDir:
    """Name a new run directory after the time (UTC), the dataset and the layer sizes (784-128-10), and create it."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{dataset}-{sizes}"
    if len(name) > 100:  # a network of many layers; file systems allow 255 bytes
        name = name[:97] + "etc"
    durable.make_folder(RUNS)
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = RUNS / f"{name}{suffix}"
        try:
            path.mkdir()
            durable.sync_folder(RUNS)
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageError.from_os_error(f"create the folder {path}", error) from error
        return RunDir(path)
    raise StorageError(f"cannot create {RUNS / name}: a thousand runs bear that name", "choose another directory")


def newest() -> RunDir:
    """The run that saved a checkpoint last; raises CheckpointError if there is none."""
    runs = _newest_first()
    if not runs:
        raise _no_run()
    return runs[0]


def _newest_first() -> list[RunDir]:
    """All runs that have saved a checkpoint; what cannot be looked at is none, or is being removed in this moment."""
    saved = []
    with contextlib.suppress(OSError):
        for path in RUNS.iterdir():
            run = RunDir(path)
            with contextlib.suppress(OSError):
                status = run.last.stat()
                if stat.S_ISREG(status.st_mode):
                    saved.append((status.st_mtime_ns, run))
    return [run for _, run in sorted(saved, key=operator.itemgetter(0), reverse=True)]


def _no_run() -> CheckpointError:
    return CheckpointError(f"no run found in {RUNS}/", "train a network first")


def find_checkpoint(target: Path | str | None) -> Path:
    """The checkpoint meant by a run directory, a file or nothing: a run's best one, or its last without validation.

    Nothing means the newest run that has finished an epoch.
    """
    target = None if target is None else Path(target)
    if target is not None and not durable.is_folder(target):
        return target
    runs = [RunDir(target)] if target is not None else sorted(_newest_first(), key=lambda run: not run.trained())
    for path in (path for run in runs for path in (run.best, run.last)):
        if path.exists():
            return path
    if target is None:
        raise _no_run()
    raise CheckpointError(f"{target}: holds no checkpoint", "name a run directory or a checkpoint file")
