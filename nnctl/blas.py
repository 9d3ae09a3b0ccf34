"""Choose kernels and threads of BLAS, the library behind NumPy's matrix products; report what is in force.

BLAS reads its environment once, while NumPy is being imported, so `configure` comes before the first import of NumPy.
Results differ in their last bits from one thread count or kernel to another; where both stay, they repeat.

What is chosen depends on who is behind NumPy, and never overrides what the user has set:

    OpenBLAS on AMD     (NumPy's own wheels) runs Zen 4 and 5, by its version, on kernels made for AVX2. Those for
                        AVX-512, which it keeps for Intel's SkylakeX, nearly double the speed of Zen 5; Zen 4, which
                        does 512 bits in two turns, gains in small products alone. `configure` asks for them by name.
    OpenBLAS on Intel   finds its AVX-512 kernels itself, and on ARM those for NEON or SVE; nothing is forced.
    Accelerate          (NumPy's wheels for macOS on ARM) has no kernels to choose; it shares out its work over the
                        matrix units by itself, and VECLIB_MAXIMUM_THREADS only bounds it.
    MKL                 (conda) dispatches by processor itself; only its thread count is set.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.floating[Any]]

# OpenBLAS (NumPy's own wheels), MKL (conda), Accelerate (macOS wheels) and any of them built on OpenMP
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")

_KERNEL_VARIABLE = "OPENBLAS_CORETYPE"
_AVX512 = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}  # what the SkylakeX kernels are compiled for

WORTH_SHARING = 2**25
"""Multiplications in one matrix product from which several threads beat one by more than they risk.

Below it a product takes less than half a millisecond. Sharing that out gains little, and on a busy machine a thread
that has to wait for its partner waits for the scheduler: a hundred times as long as the product itself takes.
"""


def configure(threads: int | Literal["auto"], largest_product: int = 0) -> None:
    """Set kernel and thread count for the NumPy that will be imported.

    A number is the user's order and overrides everything. "auto" respects the variables the user has set; otherwise it
    means one thread, unless the products are large: then BLAS takes one for each processor it may run on. The rule
    looks at the work alone, never at the clock, so that the same work gets the same count, and the same bits, again.

    Args:
        threads: a number, or "auto".
        largest_product: multiplications in the largest matrix product to come.

    Raises:
        RuntimeError: NumPy has been imported already, too early for a number.
    """
    _choose_kernel()
    if threads == "auto":
        chosen_by_user = any(variable in os.environ for variable in THREAD_VARIABLES)
        if chosen_by_user or largest_product >= WORTH_SHARING or "numpy" in sys.modules:
            return
        threads = 1
    if "numpy" in sys.modules:
        raise RuntimeError("BLAS reads its thread count when NumPy is imported, which has happened already")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)


def _choose_kernel() -> None:
    """Ask OpenBLAS for its AVX-512 kernels on an AMD processor that has all the instructions they use."""
    if _KERNEL_VARIABLE not in os.environ and "numpy" not in sys.modules:
        vendor, flags = _cpuinfo("vendor_id"), _cpuinfo("flags").split()
        if vendor == "AuthenticAMD" and _AVX512.issubset(flags):
            os.environ[_KERNEL_VARIABLE] = "SkylakeX"


def check_kernel() -> None:
    """Compare one product with a plain loop; if they differ, start the program again without a forced kernel.

    Call it once NumPy is loaded and before anything is computed or written.
    """
    import numpy as np

    a = np.linspace(-1, 1, 35 * 67, dtype=np.float32).reshape(35, 67)  # odd sizes meet the kernels' edges
    b = np.cos(np.arange(67 * 33, dtype=np.float32)).reshape(67, 33)
    expected = sum(a[:, k, np.newaxis] * b[k] for k in range(67))
    if not np.allclose(a @ b, expected, rtol=1e-4, atol=1e-4):
        if os.environ.get(_KERNEL_VARIABLE) != "SkylakeX":
            raise RuntimeError("the matrix products of this NumPy are wrong")
        os.environ[_KERNEL_VARIABLE] = "Haswell"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


_WORTH_MOVING = 2**16  # numbers that several threads add up faster than they agree to do so


def axpby(a: float, x: Vector, b: float, y: Vector) -> None:
    """y = a * x + b * y, in place and with the fewest passes over memory, where NumPy would need three.

    Where BLAS has several threads, each works on the part that it had its hands on in the last matrix product: fetching
    it from another processor's cache would take longer than the arithmetic.

    Args:
        a, b: numbers.
        x, y: (P,) contiguous vectors of one type, float32 or float64.
    """
    combine = _axpby_of(y.dtype.char)
    if combine is None:
        y *= b
        y += a * x
    else:
        # four times as fast as x.ctypes.data, which matters to small networks
        x_address, y_address = (ctypes.addressof(ctypes.c_byte.from_buffer(vector.data)) for vector in (x, y))
        combine(y.size, a, x_address, b, y_address)


@functools.cache
def _axpby_of(kind: str) -> Callable[[int, float, int, float, int], None] | None:
    """The operation on addresses, for "f" (float32) or "d" (float64); None where NumPy is built on another library."""
    real = {"f": ctypes.c_float, "d": ctypes.c_double}.get(kind)
    path = next((library["filepath"] for library in _libraries()), None)
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
            return _combination(scal, axpy, axpby, shared=(threads_in_force() or 1) > 1)
    return None


def _combination(
    scal: Callable[..., None], axpy: Callable[..., None], axpby: Callable[..., None], *, shared: bool
) -> Callable[[int, float, int, float, int], None]:
    """y = a * x + b * y of the functions y *= b, y += a * x and both at once, which OpenBLAS leaves to one thread."""

    def combine(size: int, a: float, x: int, b: float, y: int) -> None:
        if size < _WORTH_MOVING if shared else b != 1:
            axpby(size, a, x, 1, b, y, 1)
        else:
            if b != 1:
                scal(size, b, y, 1)
            axpy(size, a, x, 1, y, 1)

    return combine


def threads_in_force() -> int | None:
    """How many threads a matrix product may use now; None where BLAS cannot be asked."""
    return max((int(library["num_threads"]) for library in _libraries()), default=None)


def report() -> dict[str, Any]:
    """Name, version, kernel and thread count of the BLAS library in use, as far as it tells."""
    library: dict[str, Any] = next(iter(_libraries()), {})
    return {
        "library": library.get("internal_api", "unknown"),
        "version": library.get("version"),
        "kernel": library.get("architecture"),
        "threads": threads_in_force(),
    }


def processor() -> str:
    """The processor's name, as the operating system gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
    except OSError:
        return ""


def _libraries() -> list[dict[str, Any]]:
    import threadpoolctl

    return [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
