"""Where the project's files lie, what a folder holds, folders made once, and a file system that refuses."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


def contents(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder and below it, by its path there: the bytes of a file, None for a folder."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of this name, for reading only: the first of the processes that run tests makes it for all of them."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # what lies below belongs to one process
    with FileLock(root / f"{name}.lock"):
        if not (root / name).exists():
            draft = root / f"{name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(root / name)
    return root / name


def failing(number: int) -> Callable[..., Any]:
    """A file system call that fails as the operating system would make it fail."""

    def call(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return call


@contextlib.contextmanager
def pipe(path: Path, *, held: bool) -> Iterator[None]:
    """A named pipe, whose other end somebody holds or nobody; whoever waits for it fails the test."""
    os.mkfifo(path)
    other_end = os.open(path, os.O_RDWR) if held else None
    usual = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waits"))
    signal.alarm(5)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
        if other_end is not None:
            os.close(other_end)
