"""The losses: one number for how far the network is from its targets, and its gradient, where backpropagation begins.

Each of them averages over the batch; this is the only division by B in a step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nnctl.nn.activations import Identity, Sigmoid, Softmax
from nnctl.nn.arrays import Array, Labels
from nnctl.nn.layers import Layer


class Loss(Protocol):
    """What every loss has.

    Attributes:
        output: turns the logits into probs, the activations that are compared with the targets.
    """

    output: Layer

    def forward(self, logits: Array, labels: Labels, out: Array | None = None) -> tuple[float, Array]:
        """Return the mean loss of the batch and probs (B, C); `out` may be the memory of `logits`."""

    def backward(self, probs: Array, labels: Labels, out: Array | None = None) -> Array:
        """Return dlogits (B, C)."""


@functools.lru_cache(maxsize=16)
def _rows(count: int) -> NDArray[np.intp]:
    """0 to count - 1; with the labels beside them they pick one entry of each row."""
    return np.arange(count)


class SoftmaxCrossEntropy:
    """Turn the scores into probabilities and measure how surprising the target was: -log(its probability)."""

    def __init__(self) -> None:
        self.output: Layer = Softmax()

    # probs = exp(logits) / sum(exp(logits)),  loss = -mean(log(probs[label]))  =>  dlogits = (probs - one_hot) / B

    def forward(self, logits: Array, labels: Labels, out: Array | None = None) -> tuple[float, Array]:
        """Return the mean cross-entropy in nats and the softmax of the logits; (B, C), (B,) -> number, (B, C)."""
        # softmax is unchanged by a shift; shifting by the max keeps exp() finite
        shifted = np.subtract(logits, np.maximum.reduce(logits, axis=1, keepdims=True), out=out)
        score = shifted[_rows(len(labels)), labels]
        probs = np.exp(shifted, out=shifted)
        total = np.add.reduce(probs, axis=1, keepdims=True)
        probs /= total
        loss = np.add.reduce(np.log(total), axis=None) - np.add.reduce(score)
        return float(loss) / len(labels), probs

    def backward(self, probs: Array, labels: Labels, out: Array | None = None) -> Array:
        """Return dlogits (B, C): every other class is pushed down by its probability, the target up."""
        dlogits = np.divide(probs, len(labels), out=out)
        dlogits[_rows(len(labels)), labels] -= 1 / len(labels)
        return dlogits


class SigmoidCrossEntropy:
    """Ask of each output by itself whether this is its class, and measure how surprising the target was.

    Source: Nielsen, "Neural networks and deep learning", 2015, chapter 3: the cross-entropy of sigmoid neurons.
    """

    def __init__(self) -> None:
        self.output: Layer = Sigmoid()

    # loss = mean over the batch of sum(-log(p) where the target is 1, -log(1 - p) elsewhere), p = sigmoid(logits)
    # =>  dlogits = (p - one_hot) / B

    def forward(self, logits: Array, labels: Labels, out: Array | None = None) -> tuple[float, Array]:
        """Return the cross-entropy in nats, summed over the outputs, and their sigmoid; (B, C), (B,) -> ..., (B, C)."""
        # -log(1 - sigmoid(z)) = log(1 + exp(z)), which logaddexp() keeps finite; -log(sigmoid(z)) is less by z
        loss = np.logaddexp(0, logits).sum() - logits[_rows(len(labels)), labels].sum()
        return float(loss) / len(labels), self.output.forward(logits, out)

    def backward(self, probs: Array, labels: Labels, out: Array | None = None) -> Array:
        """Return dlogits (B, C): every output is pulled towards its target, the farther the more."""
        dlogits = np.divide(probs, len(labels), out=out)
        dlogits[_rows(len(labels)), labels] -= 1 / len(labels)
        return dlogits


class SquaredError:
    """Measure the squared distance between the outputs and their targets: 1 for the right class, 0 for the others.

    It is summed over the outputs, not averaged over them too, as the mean squared error of other programs is.

    Args:
        output: turns the logits into the outputs that are compared; a sigmoid by default.
    """

    def __init__(self, output: Layer | None = None) -> None:
        self.output = Sigmoid() if output is None else output

    # loss = mean over the batch of sum((probs - one_hot) ** 2)  =>  dprobs = 2 * (probs - one_hot) / B

    def forward(self, logits: Array, labels: Labels, out: Array | None = None) -> tuple[float, Array]:
        """Return the squared distance, averaged over the batch, and the outputs; (B, C), (B,) -> number, (B, C)."""
        probs = self.output.forward(logits, out)
        difference = probs.copy()
        difference[_rows(len(labels)), labels] -= 1
        return float(np.vdot(difference, difference)) / len(labels), probs

    def backward(self, probs: Array, labels: Labels, out: Array | None = None) -> Array:
        """Return dlogits (B, C): every output is pulled towards its target."""
        dprobs = np.multiply(probs, 2 / len(labels))
        dprobs[_rows(len(labels)), labels] -= 2 / len(labels)
        return self.output.backward(dprobs, probs, probs, out)


LOSSES: dict[str, dict[str, Callable[[], Loss]]] = {
    "cross_entropy": {"softmax": SoftmaxCrossEntropy, "sigmoid": SigmoidCrossEntropy},
    "mse": {
        "sigmoid": SquaredError,
        "softmax": lambda: SquaredError(Softmax()),
        "linear": lambda: SquaredError(Identity()),
    },
}
"""Each loss by the name that a configuration gives it, with each output of the network that it can compare."""
