"""The layers: each one a forward operation and, beside it, the backward operation that undoes it for gradients.

A layer owns no memory but its parameters and keeps no state between calls. `forward` turns x into y;
`backward` turns dy, the gradient of the loss with respect to y, into dx. Both write to `out` where it is given.
A layer whose derivative can be written in terms of its output alone may go forwards in place (`out is x`);
backwards, dx has memory of its own, in which it is put together without any other.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np

from nnctl.nn import Array


class Layer:
    """What every layer answers to; by itself a layer without parameters, as large at its end as at its start."""

    in_place: ClassVar[bool] = False
    """Whether forward may overwrite x with y: true where backward never looks at x."""

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one image's y, given the shape of its x (both without B)."""
        return input_shape

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter, in the order in which they lie in the flat vector."""
        return {}

    def bind(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        """Take views of the network's flat vectors as this layer's parameters and their gradients."""

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Return y, computed from x."""
        raise NotImplementedError

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Return dx, given dy and what the last forward saw (x) and returned (y)."""
        raise NotImplementedError

    def backward_params(self, dy: Array, x: Array) -> None:
        """Overwrite the gradients of the parameters, given dy and x."""


@functools.lru_cache(maxsize=16)
def _zeros(length: int, dtype: np.dtype[Any]) -> Array:
    """A row of zeros: NumPy compares rows with a row three times as fast as with a single number."""
    return np.zeros(length, dtype)


def matrix_product(a: Array, b: Array, out: Array) -> Array:
    """a @ b, quickly even for a column and a row: NumPy does not leave them to BLAS, and takes ten times as long."""
    product: Array = (np.multiply if a.shape[1] == 1 else np.matmul)(a, b, out=out)
    return product


class Flatten(Layer):
    """Lay the rows of a picture behind each other: (B, 28, 28) -> (B, 784), as a view."""

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """All of one image's dimensions multiplied: (28, 28) -> (784,)."""
        return (int(np.prod(input_shape)),)

    def forward(self, x: Array, out: Array | None = None) -> Array:  # noqa: ARG002 - a view needs no memory
        """Return x as (B, I) rows."""
        return x.reshape(len(x), -1)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:  # noqa: ARG002
        """Return dy in the shape of the pictures."""
        return dy.reshape(x.shape)


class Linear(Layer):
    """Every output is a weighted sum of all inputs, plus a bias.

    Args:
        inputs: I, the length of x.
        outputs: O, the length of y.

    Attributes:
        weight: (I, O) and bias: (O,), views of the network's `params` once the layer is bound.
        dweight: (I, O) and dbias: (O,), views of the network's `grads`.
    """

    weight: Array
    bias: Array
    dweight: Array
    dbias: Array

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs = inputs
        self.outputs = outputs

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(I,) -> (O,); raises ValueError when the layer before does not give I outputs."""
        if input_shape != (self.inputs,):
            raise ValueError(f"a layer of {self.inputs} inputs cannot follow one of shape {input_shape}")
        return (self.outputs,)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Weight (I, O), then bias (O,)."""
        return {"weight": (self.inputs, self.outputs), "bias": (self.outputs,)}

    def bind(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        """Take views of the network's flat vectors as weight and bias, dweight and dbias."""
        self.weight, self.bias = params["weight"], params["bias"]
        self.dweight, self.dbias = grads["weight"], grads["bias"]

    # y = x @ W + b  =>  dW = x.T @ dy,  db = sum(dy),  dx = dy @ W.T

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """(B, I) -> (B, O)."""
        y = np.matmul(x, self.weight, out=out)
        y += self.bias
        return y

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:  # noqa: ARG002
        """(B, O) -> (B, I)."""
        return np.matmul(dy, self.weight.T, out=out)

    def backward_params(self, dy: Array, x: Array) -> None:
        """Overwrite dweight and dbias."""
        matrix_product(x.T, dy, out=self.dweight)
        dy.sum(axis=0, out=self.dbias)


class ReLU(Layer):
    """Cut off everything below zero (Nair and Hinton, 2010)."""

    in_place = True

    # y = max(x, 0)  =>  dx = dy where y > 0, else 0

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Element by element; any shape."""
        y: Array = np.maximum(x, _zeros(x.shape[-1], x.dtype), out=out)
        return y

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:  # noqa: ARG002
        """Let the gradient through where the neuron was lit."""
        dx = np.empty_like(dy) if out is None else out
        np.greater(y, 0, out=dx, casting="unsafe")
        dx *= dy
        return dx


class Sigmoid(Layer):
    """Squash every number into the range between 0 and 1."""

    in_place = True

    # y = 1 / (1 + exp(-x))  =>  dx = dy * y * (1 - y)

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Element by element; any shape. Exact to rounding for every finite x."""
        y = np.negative(x, out=out)
        with np.errstate(over="ignore"):  # exp() of a large number is inf, and 1 / (1 + inf) = 0 is right
            np.exp(y, out=y)
        y += 1
        return np.reciprocal(y, out=y)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:  # noqa: ARG002
        """Steep in the middle, flat at both ends."""
        dx: Array = np.subtract(1, y, out=out)
        dx *= y
        dx *= dy
        return dx


class Tanh(Layer):
    """Squash every number into the range between -1 and 1."""

    in_place = True

    # y = tanh(x)  =>  dx = dy * (1 - y * y)

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Element by element; any shape."""
        return np.tanh(x, out=out)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:  # noqa: ARG002
        """Steep in the middle, flat at both ends."""
        dx = np.multiply(y, y, out=out)
        np.subtract(1, dx, out=dx)
        dx *= dy
        return dx


class Dropout(Layer):
    """While training, silence each neuron with some probability, so that no neuron relies on a single other.

    The survivors are made stronger by 1 / (1 - rate), so that evaluation needs no correction and skips this layer
    ("inverted" dropout; Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, 2014).

    Args:
        rate: the probability of being silenced, 0 <= rate < 1.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    # y = x * keep / (1 - rate), keep being 0 or 1  =>  dx = dy * keep / (1 - rate)

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Silence neurons drawn from `rng`; without one (evaluation), return x itself."""
        if rng is None:
            return x
        y = np.empty_like(x) if out is None else out
        rng.random(dtype=y.dtype.type, out=y)
        np.greater_equal(y, self.rate, out=y, casting="unsafe")  # keep
        y *= x
        y *= 1 / (1 - self.rate)
        return y

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:  # noqa: ARG002
        """Let the gradient through where y is not 0.

        A survivor whose x is exactly 0 counts as silenced. Below it lies a ReLU or a sigmoid, whose own
        derivative is 0 there, or a tanh, which gives exactly 0 only to an input of exactly 0.
        """
        dx = np.empty_like(dy) if out is None else out
        np.not_equal(y, 0, out=dx, casting="unsafe")
        dx *= dy
        dx *= 1 / (1 - self.rate)
        return dx
