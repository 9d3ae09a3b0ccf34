"""The activations: what a neuron makes of its weighted sum, forward beside backward; layers without parameters."""

from __future__ import annotations

import numpy as np

from nnctl.nn.arrays import Array
from nnctl.nn.kernels import zeros
from nnctl.nn.layers import Layer


class ReLU(Layer):
    """Cut off everything below zero (Nair and Hinton, 2010)."""

    in_place = True

    # y = max(x, 0)  =>  dx = dy where y > 0, else 0

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Element by element; any shape."""
        y: Array = np.maximum(x, zeros(x.shape[-1], x.dtype), out=out)
        return y

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Let the gradient through where the neuron was active."""
        dx = np.empty_like(dy) if out is None else out
        np.greater(y, 0, out=dx, casting="unsafe")
        dx *= dy
        return dx


class Sigmoid(Layer):
    """Squash every number into the range between 0 and 1."""

    in_place = True

    # y = 1 / (1 + exp(-x))  =>  dx = dy * y * (1 - y)

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Element by element; any shape. Exact to rounding for every finite x."""
        y = np.negative(x, out=out)
        with np.errstate(over="ignore"):  # exp() of a large number is inf, and 1 / (1 + inf) = 0 is right
            np.exp(y, out=y)
        y += 1
        return np.reciprocal(y, out=y)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Steep in the middle, flat at both ends."""
        dx: Array = np.subtract(1, y, out=out)
        dx *= y
        dx *= dy
        return dx


class Tanh(Layer):
    """Squash every number into the range between -1 and 1."""

    in_place = True

    # y = tanh(x)  =>  dx = dy * (1 - y * y)

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Element by element; any shape."""
        return np.tanh(x, out=out)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Steep in the middle, flat at both ends."""
        dx = np.multiply(y, y, out=out)
        np.subtract(1, dx, out=dx)
        dx *= dy
        return dx


class Softmax(Layer):
    """Turn the scores of each image into probabilities: positive, with a sum of 1."""

    in_place = True

    # y = exp(x) / sum(exp(x))  =>  dx = y * (dy - sum(dy * y))

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """(B, C) -> (B, C), row by row."""
        # softmax is unchanged by a shift; shifting by the max keeps exp() finite
        y: Array = np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True), out=out)
        np.exp(y, out=y)
        y /= np.add.reduce(y, axis=1, keepdims=True)
        return y

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """A score is pushed as far as its own class gains more than the others."""
        gained = np.add.reduce(dy * y, axis=1, keepdims=True)
        dx: Array = np.subtract(dy, gained, out=out)
        dx *= y
        return dx


class Identity(Layer):
    """Leave everything as it is: outputs that are scores and nothing more."""

    is_view = True
    reads_output = False

    # y = x  =>  dx = dy

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Any shape."""
        return x if out is None or out is x else np.positive(x, out=out)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Return dy."""
        return dy if out is None or out is dy else np.positive(dy, out=out)


ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}
"""What may follow a hidden layer, by the name that a configuration gives it."""
