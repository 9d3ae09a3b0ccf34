"""Find every shape in a grey picture that may be the digit, and make an MNIST digit of each."""

from __future__ import annotations

import dataclasses
import functools
import heapq
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from nnctl.errors import ImageError
from nnctl.picture.ground import Corner, Ground, grounds, sheets
from nnctl.picture.raster import (
    Box,
    Grey,
    bounds,
    dilate,
    median,
    part,
    pen_width,
    scaled,
)
from nnctl.picture.sample import as_sample, framed
from nnctl.picture.shapes import Shape, around, find_shapes

LARGEST = 1280  # pixels a side of a picture: more show no more
VIEW = 240  # pixels a side in which shapes are looked for
SMALL = 0.4  # of that side: a smaller shape is looked at again, closely
CLEAR = 0.3  # of a shape's ink: if others have more, the picture holds several
SAME = 0.9  # of the pixels of two shapes are the same: they are one
LEAST_CONTRAST = 0.02  # of ink: less is none
CLEAR_OF_GRAIN = 6  # times the grain of the paper: ink has more contrast
BUSY = 0.06  # grain that no sheet of paper has
FLAT = 2.5  # times as wide as high: no digit
BLURRED = 0.13  # of a digit's longer side: an edge as wide as that joins strokes, or hides them
NEAR, FAR = 2, 5  # pixels of a view: what lies around a shape, beyond its blurred edge
RIM = 0.15  # of that: if more is as dark as the shape, it is the edge of something broader
PATCH = 0.4  # of a digit's longer side: no pen is so broad

CROP = "crop it to one handwritten digit"
"""The hint where a picture shows something else beside a digit, or instead of one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A shape in a picture that may be the digit.

    Attributes:
        pixels: (28, 28) the way MNIST's digits look, ink bright.
        box: top, left, bottom, right: where it lies, in pixels of the picture as it came, upright.
        contrast: between ink and ground, from 0 to 1.
        grain: how much the ground's own tone varies, in the same measure.
        others: the ink of other shapes as dark, as a multiple of its own.
        noise: whether it is what noise looks like.
        rim: whether it is but the edge of something broader that is as dark, such as a blot or a shadow.
        softness: how wide its sharpest edges are, as a share of its longer side.
    """

    pixels: NDArray[np.uint8]
    box: Box
    contrast: float
    grain: float
    others: float
    noise: bool
    rim: bool
    softness: float

    @property
    def blurred(self) -> bool:
        """Whether it is too blurred for its strokes to be told from each other."""
        return self.softness > BLURRED

    @property
    def faint(self) -> bool:
        """Whether it may as well be the grain of the paper."""
        return self.contrast < LEAST_CONTRAST or (self.grain < BUSY and self.contrast < CLEAR_OF_GRAIN * self.grain)

    @property
    def shapeless(self) -> bool:
        """Whether it is a flat line, a patch broader than any pen's stroke, or the edge of one."""
        if self.rim:
            return True
        ink = self.pixels > 127
        top, left, bottom, right = bounds(ink)
        height, width = bottom - top, right - left
        return width > FLAT * height or pen_width(ink) > PATCH * max(height, width)


@dataclasses.dataclass(frozen=True, eq=False)
class Attempt:
    """The shapes that come of taking certain things for ink, and for parts of one shape.

    Attributes:
        candidates: the shapes, that with the most ink first; none if there are lines or edges alone.
        doubt: how far-fetched the attempt is, from 0.
    """

    candidates: tuple[Candidate, ...]
    doubt: float


@dataclasses.dataclass(frozen=True, eq=False)
class Hypothesis:
    """What may be the ground in a picture.

    Attributes:
        doubt: how far-fetched it is, from 0; no attempt is less so, and each after the first is so by NEXT more.
        attempts: looks for shapes on that ground, attempt after attempt.
    """

    doubt: int
    attempts: Callable[[], Iterator[Attempt]]


def find_digit(grey: Grey) -> NDArray[np.uint8]:
    """Turn a picture of one digit, (H, W) in [0, 255], into (28, 28) pixels the way MNIST's digits look, ink bright.

    A picture that already is such a digit, or its negative, comes back with the same pixels.

    Raises:
        ImageError: the page is blank, or holds several shapes, or a line or a patch.
    """
    sample = as_sample(grey)
    if sample is not None:
        return sample
    hypotheses = itertools.takewhile(lambda hypothesis: hypothesis.doubt < 2, find_hypotheses(grey))
    shown, lines = [], False
    for attempt in (attempt for hypothesis in hypotheses for attempt in hypothesis.attempts()):
        if attempt.candidates:
            shown.append(attempt)
        lines |= not attempt.candidates
        if len(shown) == 2:
            break
    inked = [attempt for attempt in shown if not attempt.candidates[0].faint]
    if not inked:
        raise lines_alone() if lines else blank()
    formed = [attempt for attempt in inked if not attempt.candidates[0].shapeless]
    if not formed:
        raise ImageError("the picture holds a line or a patch, not a digit", CROP)
    for attempt in formed:
        if attempt.candidates[0].others <= CLEAR:
            return attempt.candidates[0].pixels
    raise ImageError(several(len(formed[0].candidates)), CROP)


