"""Turn MNIST's IDX files into checked arrays, and arrays into IDX files.

An IDX file begins with two zero bytes, a code for the type of its values and the number of its dimensions; then come
the dimensions as big-endian 32-bit integers, then the values. MNIST's labels have one dimension, its images three.

Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits", section on file formats.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from nnctl.errors import DataError

UINT8 = 0x08  # the format's code for bytes, the only type MNIST uses
SIDE = 28  # pixels
CLASSES = 10
REPLACE = "remove that file; nnctl data fetch gets a good copy"


def parse(data: bytes | memoryview, name: str) -> NDArray[np.uint8]:
    """Check an IDX file and return its values without copying them.

    Args:
        data: the whole file, not gzipped.
        name: what to call the file in an error.

    Returns:
        images (N, 28, 28) or labels (N,), read-only if `data` is.

    Raises:
        DataError: it is not IDX, holds something else than such images or labels, or is not of the length it claims.
    """
    if len(data) < 4 or bytes(data[:2]) != b"\0\0":
        raise DataError(f"{name} is not an IDX file: it {_beginning(data)}", REPLACE)
    kind, dimensions = data[2], data[3]
    if kind != UINT8:
        raise DataError(f"{name} holds values of type 0x{kind:02x} instead of bytes (0x{UINT8:02x})", REPLACE)
    if dimensions not in (1, 3):
        raise DataError(f"{name} has {dimensions} dimensions: images have 3, labels 1", REPLACE)
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise DataError(f"{name} is truncated: it ends within its header, after {len(data)} bytes", REPLACE)
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    if shape[1:] not in ((), (SIDE, SIDE)):
        raise DataError(f"{name} holds images of {shape[1]}x{shape[2]} pixels instead of {SIDE}x{SIDE}", REPLACE)
    expected = start + math.prod(shape)
    if len(data) != expected:
        fault = "is truncated" if len(data) < expected else "is too long"
        raise DataError(f"{name} {fault}: {len(data):,} bytes instead of {expected:,}", REPLACE)
    values = np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    if dimensions == 1 and (wrong := np.flatnonzero(values >= CLASSES)).size:
        raise DataError(
            f"{name} holds the label {values[wrong[0]]} at index {wrong[0]}: labels go from 0 to 9", REPLACE
        )
    return values


def encode(values: NDArray[np.uint8]) -> bytes:
    """Write an array of bytes as an IDX file."""
    header = struct.pack(f">HBB{values.ndim}I", 0, UINT8, values.ndim, *values.shape)
    return header + values.tobytes()


def _beginning(data: bytes | memoryview) -> str:
    """Say how a file begins, for those who wonder what it is instead."""
    if not len(data):
        return "is empty"
    return f"begins with {bytes(data[:4]).hex(' ')}"
