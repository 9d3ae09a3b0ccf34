"""Keep a training run in one `.npz` file, and read it back without trusting it.

The file is a stored (uncompressed) zip of `.npy` members that plain `np.load` reads as well:

    param/<layer>.<name>    the parameters, float32
    optimizer/<name>        what the optimizer remembers, float32
    meta                    JSON as uint8: everything else, and the SHA-256 of every array and of itself

The loader unpickles nothing and parses no array header: a member must begin with the very header that its
entry in `meta` calls for. Names, sizes and shapes are checked before memory is set aside, contents after.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nnctl.durable import whole_file
from nnctl.errors import CheckpointError
from nnctl.nn import Array

FORMAT_VERSION = 1
_MAX_MEMBERS = 1000
_MAX_META = 64 * 2**20  # bytes; a history of 100,000 epochs fits
_MAX_DEPTH = 10  # of lists and objects within each other; the state of a random generator needs 4
_MAX_NAMED = 3  # arrays in one message
_FIELD_TYPES = {
    "config": dict,
    "epoch": int,
    "batch": int,
    "step": int,
    "totals": dict,
    "generators": dict,
    "best": dict | None,
    "history": list,
    "about": dict,
    "arrays": dict,
}


@dataclasses.dataclass(frozen=True)
class Meta:
    """What a checkpoint knows besides its arrays.

    Attributes:
        config: the resolved configuration of the run.
        epoch: epochs completed; the number of the epoch in progress.
        batch: batches done of that epoch.
        step: batches done since the start.
        totals: sums over the epoch in progress: loss, correct, images.
        generators: states of the random generators in use, by purpose.
        best: epoch, loss and accuracy of the best validation so far; None before the first.
        history: one entry for each epoch completed.
        about: versions, processor and threads; of no consequence for what is computed next.
    """

    config: dict[str, Any]
    epoch: int = 0
    batch: int = 0
    step: int = 0
    totals: dict[str, Any] = dataclasses.field(default_factory=dict)
    generators: dict[str, Any] = dataclasses.field(default_factory=dict)
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    about: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state of a training run between two steps.

    Attributes:
        params: each parameter by name, such as `hidden1.weight` (784, 128).
        optimizer: each (P,) array that the optimizer remembers.
        meta: everything else.
    """

    params: Mapping[str, Array]
    optimizer: Mapping[str, Array]
    meta: Meta

    def arrays(self) -> dict[str, Array]:
        """Every array under its name in the file, sorted."""
        arrays = {f"param/{name}": array for name, array in self.params.items()}
        arrays |= {f"optimizer/{name}": array for name, array in self.optimizer.items()}
        return dict(sorted(arrays.items()))

    def digest(self) -> str:
        """SHA-256 (hex) of all that decides how training goes on: equal digests, equal futures."""
        state = dataclasses.asdict(self.meta)
        del state["config"], state["about"]
        state["arrays"] = {name: _describe(array) for name, array in self.arrays().items()}
        return hashlib.sha256(_canonical(state)).hexdigest()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint: to a temporary file, synced and read back, then in the place of the old one.

    Raises:
        CheckpointError: a number in it is not finite, or the disk does not give back what was written.
        StorageError: the file system refused; the file that was there before is untouched.
    """
    arrays = checkpoint.arrays()
    meta = dataclasses.asdict(checkpoint.meta)
    meta["format_version"] = FORMAT_VERSION
    meta["arrays"] = {name: _describe(array) for name, array in arrays.items()}
    try:
        meta["sha256"] = hashlib.sha256(_canonical(meta)).hexdigest()
    except ValueError as error:
        raise CheckpointError("a number in the state of training is not finite", "lower the learning rate") from error

    def verify(written: Path) -> None:
        if load(written).digest() != checkpoint.digest():
            raise CheckpointError(f"{path}: the disk gave back something else than was written", "check the disk")

    with whole_file(path, verify) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            _write_member(archive, name, array)
        _write_member(archive, "meta", np.frombuffer(_canonical(meta), np.uint8))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint and check every byte of it.

    Raises:
        CheckpointError: it is missing, damaged, of another format, or not a checkpoint at all.
    """
    try:
        with open(path, "rb", opener=_open_regular) as file:
            return _read(file)
    except _RefusedError as reason:
        # a reason may quote a file that was made to fill the screen
        raise CheckpointError(f"{path}: {reason!s:.200}", "use another checkpoint, or train again") from reason
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file", "train a network first: nnctl train") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}", "check the path") from error


class _RefusedError(Exception):
    """Why a file is not accepted as a checkpoint."""


