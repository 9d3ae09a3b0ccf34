"""The losses: one number for how wrong the network is, and its gradient, where the backward pass begins.

Both average over the batch; this is the only division by B in a step.
"""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nnctl.nn import Array, Labels


class Loss(Protocol):
    """What every loss answers to."""

    def forward(self, logits: Array, labels: Labels, out: Array | None = None) -> tuple[float, Array]:
        """Return the mean loss of the batch and probs (B, C); `out` may be the memory of `logits`."""

    def backward(self, probs: Array, labels: Labels, out: Array | None = None) -> Array:
        """Return dlogits (B, C); `out` may be the memory of `probs`."""


@functools.lru_cache(maxsize=16)
def _rows(count: int) -> NDArray[np.intp]:
    """0 to count - 1; with the labels beside them they pick one entry of each row."""
    return np.arange(count)


class SoftmaxCrossEntropy:
    """Turn the scores into probabilities and measure how surprising the right answer was: -log(probability)."""

    # probs = exp(logits) / sum(exp(logits)),  loss = -mean(log(probs[label]))  =>  dlogits = (probs - one_hot) / B

    def forward(self, logits: Array, labels: Labels, out: Array | None = None) -> tuple[float, Array]:
        """Return the mean cross-entropy in nats and the softmax of the logits; (B, C), (B,) -> number, (B, C)."""
        # softmax is unchanged by a shift; shifting by the max keeps exp() finite
        shifted = np.subtract(logits, np.maximum.reduce(logits, axis=1, keepdims=True), out=out)
        score = shifted[_rows(len(labels)), labels]
        probs = np.exp(shifted, out=shifted)
        total = np.add.reduce(probs, axis=1, keepdims=True)
        probs /= total
        return float(np.log(total).sum() - score.sum()) / len(labels), probs

    def backward(self, probs: Array, labels: Labels, out: Array | None = None) -> Array:
        """Return dlogits (B, C): every wrong class is pushed down by its probability, the right one up."""
        dlogits = np.divide(probs, len(labels), out=out)
        dlogits[_rows(len(labels)), labels] -= 1 / len(labels)
        return dlogits


class MeanSquaredError:
    """Measure the distance between the ten outputs and the wanted ones: 1 for the right class, 0 for the others.

    The network that is trained with it ends in a sigmoid, so that its outputs are brightness between 0 and 1.
    """

    # loss = mean over the batch of sum((probs - one_hot) ** 2)  =>  dlogits = 2 * (probs - one_hot) / B

    def forward(self, logits: Array, labels: Labels, out: Array | None = None) -> tuple[float, Array]:
        """Return the squared distance, averaged over the batch, and the outputs; (B, C), (B,) -> number, (B, C)."""
        probs = np.positive(logits, out=out)
        difference = probs.copy()
        difference[_rows(len(labels)), labels] -= 1
        return float(np.vdot(difference, difference)) / len(labels), probs

    def backward(self, probs: Array, labels: Labels, out: Array | None = None) -> Array:
        """Return dlogits (B, C): every output is pulled towards its target."""
        dlogits = np.multiply(probs, 2 / len(labels), out=out)
        dlogits[_rows(len(labels)), labels] -= 2 / len(labels)
        return dlogits
