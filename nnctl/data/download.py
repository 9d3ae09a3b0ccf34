"""Fetch published files from their mirrors: a file comes to exist only when every byte of it is right.

A mirror has failed when it cannot be reached, falls silent, drips, answers with an error, with a page instead of the
file, or with bytes of the wrong number or SHA-256; then comes the next one. All waiting is bounded. Waits inside
`requests` are bounded one by one, but not their sum (name lookup has no limit at all, headers may come byte by byte),
so another thread talks to the mirror, and the caller's thread holds the clock and writes the file.
"""

from __future__ import annotations

import hashlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnctl.data.cache import locked
from nnctl.data.mirror import FaultError, fault, receive
from nnctl.errors import DataError, StorageError
from nnctl.storage.durable import atomic_file

Progress = Callable[[str, int, int], None]  # file name, bytes done, bytes in all; starts anew with the next mirror
_Items = queue.SimpleQueue[bytes | Exception | None]


@dataclass(frozen=True)
class RemoteFile:
    """A file as its publisher describes it: `size` in bytes, `sha256` in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Limits:
    """How long to be patient.

    Attributes:
        answer: seconds until the first byte of the file, name lookup, connection and redirects included.
        window: seconds within which the next `window_bytes`, or the rest of the file, must come.
        window_bytes: together with `window`, the slowest mirror worth waiting for.
        total: seconds for all files from all mirrors, and for another process that fetches the same.
    """

    answer: float = 6.0
    window: float = 10.0
    window_bytes: int = 500_000
    total: float = 170.0


def download(
    mirrors: Sequence[str],
    files: Sequence[RemoteFile],
    folder: Path,
    progress: Progress | None = None,
    *,
    force: bool = False,
    limits: Limits = Limits(),
) -> None:
    """Make `folder` hold every one of `files`, whole and verified; good ones that are there already are kept.

    Several processes may do so at once: one fetches, the others wait and find its files.

    Args:
        mirrors: URLs of folders, tried in this order for each file.
        files: what to fetch.
        folder: where to; created if need be.
        progress: called with each piece that arrives.
        force: fetch even what is there and good.
        limits: how long to be patient.

    Raises:
        DataError: a file could not be fetched; the message names every mirror and its reason, each on its own line.
        StorageError: the file system refused, or there is no thread to be had.
    """
    fetch = _Fetch(mirrors, progress, limits)
    with locked(folder, limits.total):
        for file in files:
            if force or not _holds(folder / file.name, file):
                fetch.from_any_mirror(file, folder / file.name)


def _holds(path: Path, file: RemoteFile) -> bool:
    """Whether the file is there already, every byte of it."""
    try:
        return path.stat().st_size == file.size and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    except OSError:
        return False


class _Fetch:
    """One fetch of several files: which mirrors are still worth trying, and until when."""

    def __init__(self, mirrors: Sequence[str], progress: Progress | None, limits: Limits) -> None:
        self.mirrors = list(dict.fromkeys(mirrors))
        self.progress = progress
        self.limits = limits
        self.deadline = time.monotonic() + limits.total
        self.given_up: dict[str, str] = {}  # mirror -> why it is not tried for another file

    def from_any_mirror(self, file: RemoteFile, path: Path) -> None:
        """Fetch one file from the first mirror that delivers it; raises DataError if none does."""
        faults: dict[str, str] = {}
        for mirror in self.mirrors:
            if mirror in self.given_up:
                faults[mirror] = self.given_up[mirror]
                continue
            try:
                return self.from_mirror(mirror, file, path)
            except FaultError as fault:
                faults[mirror] = str(fault)
                if fault.permanent:
                    self.given_up[mirror] = str(fault)
        raise DataError(
            f"cannot fetch {file.name}, no mirror delivered it",
            "check the network and HTTPS_PROXY, name another mirror in NNCTL_MIRRORS, or put the files there yourself",
            [f"{_shown(mirror)}: {reason}" for mirror, reason in faults.items()],
        )

    def from_mirror(self, mirror: str, file: RemoteFile, path: Path) -> None:
        """Fetch one file from one mirror; raises FaultError, and then `path` is as it was before."""
        items: _Items = queue.SimpleQueue()
        abandoned = threading.Event()
        arguments = (f"{mirror.rstrip('/')}/{file.name}", file.size, self.limits, items, abandoned)
        try:
            threading.Thread(target=_receive, args=arguments, daemon=True).start()
        except RuntimeError as error:
            raise StorageError.no_thread() from error
        digest, done = hashlib.sha256(), 0
        try:
            with atomic_file(path) as part:
                for piece in self.pieces(items):
                    part.write(piece)
                    digest.update(piece)
                    done += len(piece)
                    if self.progress is not None:
                        self.progress(file.name, min(done, file.size), file.size)
                if done > file.size:
                    raise FaultError(f"sent more than the {file.size:,} bytes of the file")
                if done < file.size:
                    raise FaultError(f"ended after {done:,} of {file.size:,} bytes")
                if digest.hexdigest() != file.sha256:
                    raise FaultError("sent other bytes than the published ones: their SHA-256 differs")
        finally:
            abandoned.set()

    def pieces(self, items: _Items) -> Iterator[bytes]:
        """Yield what `_receive` puts into `items`, as long as it comes in good time."""
        limits = self.limits
        window_end = time.monotonic() + limits.answer
        complaint = f"no answer within {limits.answer:g} s"
        received = 0  # bytes in this window
        while True:
            try:
                item = items.get(timeout=max(0.0, min(window_end, self.deadline) - time.monotonic()))
            except queue.Empty:
                if time.monotonic() >= self.deadline:
                    complaint = f"not done when the {limits.total:g} s for the whole fetch were over"
                raise FaultError(complaint, permanent=True) from None
            if item is None:
                return
            if isinstance(item, Exception):
                raise fault(item) from item
            received += len(item)
            if not item or received >= limits.window_bytes:
                window_end = time.monotonic() + limits.window
                complaint = f"slower than {limits.window_bytes / limits.window / 1000:g} kB/s"
                received = 0
            yield item


def _receive(url: str, size: int, limits: Limits, items: _Items, abandoned: threading.Event) -> None:
    """Put a file into `items` as it arrives, and None at its end; an exception ends it instead.

    Runs in its own thread; a daemon, as nothing can wake a name lookup.
    """
    try:
        # by such a timeout the caller has left: it is to end this thread
        for piece in receive(url, size, timeout=limits.answer + limits.window):
            items.put(piece)
            if abandoned.is_set():
                break
        items.put(None)
    except Exception as error:
        items.put(error)


def _shown(mirror: str) -> str:
    """A mirror's address without the passwords it may hold."""
    return re.sub(r"//[^/]*@", "//", mirror).partition("?")[0]
