"""Find a dataset's files on disk, and accept only those that are whole and its own."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from nnctl.data.catalog import DataFile
from nnctl.data.idx import REPLACE
from nnctl.errors import DataError, StorageError
from nnctl.storage import durable

_MAX_BYTES = 64 * 2**20  # larger than any dataset's file; a file beyond that is not even read
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Verified:
    """A file on disk that is bit by bit the published one.

    Attributes:
        path: where it lies.
        content: its bytes, as they are on disk.
        file: what it holds.
        gzipped: whether `content` is still packed.
    """

    path: Path
    content: bytes
    file: DataFile
    gzipped: bool

    def unpack(self) -> bytes:
        """Return the bytes of the IDX file, never more than it is known to have."""
        if not self.gzipped:
            return self.content
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            unpacked = unpacker.decompress(self.content, self.file.size + 1)
        except zlib.error as error:
            raise DataError(f"{self.path} cannot be unpacked: {error}", REPLACE) from error
        if len(unpacked) != self.file.size or not unpacker.eof:
            raise DataError(f"{self.path} does not unpack to {self.file.size:,} bytes", REPLACE)
        return unpacked


@dataclass(frozen=True)
class Rejected:
    """A file that has the right name but cannot be used.

    Attributes:
        path: where it lies.
        reason: what is wrong with it; a sentence whose subject is the file.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


@dataclass
class Search:
    """What was found of a dataset.

    Attributes:
        found: the good files, by name.
        missing: the files of which there is no good copy.
        rejected: for each missing file, the bad copies that were met.
    """

    found: dict[str, Verified] = field(default_factory=dict)
    missing: list[DataFile] = field(default_factory=list)
    rejected: dict[str, list[Rejected]] = field(default_factory=dict)

    @property
    def complaints(self) -> list[Rejected]:
        """All bad copies of missing files."""
        return [rejected for copies in self.rejected.values() for rejected in copies]


def find(files: Iterable[DataFile], folders: Sequence[Path], known: Mapping[str, str]) -> Search:
    """Look for each file in each folder in turn, gzipped or not; the first good copy is taken.

    Args:
        files: what to look for.
        folders: where; none of them has to exist.
        known: SHA-256 -> what is in a file that has it, to recognise files that were swapped.
    """
    search = Search()
    for file in files:
        bad: list[Rejected] = []
        for path, gzipped in _candidates(file, folders):
            copy = _examine(path, file, gzipped, known)
            if isinstance(copy, Verified):
                search.found[file.name] = copy
                break
            if copy is not None:
                bad.append(copy)
        else:
            search.missing.append(file)
            search.rejected[file.name] = bad
    return search


@dataclass(frozen=True)
class FileReport:
    """The state of one file: `status` is ok, missing or damaged; `detail` says more."""

    path: Path
    status: str
    detail: str


def locked(folder: Path, timeout: float) -> AbstractContextManager[None]:
    """Have a cache folder to oneself; raises DataError if another process still has it after `timeout` seconds."""
    busy = DataError(
        f"another process has been writing to {folder} for more than {timeout:.0f} s", "wait for it, or end it"
    )
    return durable.locked(folder, timeout, busy)


def cache_unpacked(unpacked: Iterable[tuple[Verified, bytes]], folder: Path) -> None:
    """Cache unpacked files beside the packed ones in nnctl's own folder, so that the next start need not unpack them.

    Only what the published SHA-256 will vouch for is cached. Nothing depends on it: a folder that cannot be written to,
    or that another process is writing to, is no error.
    """
    worth_it = [
        (folder / copy.file.name, data)
        for copy, data in unpacked
        if copy.gzipped and copy.file.sha256 and copy.path.parent == folder
    ]
    if worth_it:
        with contextlib.suppress(DataError, StorageError), locked(folder, 0):
            for path, data in worth_it:
                durable.write_atomic(path, data)


def _candidates(file: DataFile, folders: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Every place where a copy may lie, and whether it would be gzipped there."""
    dotted = file.name.replace("-idx", ".idx")  # some archives spell it so
    for folder in folders:
        for name in (file.name, dotted):  # first, as there is nothing to unpack
            yield folder / name, False
        for name in (file.name, dotted):
            yield folder / f"{name}.gz", True


def _examine(path: Path, file: DataFile, gzipped: bool, known: Mapping[str, str]) -> Verified | Rejected | None:
    """Return the copy at `path`, or why it cannot be used; None if there is nothing."""
    try:
        content = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Rejected(path, f"cannot be read: {error.strerror or error}")
    digest = hashlib.sha256(content).hexdigest()
    if digest == (file.gz_sha256 if gzipped else file.sha256):
        return Verified(path, content, file, gzipped)
    return Rejected(path, f"holds {known[digest]}" if digest in known else _fault(content, file, gzipped))


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_size > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes are too many")
    with path.open("rb") as opened:
        return opened.read(_MAX_BYTES)


def _fault(content: bytes, file: DataFile, gzipped: bool) -> str:
    """Say what is wrong with a file whose SHA-256 is neither its own nor another file's."""
    size = file.gz_size if gzipped else file.size
    if not content:
        return "is empty"
    if content.startswith(_GZIP_MAGIC) != gzipped:
        state = "not gzipped" if gzipped else "gzipped in spite of its name"
        return f"is {state}: it begins with {content[:4].hex(' ')}"
    if len(content) != size:
        return f"has {len(content):,} bytes instead of {size:,}"
    if not gzipped and not file.sha256:
        return f"cannot be verified: only the SHA-256 of {file.name}.gz is published"
    return "is damaged: its SHA-256 is not the published one"
