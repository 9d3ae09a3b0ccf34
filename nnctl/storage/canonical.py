"""Write a JSON object in its one spelling, so that equal objects have equal bytes and one SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(fields: Mapping[str, Any]) -> str:
    """Of a JSON object in its one spelling, in hexadecimal; raises ValueError on a number that is not finite."""
    digest = hashlib.sha256()
    for piece in pieces(fields):
        digest.update(piece)
    return digest.hexdigest()


def pieces(fields: Mapping[str, Any]) -> Iterator[bytes]:
    """A JSON object in one spelling, piece by piece: `json` would hold each word of a long history in memory at once.

    Raises:
        ValueError: a number is not finite.
    """

    def encoded(value: Any) -> bytes:
        return _ENCODER.encode(value).encode()

    yield b"{"
    for place, key in enumerate(sorted(fields)):
        yield b"," * (place > 0) + encoded(key) + b":"
        value = fields[key]
        if isinstance(value, list):
            yield b"["
            yield from (b"," * (place > 0) + encoded(entry) for place, entry in enumerate(value))
            yield b"]"
        else:
            yield encoded(value)
    yield b"}"
