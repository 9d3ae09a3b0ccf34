"""Save the state of a training run in one `.npz` file, and read it back without trusting it.

Its arrays:

    param/<layer>.<name>    the parameters, float32
    optimizer/<name>        what the optimizer remembers, float32
    judge/<layer>.<name>    the parameters of the network that tells digits from everything else, float32
    meta                    JSON as uint8: everything else, and the SHA-256 of every array and of itself;
                            the environment is called `about` there

What reading pictures needs beside the network, a judge and a temperature, makes format version 2; a checkpoint without
them, as every one is while its run trains, is of version 1.

Names, sizes and shapes are checked before memory is set aside, contents after; `npz.py` sees to the rest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nnctl.errors import CheckpointError
from nnctl.nn.arrays import Array
from nnctl.storage import canonical, npz
from nnctl.storage.durable import atomic_file, open_regular
from nnctl.storage.npz import Archive, RefusedError
from nnctl.train import TrainerState

FORMAT_VERSIONS = (1, 2)
INCIDENTAL = {"data.dir", "data.offline", "judge", "train.checkpoint_every", "train.keep", "train.threads"}
"""Keys of a configuration that do not alter what the network learns."""

_MAX_META = 22 * 2**20  # bytes; a history of 100,000 epochs fits
_MAX_VALUES = 750_000  # in meta; the same history has 700,000, and memory goes by values more than by bytes
_MAX_CONFIG = 16 * 2**10  # bytes; the longest path fits, and few enough errors to look into
_MAX_COUNT = 2**63
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
_READING_FIELDS = {"temperature"}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state of a training run between two steps, and what it belongs to.

    Attributes:
        state: of the trainer.
        config: the resolved configuration of the run, as plain values.
        environment: versions, processor, threads and data; of no consequence for what is computed next.
        reading: {"temperature": T}, by which the probabilities of pictures are calibrated; empty before the run's end.
        judge: each array of the network that tells digits from everything else, by name; empty if there is none.
    """

    state: TrainerState
    config: Mapping[str, Any]
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    judge: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    @property
    def format_version(self) -> int:
        """The version of the file that it makes: 2 with what reading pictures needs, 1 without."""
        return 2 if self.reading or self.judge else 1

    def arrays(self) -> dict[str, Array]:
        """Every array by its name in the file, sorted."""
        return dict(sorted((self.state.arrays() | {f"judge/{name}": a for name, a in self.judge.items()}).items()))

    def digest(self) -> str:
        """SHA-256 (hex) of all that decides how training goes on: equal digests, equal futures on equal data."""
        config = {key: value for key, value in flat(self.config).items() if key not in INCIDENTAL}
        arrays = {name: _describe(array) for name, array in self.state.arrays().items()}
        return canonical.sha256(self.state.values() | {"config": config, "arrays": arrays})


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration by dotted path."""
    paths: dict[str, Any] = {}
    for key, value in config.items():
        paths |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return paths


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint: to a temporary file, synced and read back, then in the place of the old one.

    Raises:
        CheckpointError: it holds what `load` would refuse, or the disk does not give back what was written.
        StorageError: the file system refused; the file that was there before is untouched.
    """
    arrays, version = checkpoint.arrays(), checkpoint.format_version
    meta = {**checkpoint.state.values(), "config": checkpoint.config, "about": checkpoint.environment}
    if version > 1:
        meta["reading"] = checkpoint.reading
    try:
        for name, array in arrays.items():
            _check_array(name, array)
        meta["arrays"] = {name: _describe(array) for name, array in arrays.items()}
        _check_fields(meta, version)
        meta["format_version"] = version
        meta["sha256"] = canonical.sha256(meta)
        text = bytearray()  # it grows in place; what `join` and `BytesIO` let go of would litter the heap, save by save
        for piece in canonical.pieces(meta):
            text += piece
        _check_text(text)
    except (RefusedError, ValueError, TypeError, KeyError) as error:
        known = isinstance(error, RefusedError)
        reason = str(error) if known else f"has a malformed entry ({type(error).__name__}: {error})"
        what = f"{path}: is not saved, as it could not be loaded: it {reason:.200}"
        raise CheckpointError(what, "the checkpoint from before stays; resume from it") from error
    arrays["meta"] = np.frombuffer(text, np.uint8)

    def verify(written: Path) -> None:
        with open_regular(written) as file:
            if not npz.holds(file, arrays):
                raise CheckpointError(f"{path}: the disk returned other bytes than were written", "check the disk")

    with atomic_file(path, verify) as file:
        npz.write(file, arrays)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint and check every byte of it.

    Raises:
        CheckpointError: it is missing, damaged, of another format, or not a checkpoint at all.
    """
    try:
        with open_regular(path) as file:
            return _read(file)
    except RefusedError as reason:
        # a reason may quote a file that was made to fill the screen
        raise CheckpointError(f"{path}: {reason!s:.200}", "use another checkpoint, or train again") from reason
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file", "name a run directory or a checkpoint file") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}", "check the path") from error


def _read(file: BinaryIO) -> Checkpoint:
    try:
        archive = Archive(file)
        if "meta" not in archive.names:
            raise RefusedError("is not an nnctl checkpoint: it has no meta entry")
        meta = _read_meta(archive)
        described = meta.pop("arrays")
        if difference := archive.names ^ described.keys() ^ {"meta"}:
            raise RefusedError(f"lacks or adds arrays: {sorted(difference)[:_MAX_NAMED]}")
        arrays = {name: _read_array(archive, name, described[name]) for name in described}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise RefusedError(f"has a malformed entry ({type(error).__name__})") from error
    params, optimizer, judge = (
        {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in ("param/", "optimizer/", "judge/")
    )
    config, environment, reading = meta.pop("config"), meta.pop("about"), meta.pop("reading", {})
    if len(params) + len(optimizer) + len(judge) != len(arrays) or (judge and not reading):
        raise RefusedError("holds arrays that are no part of a checkpoint")
    return Checkpoint(TrainerState(params, optimizer, **meta), config, environment, reading, judge)


def _read_meta(archive: Archive) -> dict[str, Any]:
    """Read the JSON: first its version, then its own SHA-256, then the fields that every file of that version has."""
    length = archive.length("meta")
    if not 0 < length <= _MAX_META:
        raise RefusedError("has a meta entry of the wrong size")
    try:
        text = archive.read("meta", np.dtype(np.uint8), (length,))
        _check_text(text)
        meta = json.loads(text, object_pairs_hook=_object)
        del text  # as much memory as all that follows
    except RecursionError as error:
        raise RefusedError("has a meta entry nested too deeply") from error
    version = meta.pop("format_version")
    if version not in FORMAT_VERSIONS:
        known = " and ".join(map(str, FORMAT_VERSIONS))
        raise RefusedError(f"is of format version {version!r:.20}; this nnctl reads versions {known}")
    if type(version) is not int:  # 1.0 and true are equal to 1
        raise RefusedError("has a meta entry whose format version is no whole number")
    sha256 = meta.pop("sha256")
    if canonical.sha256(meta | {"format_version": version}) != sha256:
        raise RefusedError("has a damaged meta entry")
    _check_fields(meta, version)
    return dict(meta)


def _check_text(text: bytes | bytearray) -> None:
    if len(text) > _MAX_META or not text.isascii() or sum(map(text.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise RefusedError("has a meta entry of too many values, or not in ASCII")


def _check_fields(meta: Mapping[str, Any], version: int) -> None:
    """Refuse a meta entry whose fields do not hold what training puts there; files are written by this rule too."""
    types = _FIELD_TYPES | ({"reading": dict} if version > 1 else {})
    if meta.keys() != types.keys():
        raise RefusedError("has a meta entry with missing or unknown fields")
    for name, kind in types.items():
        if not isinstance(meta[name], kind) or isinstance(meta[name], bool):
            raise RefusedError(f"has a meta entry with a {name} of the wrong type")
    if _nested_beyond(_MAX_DEPTH, meta):
        raise RefusedError("has a meta entry nested too deeply")
    if version > 1 and not _is_reading(meta["reading"]):
        raise RefusedError("has a meta entry whose reading is not one temperature, a finite number above 0")
    if sum(map(len, canonical.pieces(meta["config"]))) > _MAX_CONFIG:
        raise RefusedError("has a meta entry with a configuration that is too long")
    if not all(map(_is_amount, _amounts(meta))):
        raise RefusedError("has a meta entry with a count, a loss or an accuracy that is not a finite number from 0")


def _amounts(meta: Mapping[str, Any]) -> Iterator[Any]:
    """Every count, loss and accuracy, one by one: a list of those of a long history would take memory at every save."""
    yield from (meta["epoch"], meta["batch"], meta["step"], *meta["totals"].values())
    for entry in meta["history"]:
        yield entry["epoch"]
        yield from (value for value in entry.values() if value is not None)
    if meta["best"] is not None:
        yield from (meta["best"][name] for name in ("epoch", "loss", "accuracy"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two equal keys other programs may take the other one."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RefusedError("has a meta entry with a key that is there twice")
    return fields


def _is_amount(value: Any) -> bool:
    """Whether it is a count, a loss or an accuracy; true and 10**30 are numbers to Python as well."""
    return (type(value) is int and 0 <= value <= _MAX_COUNT) or (type(value) is float and 0 <= value < math.inf)


def _is_reading(reading: Mapping[str, Any]) -> bool:
    """Whether it is {"temperature": T} with a finite T above 0."""
    temperature = reading.get("temperature")
    return reading.keys() == _READING_FIELDS and type(temperature) is float and 0 < temperature < math.inf


def _nested_beyond(depth: int, value: Any) -> bool:
    """Whether more than `depth` lists and objects lie within each other."""
    if not isinstance(value, dict | list | tuple):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_nested_beyond(depth - 1, item) for item in inner)


def _read_array(archive: Archive, name: str, described: Mapping[str, Any]) -> Array:
    """Read one array of exactly the shape, type and bytes that meta describes."""
    shape = tuple(int(length) for length in described["shape"])
    dtype = np.dtype(np.float32)
    array = np.frombuffer(archive.read(name, dtype, shape), dtype).reshape(shape)
    if _describe(array) != described:
        raise RefusedError(f"holds other bytes in {name!r} than were saved")
    _check_array(name, array)
    return array


def _check_array(name: str, array: Array) -> None:
    if array.dtype != np.float32:
        raise RefusedError(f"holds {name!r} in {array.dtype}, not in float32")
    if not np.isfinite(array).all():
        raise RefusedError(f"holds numbers in {name!r} that are not finite")


def _describe(array: Array) -> dict[str, Any]:
    """Shape, type and SHA-256 of an array."""
    sha256 = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": sha256}
