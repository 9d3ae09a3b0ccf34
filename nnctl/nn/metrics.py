"""Count how a classifier does: which classes it finds, which it takes for another."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nnctl.nn.arrays import Array, Labels


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a network predicted.

    Attributes:
        loss: the mean loss.
        probs: (N, C) the activation of each output for each image; with softmax its probability.
        labels: (N,) the targets.
    """

    loss: float
    probs: Array
    labels: Labels

    @property
    def predictions(self) -> NDArray[np.intp]:
        """(N,) the class of the largest output of each image."""
        predictions: NDArray[np.intp] = self.probs.argmax(axis=1)
        return predictions

    @property
    def errors(self) -> int:
        """How many predictions are wrong."""
        return int(np.count_nonzero(self.predictions != self.labels))

    @property
    def accuracy(self) -> float:
        """The share of right predictions, between 0 and 1."""
        return (len(self.labels) - self.errors) / len(self.labels)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(C, C) how often each target (row) met each prediction (column)."""
        return confusion_matrix(self.labels, self.predictions, self.probs.shape[1])

    @property
    def precision_recall_f1(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Precision, recall and F1 of each class, (C,) each."""
        return precision_recall_f1(self.confusion)

    def worst(self, count: int) -> NDArray[np.intp]:
        """Indices of the wrong predictions that gave the target the least, worst first; at most `count`."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        right_probs = self.probs[wrong, self.labels[wrong]]
        return wrong[np.argsort(right_probs, kind="stable")][:count]


def count_correct(probs: Array, labels: Labels) -> int:
    """How many of the largest outputs are those of the labels; (B, C), (B,) -> number."""
    return int(np.count_nonzero(probs.argmax(axis=1) == labels))


def confusion_matrix(labels: Labels, predictions: Labels, classes: int) -> NDArray[np.int64]:
    """Count each pair of target (row) and prediction (column); (N,), (N,) -> (C, C)."""
    pairs = labels.astype(np.int64) * classes + predictions
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(
    confusion: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For each class, three shares between 0 and 1; (C, C) -> (C,), (C,), (C,).

    Precision: of the images called so, how many are. Recall: of those that are, how many were called so.
    F1: their harmonic mean (van Rijsbergen, 1979). A share of nothing counts as 0.
    """
    hits = np.diag(confusion).astype(np.float64)
    precision = hits / np.maximum(confusion.sum(axis=0), 1)
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    f1 = 2 * hits / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)
    return precision, recall, f1
