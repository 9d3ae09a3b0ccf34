"""nnctl's networks, digit-like batches and one backward pass, for the tests of the mathematics."""

import itertools

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from nnctl.nn.activations import ACTIVATIONS
from nnctl.nn.arrays import Array, Labels
from nnctl.nn.initializers import Initializer, he
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear, Shape
from nnctl.nn.losses import LOSSES
from nnctl.nn.network import Network
from nnctl.nn.workspace import Workspace

CRITERIA = [(loss, output) for loss, outputs in LOSSES.items() for output in outputs]
each_criterion = pytest.mark.parametrize(("loss", "output"), CRITERIA)
"""Every loss with every output that it compares, by the names that a configuration gives them."""


def network_of(
    sizes: list[int],
    activation: str = "relu",
    *,
    dropout: float = 0.0,
    initializer: Initializer = he,
    dtype: DTypeLike = np.float32,
    seed: int = 0,
) -> Network:
    """Build and initialize a network of the given sizes, such as [784, 128, 10]."""
    layers: dict[str, Layer] = {"flatten": Flatten()}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes), 1):
        layers[f"linear{i}"] = Linear(inputs, outputs)
        if i < len(sizes) - 1:
            layers[f"{activation}{i}"] = ACTIVATIONS[activation]()
            if dropout:
                layers[f"dropout{i}"] = Dropout(dropout)
    network = Network(layers, input_shape=(28, 28) if sizes[0] == 784 else (sizes[0],), dtype=dtype)
    network.initialize(initializer, np.random.default_rng(seed))
    return network


class Centre(Layer):
    """Subtract the running mean of the images seen while training: a layer with state and without parameters."""

    mean: Array

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"mean": input_shape}

    def bind(self, params: dict[str, Array], grads: dict[str, Array], state: dict[str, Array]) -> None:  # noqa: ARG002
        self.mean = state["mean"]

    def forward(self, x: Array, out: Array | None = None, rng: np.random.Generator | None = None) -> Array:
        if rng is not None:
            self.mean *= 0.9
            self.mean += 0.1 * x.mean(axis=0)
        return np.subtract(x, self.mean, out=out)

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:  # noqa: ARG002
        return dy if out is None else np.positive(dy, out=out)


def linear(dtype: type[np.floating] = np.float32, inputs: int = 12, outputs: int = 12) -> Linear:
    """A layer whose parameters are there, as a network's are."""
    network = Network({"linear": Linear(inputs, outputs)}, dtype=dtype)
    network.initialize(he, np.random.default_rng(0))
    (layer,) = network.layers
    assert isinstance(layer, Linear)
    return layer


def forward(layer: Layer, x: Array, out: Array | None = None) -> Array:
    """What a layer gives; dropout drops the same ones each time."""
    return layer.forward(x, out, np.random.default_rng(7))


def digits(count: int, dtype: DTypeLike = np.float32, seed: int = 0) -> tuple[Array, Labels]:
    """Draw pictures (count, 28, 28) with as much ink as MNIST's, and as alike, and labels (count,)."""
    rng = np.random.default_rng((seed, 28))
    labels = rng.integers(0, 10, count)
    shapes = rng.random((10, 28, 28)) < 0.3  # each class has its own shape
    shapes[:, :4] = shapes[:, -4:] = shapes[:, :, :4] = shapes[:, :, -4:] = False
    ink = shapes[labels] & (rng.random((count, 28, 28)) < 0.9)
    levels: NDArray[np.int64] = np.where(ink, rng.integers(40, 256, (count, 28, 28)), 0)
    return (levels / 255).astype(dtype), labels


def backpropagate(
    network: Network,
    work: Workspace,
    x: Array,
    labels: Labels,
    *,
    loss: str = "cross_entropy",
    output: str | None = None,
    rng: np.random.Generator | None = None,
) -> float:
    """Fill the gradients as the training loop does and return the loss; by default, of the output it implies."""
    criterion = LOSSES[loss][output or next(iter(LOSSES[loss]))]()
    logits = network.forward(x, work, rng)
    value, probs = criterion.forward(logits, labels, out=work.probs[: len(x)])
    network.backward(criterion.backward(probs, labels, out=work.dlogits[: len(x)]), work)
    return value