def _open_regular(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe, and refuse anything but a regular file."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _RefusedError("is not a regular file")
    return descriptor


def _read(file: BinaryIO) -> Checkpoint:
    try:
        archive = zipfile.ZipFile(file)
        members = _checked_members(archive, size=file.seek(0, os.SEEK_END))
        meta = _read_meta(archive, members.pop("meta"))
        described = meta.pop("arrays")
        if described.keys() != members.keys():
            raise _RefusedError(f"lacks or adds arrays: {sorted(described.keys() ^ members.keys())[:_MAX_NAMED]}")
        arrays = {name: _read_array(archive, member, described[name]) for name, member in members.items()}
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, RuntimeError, OverflowError) as error:
        raise _RefusedError(f"is not a whole checkpoint ({error})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _RefusedError(f"has a malformed entry ({type(error).__name__})") from error
    return Checkpoint(
        params={name.removeprefix("param/"): array for name, array in arrays.items() if name.startswith("param/")},
        optimizer={
            name.removeprefix("optimizer/"): array for name, array in arrays.items() if name.startswith("optimizer/")
        },
        meta=Meta(**meta),
    )


def _checked_members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Look at the directory of the zip alone: known names, each once, stored, none larger than the file."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise _RefusedError(f"has {len(infos)} members")
    members = {}
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise _RefusedError(f"holds {name!r} twice")
        if not info.filename.endswith(".npy") or not (name == "meta" or name.startswith(("param/", "optimizer/"))):
            raise _RefusedError(f"holds {info.filename!r}, which is no part of a checkpoint")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise _RefusedError(f"holds {name!r} compressed or encrypted")
        if info.header_offset < end:
            raise _RefusedError(f"holds {name!r} in the bytes of another member")
        end = info.header_offset + info.file_size
        if end > size:
            raise _RefusedError("is cut off")
        members[name] = info
    if "meta" not in members:
        raise _RefusedError("is not an nnctl checkpoint: it has no meta entry")
    return members


def _read_meta(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, Any]:
    """Read the JSON: first its version, then its own SHA-256, then the fields that every version 1 has."""
    length = member.file_size - len(_header(np.dtype(np.uint8), (0,)))
    if not 0 < length <= _MAX_META:
        raise _RefusedError("has a meta entry of the wrong size")
    try:
        meta = json.loads(_payload(archive, member, np.dtype(np.uint8), (length,)))
    except RecursionError as error:
        raise _RefusedError("has a meta entry nested too deeply") from error
    version = meta.pop("format_version")
    if version != FORMAT_VERSION:
        raise _RefusedError(f"is of format version {version!r:.20}; this nnctl reads version {FORMAT_VERSION}")
    sha256 = meta.pop("sha256")
    if hashlib.sha256(_canonical(meta | {"format_version": version})).hexdigest() != sha256:
        raise _RefusedError("has a damaged meta entry")
    _check_fields(meta)
    return dict(meta)


def _check_fields(meta: Mapping[str, Any]) -> None:
    """Refuse a meta entry whose fields do not hold what training would have put there."""
    if meta.keys() != _FIELD_TYPES.keys():
        raise _RefusedError("has a meta entry with missing or unknown fields")
    for name, kind in _FIELD_TYPES.items():
        if not isinstance(meta[name], kind):
            raise _RefusedError(f"has a meta entry with a wrong kind of {name}")
    numbers = [meta["epoch"], meta["batch"], meta["step"], *meta["totals"].values()]
    numbers += [entry["epoch"] for entry in meta["history"]]
    if meta["best"] is not None:
        numbers += [meta["best"][name] for name in ("epoch", "loss", "accuracy")]
    if not all(isinstance(number, int | float) and 0 <= number <= sys.float_info.max for number in numbers):
        raise _RefusedError("has a meta entry with a count or a loss that is none")
    if _nested_beyond(_MAX_DEPTH, meta):
        raise _RefusedError("has a meta entry nested too deeply")


def _nested_beyond(depth: int, value: Any) -> bool:
    """Whether more than `depth` lists and objects lie within each other."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_nested_beyond(depth - 1, item) for item in inner)


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, described: Mapping[str, Any]) -> Array:
    """Read one array of exactly the shape, type and bytes that meta describes."""
    shape = tuple(int(length) for length in described["shape"])
    dtype = np.dtype(np.float32)
    array = np.frombuffer(_payload(archive, member, dtype, shape), dtype).reshape(shape)
    if _describe(array) != described:
        raise _RefusedError(f"holds other bytes in {member.filename!r} than were saved")
    if not np.isfinite(array).all():
        raise _RefusedError(f"holds numbers in {member.filename!r} that are not finite")
    return array


def _payload(archive: zipfile.ZipFile, member: zipfile.ZipInfo, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The bytes behind a member's header, once size and header are what an array of this kind has."""
    header = _header(dtype, shape)
    expected = len(header) + dtype.itemsize * int(np.prod(shape, dtype=object))
    if min(shape, default=0) < 0 or member.file_size != expected:
        raise _RefusedError(f"holds {member.filename!r} in another size than its shape asks for")
    with archive.open(member) as file:
        if file.read(len(header)) != header:
            raise _RefusedError(f"holds {member.filename!r} with another header than its shape asks for")
        return file.read()


def _write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray[Any, Any]) -> None:
    """Add one `.npy` member; its date is fixed, so that equal states make equal files."""
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    archive.writestr(info, _header(array.dtype, array.shape) + array.astype(array.dtype.newbyteorder("<")).tobytes())


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The `.npy` header, format 1.0, padded to a multiple of 64 bytes (numpy.lib.format describes it)."""
    text = f"{{'descr': {np.lib.format.dtype_to_descr(dtype.newbyteorder('<'))!r}, 'fortran_order': False, "
    text += f"'shape': {shape!r}, }}"
    padding = -(len(text) + 11) % 64  # 10 bytes of magic, version and length before, one newline after
    body = (text + " " * padding + "\n").encode("ascii")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


def _describe(array: Array) -> dict[str, Any]:
    """Shape, type and SHA-256 of an array."""
    sha256 = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": sha256}


def _canonical(value: Any) -> bytes:
    """JSON in one spelling; raises ValueError on a number that is not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
