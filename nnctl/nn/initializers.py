"""Where weights start: at random, so that no two neurons are alike. Biases start at zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# in quotes, because NumPy imports its generators only once somebody asks for one
Initializer: TypeAlias = "Callable[[np.random.Generator, int, int], NDArray[np.float64]]"
"""(generator, I, O) -> a random weight matrix of shape (I, O)."""


def normal(rng: np.random.Generator, inputs: int, outputs: int) -> NDArray[np.float64]:
    """A bell curve of standard deviation 0.01, whatever the layer's size; it shows what the other two improve."""
    return rng.normal(0.0, 0.01, (inputs, outputs))


def xavier(rng: np.random.Generator, inputs: int, outputs: int) -> NDArray[np.float64]:
    """Uniform within sqrt(6 / (I + O)): signals keep their size both ways through sigmoid and tanh.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    limit = np.sqrt(6 / (inputs + outputs))
    return rng.uniform(-limit, limit, (inputs, outputs))


def he(rng: np.random.Generator, inputs: int, outputs: int) -> NDArray[np.float64]:
    """A bell curve of standard deviation sqrt(2 / I): makes up for the half that ReLU cuts off.

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.
    """
    return rng.normal(0.0, np.sqrt(2 / inputs), (inputs, outputs))


INITIALIZERS: dict[str, Initializer] = {"he": he, "xavier": xavier, "normal": normal}
"""Each of them by the name that a configuration gives it."""
