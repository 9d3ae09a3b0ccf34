"""Count how a classifier does: which classes it finds, which it takes for another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nnctl.nn import Labels


def confusion_matrix(labels: Labels, predictions: Labels, classes: int) -> NDArray[np.int64]:
    """Count each pair of right answer (row) and prediction (column); (N,), (N,) -> (C, C)."""
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
