"""Where a program runs: versions, processor, BLAS, and whether its products are right."""

from __future__ import annotations

import platform
from typing import Any

from nnctl import __version__, blas


def describe() -> dict[str, Any]:
    """Versions of nnctl, Python and NumPy; the operating system, the processor and BLAS; ready for JSON."""
    import numpy as np

    return {
        "nnctl": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "blas": blas.report(),
    }


def processor() -> str:
    """The processor's name, as the operating system gives it."""
    return blas.cpuinfo("model name") or platform.processor() or platform.machine()


def products_are_right() -> bool:
    """Compare one product of this NumPy with a plain loop: a forced kernel may not suit the processor."""
    import numpy as np

    a = np.linspace(-1, 1, 35 * 67, dtype=np.float32).reshape(35, 67)  # odd sizes meet the kernels' edges
    b = np.cos(np.arange(67 * 33, dtype=np.float32)).reshape(67, 33)
    expected = sum(a[:, k, np.newaxis] * b[k] for k in range(67))
    return bool(np.allclose(a @ b, expected, rtol=1e-4, atol=1e-4))
