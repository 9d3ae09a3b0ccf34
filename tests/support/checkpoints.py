"""Take checkpoints apart and forge others with every hash right, as anybody who knows the format could."""

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def read_meta(data: bytes) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(np.load(io.BytesIO(members_of(data)["meta.npy"])).tobytes())
    return meta


def read_arrays(data: bytes) -> dict[str, Array]:
    """Every array but meta."""
    with np.load(io.BytesIO(data)) as members:
        return {name: members[name] for name in members if name != "meta"}


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as archive:
        warnings.simplefilter("ignore")  # a name that is there twice is what some want
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=allow_pickle)
    return file.getvalue()


def npy_of_text(text: bytes) -> bytes:
    return npy(np.frombuffer(text, np.uint8))


def signed_text(meta: dict[str, Any]) -> bytes:
    """JSON with the right SHA-256 of itself, whatever it says."""
    meta = {key: value for key, value in meta.items() if key != "sha256"}
    canonical = json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps(meta | {"sha256": hashlib.sha256(canonical).hexdigest()}, separators=(",", ":")).encode()


def signed(meta: dict[str, Any]) -> bytes:
    """A meta member with the right SHA-256 of itself."""
    return npy_of_text(signed_text(meta))


def described(array: Array) -> dict[str, Any]:
    """What meta says of an array."""
    sha256 = hashlib.sha256(array.tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": sha256}


def forged(data: bytes, new: Mapping[str, Array] | None = None, /, **changes: Any) -> bytes:
    """A checkpoint with other arrays, or other entries of meta, and every hash and CRC right."""
    members, meta = members_of(data), read_meta(data) | changes
    for name, array in (new or {}).items():
        members[f"{name}.npy"] = npy(array)
        meta["arrays"][name] = described(array)
    members["meta.npy"] = signed(meta)
    return zipped(*members.items())
