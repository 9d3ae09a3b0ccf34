"""Where the project's files lie, what a folder holds, and a file system that refuses."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


def contents(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder and below it, by its path there: the bytes of a file, None for a folder."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


def failing(number: int) -> Callable[..., Any]:
    """A file system call that fails as the operating system would make it fail."""

    def call(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return call
