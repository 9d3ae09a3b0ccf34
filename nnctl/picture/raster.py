"""The few operations on grey pictures that finding a digit needs: resample, blur, dilate, label, measure."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # top, left, bottom, right; the last row and column excluded
Picture = TypeVar("Picture", Grey, Mask)


def resample(grey: Grey, height: int, width: int) -> Grey:
    """Scale (H, W) to (height, width): pixels are averaged by area where it shrinks, interpolated where it grows."""
    return _resample_rows(_resample_rows(grey, height).T, width).T


def scaled(grey: Grey, longest: int) -> Grey:
    """Scale so that the longer side has this many pixels, the aspect ratio kept."""
    height, width = grey.shape
    scale = longest / max(height, width)
    return resample(grey, max(1, round(height * scale)), max(1, round(width * scale)))


def _resample_rows(grey: Grey, new: int) -> Grey:
    """Scale the rows, (H, W) to (new, W)."""
    old, width = grey.shape
    whole = max(1, old // new)
    if whole > 1:  # so many rows are averaged first, without a matrix product
        blocks = np.pad(grey, [(0, -old % whole), (0, 0)], mode="edge").reshape(-1, whole, width)
        grey = blocks.sum(axis=1) / np.float32(whole)
    return (_weights(len(grey), old / whole, new) @ grey).astype(np.float32, copy=False)


def _weights(count: int, old: float, new: int) -> Grey:
    """How much each of `count` pixels, which cover a length of `old`, gives to each of `new`: every row sums to one."""
    step = old / new
    centre = (np.arange(new) + 0.5) * step - 0.5
    distance = np.abs(np.arange(count) - centre[:, None])
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


def grey_dilation(grey: Grey, radius: int) -> Grey:
    """Replace each pixel by the brightest at most `radius` rows and columns away."""
    for _ in range(2):
        reached = np.pad(grey, [(radius, radius), (0, 0)], mode="edge")
        have = 1
        while have < 2 * radius + 1:  # maxima of windows twice as long come from two windows
            step = min(have, 2 * radius + 1 - have)
            reached = np.maximum(reached[:-step], reached[step:])
            have += step
        grey = reached.T
    return grey


def grey_erosion(grey: Grey, radius: int) -> Grey:
    """Replace each pixel by the darkest at most `radius` rows and columns away."""
    return -grey_dilation(-grey, radius)


def dilate(mask: Mask, radius: int) -> Mask:
    """Add all pixels at most `radius` rows and columns away."""
    return grey_dilation(mask.astype(np.float32), radius) > 0


def local_median(grey: Grey, radius: int) -> Grey:
    """Replace each pixel by the median of its neighbourhood, of which every second row and column is looked at."""
    padded = np.pad(grey, radius, mode="edge")
    size = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[:, :, ::2, ::2]
    middle = (size + 1) ** 2 // 8
    medians: Grey = np.partition(windows.reshape(*grey.shape, -1), middle, axis=2)[..., middle]
    return medians


def part(grey: Grey, scale: float, box: Box) -> Grey:
    """What lies in a box, which is given in a view of the picture that is this many times smaller."""
    top, left, bottom, right = (max(0, round(scale * side)) for side in box)
    return grey[top:bottom, left:right]


def median(values: Grey) -> float:
    """The middle of the values, of which there is one at least: `numpy.median` would import much first."""
    return ranked(values, values.size // 2)[0]


def ranked(values: Grey, *ranks: int) -> tuple[float, ...]:
    """The values that stand at these places from the smallest; a place below 0 counts from the largest."""
    ordered = np.partition(values, ranks, axis=None)
    return tuple(float(ordered[rank]) for rank in ranks)


def border(picture: Picture) -> Picture:
    """The outermost pixels, side after side."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def bounds(mask: Mask) -> Box:
    """The bounding box of a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def smallest_rectangle(mask: Mask) -> tuple[float, float]:
    """The sides of the smallest rectangle, upright or tilted, around a mask that is not empty."""
    y, x = np.nonzero(mask)
    turn = np.radians(np.arange(0, 90, 3))[:, None]
    across = np.ptp(x * np.cos(turn) + y * np.sin(turn), axis=1) + 1
    along = np.ptp(y * np.cos(turn) - x * np.sin(turn), axis=1) + 1
    best = (across * along).argmin()
    return float(along[best]), float(across[best])


def pen_width(mask: Mask) -> float:
    """A stroke is as wide as twice its area by its perimeter; Crofton's formula measures that in four directions."""
    inside = np.pad(mask, 1)
    straight = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
    diagonal = (inside[1:, 1:] != inside[:-1, :-1]).sum() + (inside[1:, :-1] != inside[:-1, 1:]).sum()
    return float(2 * inside.sum() / (np.pi / 8 * (straight + diagonal / np.sqrt(2))))


