"""The few operations on grey pictures that finding a digit needs: resample, blur, widen, and tell shapes apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]


def resample(grey: Grey, height: int, width: int) -> Grey:
    """Scale (H, W) to (height, width): pixels are averaged by area where it shrinks, interpolated where it grows."""
    scaled = _weights(grey.shape[0], height) @ grey @ _weights(grey.shape[1], width).T
    return scaled.astype(np.float32, copy=False)


def _weights(old: int, new: int) -> Grey:
    """How much each of `old` pixels in a row gives to each of `new`: (new, old), every row sums to one."""
    step = old / new
    centre = (np.arange(new) + 0.5) * step - 0.5
    distance = np.abs(np.arange(old) - centre[:, None])
    # shrinking, the overlap of two boxes of widths step and 1; growing, the triangle of linear interpolation
    weights = ((max(step, 1) + 1) / 2 - distance).clip(0, 1)
    shares: Grey = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def box_blur(grey: Grey, radius: int) -> Grey:
    """Average each pixel with its neighbours at most `radius` rows and columns away."""
    width = 2 * radius + 1
    for _ in range(2):  # along rows, then along columns
        sums = np.cumsum(np.pad(grey, [(radius + 1, radius), (0, 0)], mode="edge"), axis=0, dtype=np.float64)
        grey = ((sums[width:] - sums[:-width]) / width).astype(np.float32).T
    return grey


def local_max(grey: Grey, radius: int) -> Grey:
    """Replace each pixel by the greatest at most `radius` rows and columns away."""
    for _ in range(2):
        reached = np.pad(grey, [(radius, radius), (0, 0)], mode="edge")
        have = 1
        while have < 2 * radius + 1:  # maxima of windows twice as long come from two windows
            step = min(have, 2 * radius + 1 - have)
            reached = np.maximum(reached[:-step], reached[step:])
            have += step
        grey = reached.T
    return grey


def local_min(grey: Grey, radius: int) -> Grey:
    """Replace each pixel by the least at most `radius` rows and columns away."""
    return -local_max(-grey, radius)


def widen(mask: Mask, radius: int) -> Mask:
    """Add all pixels at most `radius` rows and columns away."""
    return local_max(mask.astype(np.float32), radius) > 0


def local_median(grey: Grey, radius: int) -> Grey:
    """Replace each pixel by the median of its neighbourhood, of which every second row and column is looked at."""
    padded = np.pad(grey, radius, mode="edge")
    size = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[:, :, ::2, ::2]
    return np.median(windows.reshape(*grey.shape, -1), axis=2).astype(np.float32)


@dataclass(frozen=True)
class Shapes:
    """The N connected shapes of a mask: (N,) arrays, and (H, W) labels in which 0 is no shape and n + 1 shape n.

    Attributes:
        area: pixels.
        mass: ink.
        top, left, bottom, right: the bounding box, its last row and column excluded.
    """

    labels: NDArray[np.intp]
    area: NDArray[np.intp]
    mass: NDArray[np.float64]
    top: NDArray[np.intp]
    left: NDArray[np.intp]
    bottom: NDArray[np.intp]
    right: NDArray[np.intp]

    @property
    def level(self) -> NDArray[np.float64]:
        """The mean ink of each shape's pixels, (N,)."""
        return self.mass / self.area

    def mask(self, chosen: Mask) -> Mask:
        """The (H, W) pixels of the shapes chosen by an (N,) mask."""
        return np.concatenate([[False], chosen])[self.labels]


def find_shapes(mask: Mask, ink: Grey) -> Shapes:
    """Tell apart the shapes of a mask; pixels that touch at a corner are connected."""
    labels, count = _label(mask)
    y, x = np.nonzero(mask)
    shape = labels[y, x] - 1
    top, left = (np.full(count, side, np.intp) for side in mask.shape)
    bottom, right = np.zeros(count, np.intp), np.zeros(count, np.intp)
    np.minimum.at(top, shape, y)
    np.minimum.at(left, shape, x)
    np.maximum.at(bottom, shape, y + 1)
    np.maximum.at(right, shape, x + 1)
    area = np.bincount(shape, minlength=count)
    mass = np.bincount(shape, weights=ink[y, x], minlength=count).astype(np.float64, copy=False)
    return Shapes(labels, area, mass, top, left, bottom, right)


def _label(mask: Mask) -> tuple[NDArray[np.intp], int]:
    """Number the shapes of a mask from 1, by joining runs of pixels that touch runs of the row above."""
    height, width = mask.shape
    edges = np.diff(np.pad(mask.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    row, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    # along the whole picture, read with a gap of two pixels between rows, the runs are in order
    begins, ends = row * (width + 2) + start, row * (width + 2) + stop
    first = np.searchsorted(ends, begins - (width + 2))
    last = np.searchsorted(begins, ends - (width + 2), side="right")
    touching = np.maximum(last - first, 0)
    lower = np.repeat(np.arange(len(row)), touching)
    upper = np.arange(len(lower)) - np.repeat(np.cumsum(touching) - touching, touching) + np.repeat(first, touching)

    parent = np.arange(len(row))  # union-find, all pairs at once
    while (parent[lower] != parent[upper]).any():
        one, other = parent[lower], parent[upper]
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while (parent[parent] != parent).any():
            parent = parent[parent]
    roots, shape = np.unique(parent, return_inverse=True)
    labels = np.zeros((height, width), np.intp)
    labels[mask] = np.repeat(shape + 1, stop - start)
    return labels, len(roots)