def blank() -> ImageError:
    """The error for a page without ink."""
    return ImageError("the page is blank", "write larger or darker, or take the picture in better light")


def lines_alone() -> ImageError:
    """The error for a page with printed lines, or the edge of a table or a shadow, and nothing else."""
    what = "there are lines or edges, but no digit on the page"
    return ImageError(what, "write larger or darker, or crop it to the digit")


def several(count: int) -> str:
    """What to say of so many shapes that may each be the digit, or more: some are seen only as ink beside another."""
    return f"the picture holds {max(2, count)} separate shapes, not one digit"


def find_hypotheses(grey: Grey, size: tuple[int, int] | None = None) -> Iterator[Hypothesis]:
    """What may be ground, and so what may be the digit, in a picture, the most plausible first.

    On a blank page no attempt finds anything. A picture that already looks as MNIST's digits do, or its negative,
    is its own only candidate.

    Args:
        grey: (H, W) in [0, 255].
        size: height and width of the picture as it came; None if it is as large as this.
    """
    sample = as_sample(grey)
    if sample is not None:
        whole = Candidate(
            sample, (0, 0, *grey.shape), contrast=1, grain=0, others=0, noise=False, rim=False, softness=0
        )
        yield Hypothesis(0, lambda: iter([Attempt((whole,), 0)]))
        return
    height, width = size or grey.shape
    scale = height / grey.shape[0], width / grey.shape[1]
    views = [_View(sheet, corner, scale).hypotheses(n) for n, (sheet, corner) in enumerate(sheets(grey))]
    yield from heapq.merge(*views, key=lambda hypothesis: hypothesis.doubt)


class _View:
    """A sheet as it is looked at.

    Args:
        sheet: (H, W) shades of grey.
        corner: row and column of its upper left pixel in the grey picture.
        scale: rows and columns of the picture as it came for each one of these.
    """

    def __init__(self, sheet: Grey, corner: Corner, scale: tuple[float, float]) -> None:
        self._sheet, self._corner, self._scale = sheet, corner, scale
        self._view = scaled(sheet, VIEW)
        self._seen: list[Shape] = []

    def hypotheses(self, doubt: int) -> Iterator[Hypothesis]:
        """What may be its ground, the first of which is as doubtful as is given."""
        for number, ground in enumerate(grounds(self._sheet, self._view), start=doubt):
            yield Hypothesis(number, functools.partial(self._attempts, ground, number))

    def _attempts(self, ground: Ground, doubt: int) -> Iterator[Attempt]:
        """The attempts, each with those of its shapes that no earlier one has found; left out if it has none new."""
        for more, shapes in find_shapes(ground.ink(self._view)):
            new = [shape for shape in shapes if not any(_same(shape, other) for other in self._seen)]
            self._seen += new
            if new or not shapes:
                yield Attempt(tuple(self._candidate(shape, ground) for shape in new), doubt + more)

    def _candidate(self, shape: Shape, ground: Ground) -> Candidate:
        """The shape as a digit of 28x28 pixels."""
        top, left, bottom, right = shape.box
        box = self._place(0, top), self._place(1, left), self._place(0, bottom), self._place(1, right)
        closer = self._closer(shape, ground)
        return Candidate(
            framed(closer.strokes),
            box,
            contrast=shape.contrast,
            grain=shape.grain,
            others=shape.others,
            noise=shape.noise,
            rim=_is_rim(shape, self._view, ground),
            softness=closer.softness,
        )

    def _place(self, axis: int, position: int) -> int:
        """Which row or column of the picture as it came lies at one of the view."""
        on_sheet: float = position * self._sheet.shape[axis] / self._view.shape[axis]
        return round((self._corner[axis] + on_sheet) * self._scale[axis])

    def _closer(self, shape: Shape, ground: Ground) -> Shape:
        """The same shape in a view of its own, if it is small in that of the sheet, and no noise."""
        top, left, bottom, right = shape.box
        size = max(bottom - top, right - left)
        if size >= SMALL * VIEW or shape.noise:
            return shape
        margin, scale = round(0.6 * size), max(self._sheet.shape) / VIEW
        enlarged = part(self._sheet, scale, (top - margin, left - margin, bottom + margin, right + margin))
        if not enlarged.size:
            return shape
        return next((shapes[0] for _, shapes in find_shapes(ground.ink(scaled(enlarged, VIEW))) if shapes), shape)


def _is_rim(shape: Shape, view: Grey, ground: Ground) -> bool:
    """Whether much of what lies around a shape is as dark as the shape; around a stroke, the ground is brighter."""
    near = around(shape.pixels, FAR + 1)
    strokes, grey = shape.pixels[near], view[near] if ground.dark else 255 - view[near]
    beside = dilate(strokes, FAR) & ~dilate(strokes, NEAR)
    return bool((grey[beside] <= median(grey[strokes])).sum() > RIM * beside.sum())


def _same(one: Shape, other: Shape) -> bool:
    return bool((one.pixels & other.pixels).sum() > SAME * (one.pixels | other.pixels).sum())
