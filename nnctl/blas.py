"""Choose kernels and threads of BLAS, the library behind NumPy's matrix products; report what is in force.

BLAS reads its environment once, while NumPy is being imported, so `configure` comes before the first import of NumPy;
afterwards `limit` bounds the threads. Results differ in their last bits from one thread count or kernel to another;
where both stay, they repeat.

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

import contextlib
import functools
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

# OpenBLAS (NumPy's own wheels), MKL (conda), Accelerate (macOS wheels) and any of them built on OpenMP
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")

KERNEL_VARIABLE = "OPENBLAS_CORETYPE"
AVX512_KERNEL, AVX2_KERNEL = "SkylakeX", "Haswell"
_AVX512 = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}  # what the SkylakeX kernels are compiled for

WORTH_SHARING = 2**25
"""Multiplications in one matrix product from which several threads may beat one by more than they risk.

Below it a product takes less than half a millisecond. Sharing that out gains little, and on a busy machine a thread
that has to wait for its partner waits for the scheduler: a hundred times as long as the product itself takes.
"""


WATCHED = 0.1
"""Seconds for which the processors are watched before several threads share out large products."""


def configure(threads: int | Literal["auto"], product: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Set kernel and thread count for the NumPy that will be imported.

    A number is the user's order and overrides everything. "auto" respects the variables the user has set; otherwise it
    means one thread, unless the products are large: then all processors stay open until `limit` decides.

    Args:
        threads: a number, or "auto".
        product: B, I and O of the largest matrix product to come, (B, I) @ (I, O).

    Raises:
        RuntimeError: NumPy has been imported already, too early for a number; or the system lets no thread be started.
    """
    _choose_kernel()
    if "numpy" in sys.modules:
        if threads == "auto":
            return
        raise RuntimeError("BLAS reads its thread count when NumPy is imported, which has happened already")
    by_user = next((os.environ[variable] for variable in THREAD_VARIABLES if variable in os.environ), None)
    if threads == "auto" and by_user is None and not _is_large(product):
        threads = 1
    if threads != "auto":
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(threads)
    if (by_user if threads == "auto" else str(threads)) != "1":
        # OpenBLAS, where it cannot start its threads, sends the process a SIGINT, as if somebody had pressed Ctrl-C
        threading.Thread(target=int).start()


def choose_threads(threads: int | Literal["auto"], product: tuple[int, int, int]) -> int | None:
    """How many threads matrix products are to use.

    A number is the user's order. "auto" respects the environment's variables; otherwise it means one thread, unless
    the products are large: then one for each processor that is idle now. With one busy neighbour for two threads, a
    step would take several times as long as with one thread.

    Args:
        threads: a number, or "auto".
        product: B, I and O of the largest product, (B, I) @ (I, O).

    Returns:
        the number; None to leave BLAS as it is.
    """
    if threads != "auto":
        return threads
    if set_by_user():
        return None
    return 1 if not _is_large(product) else idle_processors()


def _is_large(product: tuple[int, int, int]) -> bool:
    """Whether several threads may pay for a product (B, I) @ (I, O)."""
    return math.prod(product) >= WORTH_SHARING


def set_by_user() -> bool:
    """Whether the environment says how many threads to use; then nobody else does."""
    return any(variable in os.environ for variable in THREAD_VARIABLES)


def _choose_kernel() -> None:
    """Ask OpenBLAS for its AVX-512 kernels on an AMD processor that has all the instructions they use."""
    if KERNEL_VARIABLE not in os.environ and "numpy" not in sys.modules:
        vendor, flags = cpuinfo("vendor_id"), cpuinfo("flags").split()
        if vendor == "AuthenticAMD" and _AVX512.issubset(flags):
            os.environ[KERNEL_VARIABLE] = AVX512_KERNEL


@contextlib.contextmanager
def limit(threads: int | None) -> Iterator[None]:
    """Bound the threads of every matrix product within a `with` block; None changes nothing.

    More threads than processors are never used, as OpenBLAS has it too.
    """
    if threads is None or min(threads, processors()) == threads_in_force():
        yield
        return
    import threadpoolctl

    try:
        with threadpoolctl.threadpool_limits(min(threads, processors()), user_api="blas"):
            several_threads.cache_clear()
            yield
    finally:
        several_threads.cache_clear()


def processors() -> int:
    """How many processors this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def idle_processors() -> int:
    """How many processors are free for matrix products, at least 1: a thread that shares one delays all the others.

    Linux is watched for a moment, other systems are asked for their load of the last minute; where neither is to be
    found out, all processors count as free.
    """
    before = _processor_times()
    if before:
        time.sleep(WATCHED)
        shares = [
            (idle - idle_before) / max(1, total - total_before)
            for (idle_before, total_before), (idle, total) in zip(before, _processor_times(), strict=False)
        ]
        free = sum(shares)
    else:
        free = processors() - (os.getloadavg()[0] if hasattr(os, "getloadavg") else 0)
    return max(1, math.floor(free + 0.25))  # a processor that is busy for a quarter of the time is as good as free


def _processor_times() -> list[tuple[int, int]]:
    """For each processor this process may run on, how long it has been idle and in all, in ticks; nothing elsewhere."""
    try:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
        allowed = os.sched_getaffinity(0)
    except (OSError, AttributeError, ValueError):
        return []
    fields = [line.split() for line in lines if re.match(r"cpu\d", line)]
    times = {int(name[3:]): [int(value) for value in values] for name, *values in fields}
    return [(sum(times[n][3:5]), sum(times[n][:8])) for n in sorted(allowed) if n in times]  # idle, waiting for a disk


def threads_in_force() -> int | None:
    """How many threads a matrix product may use now; None where BLAS cannot be asked."""
    return max((int(library["num_threads"]) for library in _libraries()), default=None)


@functools.cache
def several_threads() -> bool:
    """Whether more than one thread is in force; remembered, as asking takes longer than a small step."""
    return (threads_in_force() or 1) > 1


def file_in_use() -> str | None:
    """The file of the BLAS library in use; None where it cannot be asked."""
    return next((library["filepath"] for library in _libraries()), None)


def report() -> dict[str, Any]:
    """Name, version, kernel and thread count of the BLAS library in use, as far as it tells."""
    library: dict[str, Any] = next(iter(_libraries()), {})
    return {
        "library": library.get("internal_api", "unknown"),
        "version": library.get("version"),
        "kernel": library.get("architecture"),
        "threads": threads_in_force(),
    }


@functools.cache
def cpuinfo(key: str) -> str:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
    except OSError:
        return ""


def _libraries() -> list[dict[str, Any]]:
    import threadpoolctl

    return [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
