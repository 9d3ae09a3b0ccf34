"""The few operations where speed hides: matrix products, updates in place, comparisons with zero."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from nnctl import blas
from nnctl.nn.arrays import Array

WORTH_MOVING = 2**16  # numbers that several threads add up faster than they agree to do so

addressof, byte_at = ctypes.addressof, ctypes.c_byte.from_buffer

Combination: TypeAlias = Callable[[int, float, int, float, int], None]
"""y = a * x + b * y on addresses: (length, a, address of x, b, address of y)"""


@functools.lru_cache(maxsize=16)
def zeros(length: int, dtype: np.dtype[Any]) -> Array:
    """A row of zeros: NumPy compares rows with a row three times as fast as with a single number."""
    return np.zeros(length, dtype)


def matrix_product(a: Array, b: Array, out: Array) -> Array:
    """a @ b, quickly even for a column and a row: NumPy does not leave them to BLAS, and takes ten times as long."""
    product: Array = (np.multiply if a.shape[1] == 1 else np.matmul)(a, b, out=out)
    return product


def axpby(a: float, x: Array, b: float, y: Array) -> None:
    """y = a * x + b * y, in place and with the fewest passes over memory, where NumPy would need three.

    Where BLAS has several threads, each works on the part that it had its hands on in the last matrix product: fetching
    it from another processor's cache would take longer than the arithmetic.

    Args:
        a, b: numbers.
        x, y: (P,) contiguous vectors of one type, float32 or float64.
    """
    combine = (_axpby_shared if blas.several_threads() else _axpby_alone)(y.dtype.char)
    if combine is None:
        y *= b
        y += a * x
    else:
        # four times as fast as x.ctypes.data, which matters to small networks
        x_address, y_address = addressof(byte_at(x.data)), addressof(byte_at(y.data))
        combine(y.size, a, x_address, b, y_address)


@functools.cache
def _axpby_alone(kind: str) -> Combination | None:
    """The operation for "f" (float32) or "d" (float64) with one thread; None where NumPy has another library."""
    return _axpby_of(kind, shared=False)


@functools.cache
def _axpby_shared(kind: str) -> Combination | None:
    """The same with several threads."""
    return _axpby_of(kind, shared=True)


def _axpby_of(kind: str, *, shared: bool) -> Combination | None:
    real = {"f": ctypes.c_float, "d": ctypes.c_double}.get(kind)
    path = blas.file_in_use()
    if real is None or path is None:
        return None
    letter, library = {"f": "s", "d": "d"}[kind], ctypes.CDLL(path)
    for pattern, integer in (("scipy_cblas_{}64_", ctypes.c_int64), ("cblas_{}", ctypes.c_int)):
        vector = [ctypes.c_void_p, integer]  # an address and a stride
        signatures = {"scal": [real, *vector], "axpy": [real, *vector, *vector], "axpby": [real, *vector] * 2}
        if hasattr(library, pattern.format(letter + "axpby")):
            scal, axpy, axpby = (getattr(library, pattern.format(letter + name)) for name in signatures)
            for function, signature in zip((scal, axpy, axpby), signatures.values(), strict=True):
                function.argtypes, function.restype = [integer, *signature], None
            return _combination(scal, axpy, axpby, shared=shared)
    return None


def _combination(
    scal: Callable[..., None], axpy: Callable[..., None], axpby: Callable[..., None], *, shared: bool
) -> Combination:
    """y = a * x + b * y of the functions y *= b, y += a * x and both at once, which OpenBLAS leaves to one thread."""

    def combine(size: int, a: float, x: int, b: float, y: int) -> None:
        if size < WORTH_MOVING if shared else b != 1:
            axpby(size, a, x, 1, b, y, 1)
        else:
            if b != 1:
                scal(size, b, y, 1)
            axpy(size, a, x, 1, y, 1)

    return combine
