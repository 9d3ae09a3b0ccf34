"""The layers: each one a forward operation and, beside it, the backward operation that propagates its gradient.

A layer owns no memory but its parameters and keeps no state between calls. `forward` turns x into y;
`backward` turns dy, the gradient of the loss with respect to y, into dx. Both write to `out` where it is given.
A layer whose derivative can be written in terms of its output alone may go forwards in place (`out is x`);
backwards, dx has its own memory, in which it is put together without any other.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nnctl.errors import ArgumentError
from nnctl.nn.arrays import Array
from nnctl.nn.initializers import Initializer
from nnctl.nn.kernels import matrix_product

Shape = tuple[int, ...]


class Layer:
    """What every layer has; by itself a layer without parameters, whose output has the shape of its input."""

    in_place: ClassVar[bool] = False
    """Whether forward may overwrite x with y: true where backward never looks at x."""

    reads_output: ClassVar[bool] = True
    """Whether backward looks at y; if not, the next layer may overwrite it."""

    is_view: ClassVar[bool] = False
    """Whether y lies in the memory of x, and needs no other."""

    input_shape: Shape | None = None
    """Shape of one image's x, where the layer asks for one (without B)."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one image's y, given the shape of its x (both without B)."""
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Name and shape of each parameter, in the order in which they lie in the flat vector."""
        return {}

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Name and shape of the layer's own state beside its parameters: saved with them, but not trained."""
        return {}

    def bind(self, params: dict[str, Array], grads: dict[str, Array], state: dict[str, Array]) -> None:
        """Take views of the network's flat vectors as this layer's parameters, their gradients, and its state."""

    def initialize(self, rng: np.random.Generator, initializer: Initializer) -> None:
        """Give parameters and state their first values; they are zero before."""

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Return y, computed from x; `rng` is there while training, None when evaluating."""
        raise NotImplementedError

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Return dx, given dy and what the last forward saw (x) and returned (y)."""
        raise NotImplementedError

    def backward_params(self, dy: Array, x: Array) -> None:
        """Overwrite the gradients of the parameters, given dy and x."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Flatten(Layer):
    """Lay the rows of a picture behind each other: (B, 28, 28) -> (B, 784), as a view."""

    is_view = True
    reads_output = False

    def output_shape(self, input_shape: Shape) -> Shape:
        """All of one image's dimensions multiplied: (28, 28) -> (784,)."""
        return (int(np.prod(input_shape)),)

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Return x as (B, I) rows."""
        return x.reshape(len(x), -1)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
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
    reads_output = False

    def __init__(self, inputs: int, outputs: int) -> None:
        if not all(isinstance(n, int | np.integer) and n > 0 for n in (inputs, outputs)):
            raise ArgumentError(
                f"Linear takes two whole numbers from 1, inputs and outputs, not {inputs!r} and {outputs!r}"
            )
        self.inputs, self.outputs = int(inputs), int(outputs)
        self.input_shape = (self.inputs,)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(I,) -> (O,); raises ArgumentError when the layer before does not give I outputs."""
        if input_shape != (self.inputs,):
            raise ArgumentError(f"a layer of {self.inputs} inputs cannot follow one of shape {input_shape}")
        return (self.outputs,)

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Weight (I, O), then bias (O,)."""
        return {"weight": (self.inputs, self.outputs), "bias": (self.outputs,)}

    def bind(self, params: dict[str, Array], grads: dict[str, Array], state: dict[str, Array]) -> None:
        """Take views of the network's flat vectors as weight and bias, dweight and dbias."""
        self.weight, self.bias = params["weight"], params["bias"]
        self.dweight, self.dbias = grads["weight"], grads["bias"]

    def initialize(self, rng: np.random.Generator, initializer: Initializer) -> None:
        """Random weights, so that no two neurons are alike; the biases stay zero."""
        self.weight[:] = initializer(rng, self.inputs, self.outputs)

    # y = x @ W + b  =>  dW = x.T @ dy,  db = sum(dy),  dx = dy @ W.T

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """(B, I) -> (B, O)."""
        y = np.matmul(x, self.weight, out=out)
        y += self.bias
        return y

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """(B, O) -> (B, I)."""
        return np.matmul(dy, self.weight.T, out=out)

    def backward_params(self, dy: Array, x: Array) -> None:
        """Overwrite dweight and dbias."""
        matrix_product(x.T, dy, out=self.dweight)
        np.add.reduce(dy, axis=0, out=self.dbias)  # which dy.sum() calls too, by a detour

    def __repr__(self) -> str:
        return f"Linear({self.inputs}, {self.outputs})"


class Dropout(Layer):
    """While training, drop each neuron with some probability, so that no neuron relies on a single other.

    The survivors are made stronger by 1 / (1 - rate), so that evaluation needs no correction and skips this layer
    ("inverted" dropout; Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, 2014).

    Args:
        rate: the probability of being dropped, 0 <= rate < 1.
    """

    def __init__(self, rate: float) -> None:
        if not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ArgumentError(f"Dropout takes a rate of at least 0 and below 1, not {rate!r}")
        self.rate = rate

    # y = x * mask / (1 - rate), mask being 0 or 1  =>  dx = dy * mask / (1 - rate)

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        """Drop neurons drawn from `rng`; without one (evaluation), return x itself."""
        if rng is None:
            return x
        y = np.empty_like(x) if out is None else out
        rng.random(dtype=y.dtype.type, out=y)
        np.greater_equal(y, self.rate, out=y, casting="unsafe")  # the mask
        y *= x
        y *= 1 / (1 - self.rate)
        return y

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Let the gradient through where y is not 0.

        A survivor whose x is exactly 0 counts as dropped. Below it lies a ReLU or a sigmoid, whose own
        derivative is 0 there, or a tanh, which gives exactly 0 only to an input of exactly 0.
        """
        dx = np.empty_like(dy) if out is None else out
        np.not_equal(y, 0, out=dx, casting="unsafe")
        dx *= dy
        dx *= 1 / (1 - self.rate)
        return dx

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"
