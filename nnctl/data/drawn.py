"""Cache the drawn digits on disk, so that they are drawn only once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nnctl.data import idx, synthetic
from nnctl.data.cache import FileReport, locked
from nnctl.data.catalog import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from nnctl.errors import DataError, StorageError
from nnctl.storage.durable import write_atomic

VERSION = 2  # raise it whenever synthetic.draw() draws differently; cached digits of another version are drawn anew
PARTS = ((TRAIN_IMAGES, TRAIN_LABELS, 60_000, 0), (TEST_IMAGES, TEST_LABELS, 10_000, 1))  # names, count, seed
NAMES = tuple(name for part in PARTS for name in part[:2])
MANIFEST = "synthetic.json"  # written last: its hashes vouch for the other files
_LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Drawn:
    """The drawn digits as four IDX files: their bytes and their SHA-256, both by file name."""

    files: dict[str, bytes]
    sha256: dict[str, str]


def load(folder: Path, warn: Callable[[str], None] | None = None) -> Drawn:
    """Return the digits cached in `folder`, or draw and save them there.

    A folder that cannot be written to is no reason to fail: `warn` is told, and they are drawn anew next time.
    """
    drawn = read(folder)
    if drawn is None:
        drawn = draw()
        try:
            save(folder, drawn)
        except (DataError, StorageError) as error:
            if warn is not None:
                warn(f"the synthetic digits could not be saved for next time: {error.message}")
    return drawn


def draw() -> Drawn:
    """Draw all digits; takes a few seconds."""
    files: dict[str, bytes] = {}
    for images_name, labels_name, count, seed in PARTS:
        images, labels = synthetic.draw(count, seed)
        files |= {images_name: idx.encode(images), labels_name: idx.encode(labels)}
    return Drawn(files, _hashes(files))


def read(folder: Path) -> Drawn | None:
    """Return the digits cached in `folder`; None unless they are all there, whole, and of this version."""
    if not (folder / MANIFEST).is_file():
        return None
    sizes: dict[str, int] = {}
    for images_name, labels_name, count, _ in PARTS:
        sizes |= {images_name: 16 + count * idx.SIDE**2, labels_name: 8 + count}
    try:
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        files = {name: (folder / name).read_bytes() for name in sizes}
        with (folder / MANIFEST).open("rb") as file:
            manifest = file.read(10_000)
    except OSError:
        return None
    drawn = Drawn(files, _hashes(files))
    return drawn if manifest == _manifest(drawn) else None


def save(folder: Path, drawn: Drawn) -> None:
    """Write the digits to `folder`; raises DataError or StorageError if that cannot be done."""
    with locked(folder, _LOCK_SECONDS):
        for name, data in drawn.files.items():
            write_atomic(folder / name, data)
        write_atomic(folder / MANIFEST, _manifest(drawn))


def verify(folder: Path) -> list[FileReport]:
    """Report on the four files, which are good together or not at all."""
    if read(folder) is not None:
        return [FileReport(folder / name, "ok", "as it was drawn") for name in NAMES]
    return [
        FileReport(folder / name, "damaged", "is damaged; it will be drawn anew")
        if (folder / name).exists()
        else FileReport(folder / name, "missing", "is missing; it will be drawn when needed")
        for name in NAMES
    ]


def _hashes(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def _manifest(drawn: Drawn) -> bytes:
    return (json.dumps({"version": VERSION, "sha256": drawn.sha256}, indent=2) + "\n").encode()
