"""The types of the arrays that every module here passes around."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
"""Real numbers in single precision (training) or double precision (checking gradients)."""

Labels: TypeAlias = NDArray[np.integer[Any]]
"""Class numbers, shape (B,)."""
