"""Choose how many threads BLAS, the library behind NumPy's matrix products, may use; report what is in force.

BLAS reads its environment once, while NumPy is being imported, so `configure` comes before the first import of NumPy.
Results differ in their last bits from one thread count to another; at a fixed count they repeat.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any, Literal

# OpenBLAS (NumPy's own wheels), MKL (conda), Accelerate (macOS wheels) and any of them built on OpenMP
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")

WORTH_SHARING = 2**25
"""Multiplications in one matrix product from which several threads beat one by more than they risk.

Below it a product takes less than half a millisecond. Sharing that out gains little, and on a busy machine a thread
that has to wait for its partner waits for the scheduler: a hundred times as long as the product itself takes.
"""


def configure(threads: int | Literal["auto"], largest_product: int = 0) -> None:
    """Set the thread count for the NumPy that will be imported.

    A number is the user's order and overrides everything. "auto" respects the variables the user has set; otherwise it
    means one thread, unless the products are large: then BLAS takes one for each processor it may run on. The rule
    looks at the work alone, never at the clock, so that the same work gets the same count, and the same bits, again.

    Args:
        threads: a number, or "auto".
        largest_product: multiplications in the largest matrix product to come.

    Raises:
        RuntimeError: NumPy has been imported already, too early for a number.
    """
    if threads == "auto":
        chosen_by_user = any(variable in os.environ for variable in THREAD_VARIABLES)
        if chosen_by_user or largest_product >= WORTH_SHARING or "numpy" in sys.modules:
            return
        threads = 1
    if "numpy" in sys.modules:
        raise RuntimeError("BLAS reads its thread count when NumPy is imported, which has happened already")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)


def threads_in_force() -> int:
    """How many threads a matrix product may use now; 1 where BLAS cannot be asked."""
    return max((int(library["num_threads"]) for library in _libraries()), default=1)


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
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _libraries() -> list[dict[str, Any]]:
    import threadpoolctl

    return [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
