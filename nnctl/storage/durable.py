"""Write files so that each is whole or absent, whatever happens in between.

The bytes go to a temporary file beside the destination, are synced to the disk and, if the caller wants, read back;
only then does the file take its name, and only when the folder is synced too has it been written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from nnctl.errors import NnctlError, StorageError

_PREFIX, _SUFFIX = ".nnctl-", ".tmp"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV}  # such as FAT, which knows none
_NO_FOLDER_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP}  # such as some network file systems


@contextlib.contextmanager
def atomic_file(path: Path, verify: Callable[[Path], None] | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file to write to; on leaving the block it becomes `path`, or vanishes if anything failed.

    Args:
        path: the destination, in a folder that exists. A link is followed, so that the file it names is replaced.
        verify: called with the temporary file once it is synced; raises if what the disk holds is not what was meant.

    Raises:
        StorageError: the file system refused any part of it; a file that was there before is untouched.
    """
    try:
        path = Path(os.path.realpath(path))  # which asks for the working directory, and that may be gone
        if path.is_char_device() or path.is_block_device():  # who may do so would replace /dev/null by a file
            raise StorageError(f"cannot write {path}: it is a device", "choose another name")
        temporary = path.with_name(f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if verify is not None:
                verify(temporary)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError.from_os_error(f"write {path}", error) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` as the file `path`, whole or not at all; raises StorageError."""
    with atomic_file(path) as file:
        file.write(data)


def link(path: Path, name: Path) -> None:
    """Give a file a second name beside the first, so that it stays when the first comes to mean another file.

    Raises:
        StorageError: the file system refused.
    """
    try:
        name.hardlink_to(os.path.realpath(path))
        sync_folder(name.parent)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise StorageError.from_os_error(f"write {name}", error) from error
        write_atomic(name, path.read_bytes())


def open_regular(path: Path, mode: Literal["rb", "ab"] = "rb") -> BinaryIO:
    """Open a file without waiting for the other end of a pipe; raises OSError for anything but a regular file."""

    def opener(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is not a regular file", name)
        return descriptor

    return open(path, mode, opener=opener)


def remove(path: Path) -> None:
    """Remove a file, whether or not it is there; raises StorageError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError.from_os_error(f"remove {path}", error) from error


def make_folder(path: Path) -> None:
    """Create a folder, and those above it, unless it is there; raises StorageError.

    What is kept in a folder survives a power cut only if the folder's own name does.
    """
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)
    except OSError as error:
        raise StorageError.from_os_error(f"create the folder {path}", error) from error


def is_folder(path: Path) -> bool:
    """Whether it is one for sure; what else it may be, reading it will tell."""
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut; not all systems need or allow it, Windows does neither."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path, timeout: float, busy: NnctlError) -> Iterator[None]:
    """Have a folder, created if need be, to oneself; sweep what killed processes left in it.

    Args:
        folder: where other processes look for the lock too.
        timeout: seconds to wait for another process.
        busy: what to raise if it still holds the folder then.

    Raises:
        StorageError: the file system refused.
    """
    import filelock  # slow to import, and most commands lock nothing

    make_folder(folder)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout as error:
        raise busy from error
    except NotImplementedError as error:
        raise StorageError(
            f"cannot lock {folder}: its file system keeps no locks", "choose a folder on this machine"
        ) from error
    except OSError as error:
        raise StorageError.from_os_error(f"lock {folder}", error) from error
    try:
        sweep(folder)
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a folder; call it only while holding its lock."""
    for leftover in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            leftover.unlink()
