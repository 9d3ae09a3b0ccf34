"""Find the shapes that ink forms: strokes that belong together, without lines, frames, underlines and specks.

One threshold cannot serve a dark stroke and a faint one, and what touches the border may be a digit cropped closely
or something else. So each possibility is tried, and each shape that comes of it is handed on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nnctl.picture.raster import (
    Box,
    Components,
    Grey,
    Mask,
    bounds,
    box_blur,
    connected_components,
    dilate,
    grey_dilation,
    median,
    pen_width,
    ranked,
)

LEAST_INK = 6  # of 255: less is no ink
NOISE = 2.5  # times the spread of the ground: the strongest ink is more
# of the strongest ink: what is ink if all strokes are alike, and if some are faint; and how far-fetched each is.
# The second hardly is: what it adds is more often a faint stroke than a shadow.
LEVELS = {0.45: 0.0, 0.2: 0.1}
NEXT = sorted(LEVELS.values())[1]
"""Each possibility after the first is at least so far-fetched."""
ROUNDS = 3  # in which what touches the border is put out of sight, so that something fainter may show
MOST_SHAPES = 6  # of one round and level
SMALLEST = 0.1  # of the largest shape's ink: others are specks
LIKE = 0.6  # of a shape's ink for each pixel: another's that has as much is no shadow or print of its own
NOISE_CONTRAST = 0.4  # the noise of a sensor, paper and smears on a board have less
NOISE_GRAIN = 5  # times the grain of the ground: ink has more contrast
NOISE_SPECKS = 0.05  # of a shape's ink: paper and boards have fewer specks beside writing
LEAST_AREA = 12  # pixels
EDGE = 4  # pixels around a shape that may belong to its edge
STEEPEST = 50  # of so many pixels one lies on a sharpest edge
FULL = 0.8  # of a row, a column or a side: there is a line along it
STRAIGHT = 0.1  # of its length: a line that crosses the whole picture is no wider
CROPPED = 0.75  # of a 1's height: the width of a picture that is cropped to it is less
LEFT_OVER = 0.2  # of a shape that is not on such a line: the rest is printed lines alone
BESIDE = 0.35  # of the view: what lies along a border and reaches no farther inwards is the edge of something


@dataclasses.dataclass(frozen=True)
class Shape:
    """Strokes that may be a digit.

    Attributes:
        strokes: (H, W) in [0, 1], 1 where ink is, as large as the view; everything else is 0.
        box: the strokes' bounding box in the view.
        contrast: of its ink to the ground, from 0 to 1.
        grain: how much the ground's own tone varies, in the same measure.
        others: the ink of other shapes as dark, as a multiple of its own.
        specks: the same of what is too small for a shape.
        softness: how wide its sharpest edges are, from ground to ink, as a share of the longer side of its box.
    """

    strokes: Grey
    box: Box
    contrast: float
    grain: float
    others: float
    specks: float
    softness: float

    @functools.cached_property
    def pixels(self) -> Mask:
        """Which pixels of the view are ink."""
        return self.strokes > 0.5

    @property
    def noise(self) -> bool:
        """Whether it is what noise looks like: pale, and hardly more than the ground's grain, or among many specks."""
        is_noise = self.contrast < NOISE_GRAIN * self.grain or self.specks > NOISE_SPECKS
        return is_noise and self.contrast < NOISE_CONTRAST

    @classmethod
    def of(cls, ink: Grey, mask: Mask, noise: float, others: float, specks: float) -> Shape:
        """The shape that a mask of (H, W) cuts out of ink."""
        box, level = bounds(mask), float(ink[mask].mean())
        return cls(_strokes(ink, mask), box, level / 255, noise / 255, others, specks, _softness(ink, box, level))


