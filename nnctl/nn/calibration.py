"""Calibrate probabilities by one temperature: a network that says 90 % should be right in nine of ten cases.

Source: Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nnctl.nn.arrays import Array, Labels

LOWEST, HIGHEST = 1 / 8, 8.0  # where all predictions are right, the best temperature would be 0
HALVINGS = 50  # of the range of 1 / T, which leave less of it than float64 can tell apart


def tempered(probs: Array, temperature: float) -> NDArray[np.float64]:
    """Make probabilities flatter (T above 1) or sharper (below): softmax(log(probs) / T); (..., C) -> (..., C)."""
    with np.errstate(over="ignore"):  # a temperature next to 0 leaves the largest alone
        scores = _scores(probs) / temperature
    exp: NDArray[np.float64] = np.exp(scores)  # at most 1, as the largest score is 0
    exp /= exp.sum(axis=-1, keepdims=True)
    return exp


def fit_temperature(probs: Array, labels: Labels) -> float:
    """The temperature, from 1/8 to 8, that makes the cross-entropy of `tempered` probabilities the lowest.

    Args:
        probs: (N, C) what a network predicts of images that it has not learned from.
        labels: (N,) the targets.
    """
    scores = _scores(probs)
    right = scores[np.arange(len(labels)), labels].mean()
    # L(b) = mean(log(sum(exp(b * s))) - b * s[label]), b = 1 / T
    # =>  dL = mean(sum(p * s) - s[label]), p = softmax(b * s), which only grows with b: halve where it changes its sign
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = (tempered(probs, 1 / middle) * scores).sum(axis=1).mean()
        low, high = (low, middle) if expected > right else (middle, high)
    return float(2 / (low + high))


def _scores(probs: Array) -> NDArray[np.float64]:
    """Logarithms of probabilities, shifted so that the largest is 0; a probability of 0 counts as the smallest."""
    scores = np.log(np.maximum(probs, np.finfo(np.float32).tiny, dtype=np.float64))
    scores -= scores.max(axis=-1, keepdims=True)
    shifted: NDArray[np.float64] = scores
    return shifted
