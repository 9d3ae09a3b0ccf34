"""Write named arrays as an `.npz` file, and read only files that are written in exactly that way.

Plain `np.load` reads these files as well. This reader unpickles nothing and parses no array header: who asks for an
array says its shape and type, and the member must begin with the very header that such an array has.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

_MAX_MEMBERS = 1000
_MAX_DIRECTORY = 2**20  # bytes; the names of so many members fit
_PIECE = 2**18  # bytes read at once
_END = 22  # bytes of the last record of a zip without a comment


class RefusedError(Exception):
    """Why a file is not accepted."""


@contextlib.contextmanager
def _refusing_what_is_broken() -> Iterator[None]:
    """Turn all that zipfile raises, where a file is no zip or not a whole one, into a RefusedError."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, RuntimeError, OverflowError) as error:
        raise RefusedError(f"is not a whole checkpoint ({error})") from error


def write(file: BinaryIO, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write arrays as members `<name>.npy`; their date is fixed, so that equal arrays make equal files.

    Raises:
        OSError: the file system refused.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            header, values = _header(array.dtype, array.shape), _values(array)
            info.file_size = len(header) + values.nbytes
            with archive.open(info, "w") as member:  # without a copy of the values
                member.write(header)
                member.write(values.data)


def holds(file: BinaryIO, arrays: Mapping[str, np.ndarray[Any, Any]]) -> bool:
    """Whether these arrays, and no others, can be read from a file to the bit."""
    try:
        archive = Archive(file)
        return archive.names == arrays.keys() and all(_same(archive, name, arrays[name]) for name in arrays)
    except RefusedError:
        return False


def _same(archive: Archive, name: str, array: np.ndarray[Any, Any]) -> bool:
    rest = _values(array).reshape(-1).view(np.uint8)
    for piece in archive.pieces(name, array.dtype, array.shape):
        if piece != rest[: len(piece)].tobytes():
            return False
        rest = rest[len(piece) :]
    return not len(rest)


class Archive:
    """An open file whose directory is in order: each name once, nothing packed, nothing larger than the file.

    Args:
        file: open for reading, at its start.

    Attributes:
        names: of the arrays in it.

    Raises:
        RefusedError: it is not such a file.
    """

    def __init__(self, file: BinaryIO) -> None:
        size = _checked_size(file)
        with _refusing_what_is_broken():
            self._zip = zipfile.ZipFile(_Sparing(file))
        self._members = self._checked(size)
        self.names = self._members.keys()

    def _checked(self, size: int) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > _MAX_MEMBERS:
            raise RefusedError(f"has {len(infos)} members")
        members: dict[str, zipfile.ZipInfo] = {}
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            name = info.filename.removesuffix(".npy")
            if name in members:
                raise RefusedError(f"holds {name!r} twice")
            if name == info.filename:
                raise RefusedError(f"holds {name!r}, which is no array")
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
                raise RefusedError(f"holds {name!r} compressed or encrypted")
            if info.header_offset < end:
                raise RefusedError(f"holds {name!r} in the bytes of another member")
            end = info.header_offset + info.file_size
            if end > size:
                raise RefusedError("is cut off")
            members[name] = info
        if members and not any(info.header_offset == 0 for info in infos):
            raise RefusedError("holds something else before its first member")
        return members

    def length(self, name: str) -> int:
        """How many bytes a one-dimensional uint8 array of this name has."""
        return self._members[name].file_size - len(_header(np.dtype(np.uint8), (0,)))

    def read(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
        """The bytes of an array, as `pieces` gives them."""
        return b"".join(self.pieces(name, dtype, shape))

    def pieces(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[bytes]:
        """The bytes of an array, a few at a time.

        Raises:
            RefusedError: its size or header are not what this type and shape ask for, or it is damaged.
            KeyError: there is none of this name.
        """
        with _refusing_what_is_broken():
            header = _header(dtype, shape)
            expected = len(header) + dtype.itemsize * int(np.prod(shape, dtype=object))
            member = self._members[name]
            if min(shape, default=0) < 0 or member.file_size != expected:
                raise RefusedError(f"holds {name!r} in another size than its shape asks for")
            with self._zip.open(member) as file:
                if file.read(len(header)) != header:
                    raise RefusedError(f"holds {name!r} with another header than its shape asks for")
                yield from iter(lambda: file.read(_PIECE), b"")


class _Sparing:
    """A file that gives little at a time: zipfile would set aside any memory that a directory asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = _MAX_DIRECTORY, /) -> bytes:
        if not 0 <= size <= _MAX_DIRECTORY:
            raise RefusedError("has a directory that is too large")
        return self._file.read(size)


def _checked_size(file: BinaryIO) -> int:
    """The size of a file that ends with a zip's last record: nothing behind it, no comment."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END))
    end = file.read(_END)
    if len(end) < _END or not end.startswith(b"PK\5\6") or not end.endswith(b"\0\0"):
        raise RefusedError("is not a whole checkpoint: it does not end as a zip does")
    return size


def _values(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Its numbers as they stand in a file: row by row, the lowest byte first."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The `.npy` header, format 1.0, padded to a multiple of 64 bytes (numpy.lib.format describes it)."""
    text = f"{{'descr': {np.lib.format.dtype_to_descr(dtype.newbyteorder('<'))!r}, 'fortran_order': False, "
    text += f"'shape': {shape!r}, }}"
    padding = -(len(text) + 11) % 64  # 10 bytes of magic, version and length before, one newline after
    body = (text + " " * padding + "\n").encode("ascii")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body