def find_shapes(ink: Grey) -> Iterator[tuple[float, list[Shape]]]:
    """The shapes in a view of ink (H, W), from 0 to 255, for one possibility after the other.

    Yields:
        how far-fetched the possibility is, from 0, and its shapes, that with the most ink first; no shape where there
        are printed lines alone, or the edge of a table.
    """
    quiet, usual = ranked(ink, ink.size // 8, ink.size // 2)
    ink, noise = ink - quiet, 1.5 * (usual - quiet)  # more of a picture than an eighth is ground
    free = np.ones(ink.shape, bool)
    for turn in range(ROUNDS):
        strongest = _strongest(ink[free])
        if strongest < max(LEAST_INK, NOISE * noise):
            return
        aside = None
        for level, doubt in LEVELS.items():
            threshold = min(max(level * strongest, 2 * noise), 0.7 * strongest)
            components = connected_components((ink > threshold) & free, ink).largest(100)
            foreign = _rings(components) | _rules(components)
            if aside is None:
                aside = components.mask(foreign | components.cut_off)
            grouped = list(_grouped(components, foreign))
            if grouped or foreign.any():
                yield turn + doubt, [Shape.of(ink, group.mask, noise, group.others, group.specks) for group in grouped]
            if marked := [group for group in grouped if group.mask.sum() < group.marked.sum()]:
                shapes = [Shape.of(ink, group.marked, noise, group.others, group.specks) for group in marked]
                yield turn + doubt + 1, shapes
        if aside is None or not aside.any():
            return
        free &= ~dilate(aside, 4)


def _strongest(ink: Grey) -> float:
    """The mean of the strongest thousandth of the pixels: no single speck, yet less than the finest digit."""
    count = min(max(10, ink.size // 1000), ink.size)
    return float(np.partition(ink, -count)[-count:].mean()) if count else 0.0


def _softness(ink: Grey, box: Box, level: float) -> float:
    """The width of edges between ink of this level and the ground, as a share of the longer side of a shape's box."""
    top, left, bottom, right = box
    shape = np.pad(ink, EDGE, mode="edge")[top : bottom + 2 * EDGE, left : right + 2 * EDGE]
    slopes: Grey = np.hypot(np.diff(shape, axis=0)[:, 1:], np.diff(shape, axis=1)[1:])
    (steep,) = ranked(slopes, -slopes.size // STEEPEST)
    return level / max(steep, 1) / max(bottom - top, right - left)


def _strokes(ink: Grey, mask: Mask) -> Grey:
    """Scale ink so that strokes are 1 whether dark or faint, and their edges are where ink is half as strong."""
    reach = max(2, round(0.6 * pen_width(mask)))
    where = around(mask, 2 * reach + 2)  # as far as a stroke has effect
    near, there = ink[where], mask[where]
    beside = 0.9 * box_blur(grey_dilation(np.where(there, near, 0), reach), reach)
    level = np.maximum(beside, 0.2 * median(near[there]))
    strokes = np.zeros_like(ink)
    strokes[where] = np.where(dilate(there, 2), (2 * near / level - 0.5).clip(0, 1), 0)
    return strokes


def around(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The rows and columns of a mask's bounding box, and so many more to each side."""
    top, left, bottom, right = bounds(mask)
    return slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)


class _Group(NamedTuple):
    """Components that form a shape."""

    mask: Mask  # its pixels without marks that do not belong to it, such as an underline
    marked: Mask  # with them
    others: float  # the ink of other shapes as dark, as a multiple of its own
    specks: float  # the same of what is too small for a shape


def _grouped(components: Components, foreign: Mask) -> Iterator[_Group]:
    """Group components into shapes, that with the most ink first."""
    mass = np.where(foreign, 0, components.mass)
    used = foreign.copy()
    largest = np.argsort(-mass, kind="stable")[: 2 * MOST_SHAPES]
    for main in largest:
        if used[main] or mass[main] < SMALLEST * mass[largest[0]]:
            continue
        parts = _parts(components, int(main), foreign | (components.cut_off & ~components.cut_off[main]))
        like = (components.level > LIKE * components.level[main]) & ~parts
        large = mass > SMALLEST * mass[main]
        others, specks = (float(mass[like & those].sum() / mass[parts].sum()) for those in (large, ~large))
        used |= parts
        mask = components.mask(_without_marks(components, parts, int(main)))
        if mask.sum() >= LEAST_AREA:
            yield _Group(mask, components.mask(parts), others, specks)


def _parts(components: Components, main: int, foreign: Mask) -> Mask:
    """Which belong to the main one's shape: near it, like the bar of a 5, not beside it like a second digit."""
    height = components.height
    size = max(height[main], components.width[main])
    parts: Mask = np.arange(len(height)) == main
    possible = ~foreign & (components.mass > 0.02 * components.mass[main])
    for _ in range(4):  # a broken stroke may be a chain of parts
        aside = np.maximum(
            components.left - components.right[parts].max(), components.left[parts].min() - components.right
        )
        above = np.maximum(
            components.top - components.bottom[parts].max(), components.top[parts].min() - components.bottom
        )
        beside = (aside > 0.06 * size) & (height > 0.5 * height[main])
        parts |= possible & (np.maximum(aside, above) < 0.25 * size) & ~beside
    return parts


def _without_marks(components: Components, parts: Mask, main: int) -> Mask:
    """Leave out lines under a digit, which no digit has as a separate part, and a dot behind it."""
    size = max(components.height[main], components.width[main])
    kept = parts.copy()
    for n in sorted(np.flatnonzero(parts), key=lambda n: -int(components.bottom[n])):  # the lower of two lines first
        others = kept & (np.arange(len(kept)) != n)
        if not others.any():
            break
        width = components.right[others].max() - components.left[others].min()
        middle = (components.top[n] + components.bottom[n]) / 2
        flat = components.height[n] < 0.35 * components.width[n]
        under = flat and middle > components.bottom[others].max() - 0.05 * size and components.width[n] > 0.35 * width
        small = max(components.height[n], components.width[n]) < 0.2 * size
        kept[n] = not (under or (small and components.left[n] >= components.right[others].max() - 1))
    return kept


def _rings(components: Components) -> Mask:
    """Which are boxes or circles drawn around another: their ink lies along the sides of their bounding box."""
    rings = np.zeros(len(components.mass), bool)
    for n in np.argsort(-components.mass, kind="stable")[:MOST_SHAPES]:
        top, left, bottom, right = components.top[n], components.left[n], components.bottom[n], components.right[n]
        within = (
            (components.top > top)
            & (components.left > left)
            & (components.bottom < bottom)
            & (components.right < right)
            & (components.height > 0.35 * (bottom - top))
        )
        if within.any():
            y, x = (bottom - top) * 3 // 20, (right - left) * 3 // 20
            middle = components.labels[top + y : bottom - y, left + x : right - x] == n + 1
            rings[n] = middle.sum() < 0.15 * components.area[n]
    return rings


def _rules(components: Components) -> Mask:
    """Which are printed lines, from one border to the other, or the edge of a table along a border."""
    height, width = components.labels.shape
    across = (components.left == 0) & (components.right == width)
    down = (components.top == 0) & (components.bottom == height)
    # a digit's stroke, too, may reach from border to border, but then the picture was cropped to it on all sides
    rules: Mask = down & (components.width < STRAIGHT * height) & (width > CROPPED * height)
    rules |= across & (components.height < STRAIGHT * width) & (height > CROPPED * width)
    for n in np.flatnonzero((across | down) & ~rules):
        mask = components.labels == n + 1
        lines = np.maximum(mask.mean(axis=1, keepdims=True), mask.mean(axis=0, keepdims=True)) > FULL
        beside = (components.height[n] if across[n] else components.width[n]) < BESIDE * max(height, width)
        along = max(side.mean() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])) > FULL
        rules[n] = (mask & ~lines).sum() < LEFT_OVER * components.area[n] or (beside and along)
    return rules