def centre_of_mass(pixels: Grey) -> tuple[float, float]:
    """Row and column, in pixels."""
    rows, columns = pixels.sum(axis=1), pixels.sum(axis=0)
    return (float(rows @ np.arange(len(rows)) / rows.sum()), float(columns @ np.arange(len(columns)) / columns.sum()))


def between(mask: Mask) -> Mask:
    """In each column, every pixel from the first of the mask to the last."""
    filled: Mask = np.logical_or.accumulate(mask) & np.logical_or.accumulate(mask[::-1])[::-1]
    return filled


@dataclasses.dataclass(frozen=True)
class Components:
    """The N connected components of a mask: (N,) arrays, and (H, W) labels, 0 outside and n + 1 in component n.

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
    def height(self) -> NDArray[np.intp]:
        """Of the bounding boxes, (N,)."""
        return self.bottom - self.top

    @property
    def width(self) -> NDArray[np.intp]:
        """Of the bounding boxes, (N,)."""
        return self.right - self.left

    @property
    def level(self) -> NDArray[np.float64]:
        """The mean ink of each component's pixels, (N,)."""
        return self.mass / self.area

    @property
    def cut_off(self) -> Mask:
        """Which touch the border of the picture, (N,)."""
        height, width = self.labels.shape
        cut: Mask = (self.top == 0) | (self.left == 0) | (self.bottom == height) | (self.right == width)
        return cut

    def largest(self, count: int) -> Components:
        """Only those with the most ink; a texture has thousands."""
        if len(self.mass) <= count:
            return self
        chosen = np.sort(np.argsort(-self.mass, kind="stable")[:count])
        renumbered = np.zeros(len(self.mass) + 1, np.intp)
        renumbered[chosen + 1] = np.arange(1, count + 1)
        measures = (getattr(self, field.name)[chosen] for field in dataclasses.fields(self)[1:])
        return Components(renumbered[self.labels], *measures)

    def mask(self, chosen: Mask) -> Mask:
        """The (H, W) pixels of the components chosen by an (N,) mask."""
        return np.concatenate([[False], chosen])[self.labels]


def connected_components(mask: Mask, ink: Grey) -> Components:
    """Tell apart the connected components of a mask; pixels that touch at a corner are connected."""
    labels, count = _label(mask)
    y, x = np.nonzero(mask)
    component = labels[y, x] - 1
    top, left = (np.full(count, side, np.intp) for side in mask.shape)
    bottom, right = np.zeros(count, np.intp), np.zeros(count, np.intp)
    np.minimum.at(top, component, y)
    np.minimum.at(left, component, x)
    np.maximum.at(bottom, component, y + 1)
    np.maximum.at(right, component, x + 1)
    area = np.bincount(component, minlength=count)
    mass = np.bincount(component, weights=ink[y, x], minlength=count).astype(np.float64, copy=False)
    return Components(labels, area, mass, top, left, bottom, right)


def _label(mask: Mask) -> tuple[NDArray[np.intp], int]:
    """Number the components of a mask from 1, by joining runs of pixels that touch runs of the row above."""
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
    roots, component = np.unique(parent, return_inverse=True)
    labels = np.zeros((height, width), np.intp)
    labels[mask] = np.repeat(component + 1, stop - start)
    return labels, len(roots)
