"""The pictures that a command line names, and what is saved of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nnctl.errors import ConfigError, ImageError
from nnctl.storage import durable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
MAX_NAME = 255  # bytes


def sources(images: tuple[Path, ...]) -> Iterator[tuple[str, Path | None]]:
    """Name and path of each picture; the path is None for standard input."""
    for path in images:
        if str(path) == "-":
            yield "standard input", None
        elif durable.is_folder(path):
            pictures = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES)
            yield from ((str(picture), picture) for picture in pictures or [path])
        else:
            yield str(path), path


def read(source: Path | None) -> bytes:
    """The bytes of a picture, or as many as show that it is too large."""
    from nnctl.picture.decode import MAX_BYTES, read_file

    if source is None:
        if sys.stdin is None:
            raise ImageError("standard input: is closed", "name a file, or pipe a picture in")
        try:
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        except OSError as error:
            raise ImageError(f"standard input: cannot be read: {error.strerror or error}", "check it") from error
    if durable.is_folder(source):
        raise ImageError(f"{source}: holds no pictures", f"pictures end in {', '.join(sorted(SUFFIXES))}")
    return read_file(source)


def save_preprocessed(folder: Path, source: Path | None, pixels: NDArray[np.uint8], taken: set[str]) -> None:
    """Save what the network saw, under a name that no other picture of this call has."""
    from nnctl.picture.decode import to_png

    stem = source.stem if source is not None else "stdin"
    name = next(n for n in (_ending(stem, f"{i}-28x28.png") for i in ("", *range(2, 10**6))) if n not in taken)
    taken.add(name)
    durable.make_folder(folder)
    durable.write_atomic(folder / name, to_png(pixels))


def _ending(stem: str, end: str) -> str:
    """A name that begins and ends so, its beginning cut if it would be longer than file systems allow."""
    while len(os.fsencode(stem + end)) > MAX_NAME:
        stem = stem[:-1]
    return stem + end


def check_export(file: Path, *, force: bool) -> None:
    """Raise ConfigError unless a sample may be written there: nobody's own drawing is overwritten."""
    if file.suffix.lower() != ".png":
        raise ConfigError(f"{file}: the picture is PNG", "choose a name that ends in .png")
    if not force and _is_another(file):
        raise ConfigError(f"{file}: holds something else already", "choose another name, or overwrite it with --force")


def _is_another(file: Path) -> bool:
    """Whether there is a file that is no sample, such as somebody's own drawing."""
    from nnctl.picture.decode import SAMPLE_HEADER, is_sample

    if not file.is_file():
        return False
    with file.open("rb") as picture:
        return not is_sample(picture.read(SAMPLE_HEADER))
