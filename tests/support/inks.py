"""What a hand has written, drawn with any pen at any size: strokes, MNIST's pixels, or several of them side by side.

A test tool. Everything drawn is a (H, W) share of ink in [0, 1], cropped to the ink.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tests.support.hands import Points, draw_digit
from tests.support.photographs import with_pen

Share = NDArray[np.float32]  # (H, W), in [0, 1]

LOOPS = {0: 1, 6: 1, 8: 2, 9: 1}  # that a digit has when no pen has filled them
FINE = 4  # strokes are drawn this many times larger, then reduced


class Ink(Protocol):
    """Something written that can be drawn."""

    def drawn(self, size: int, pen: float, rng: np.random.Generator, *, uneven: float = 0, hard: bool = False) -> Share:
        """Draw it.

        Args:
            size: pixels of the longer side, about.
            pen: pixels of a stroke's width.
            rng: decides where an uneven pen presses.
            uneven: how much fainter and thinner a stroke may be than another, or in one of its parts; 0 to 1.
            hard: whether every pixel is ink or paper and nothing between, as with a paint program's plain brush.
        """
        ...


@dataclass(frozen=True)
class Strokes:
    """Strokes of `hands.py`."""

    points: list[Points]

    def drawn(self, size: int, pen: float, rng: np.random.Generator, *, uneven: float = 0, hard: bool = False) -> Share:
        fine = 1 if hard else FINE
        pen = max(pen, 1)
        scale, margin = max(size - pen, 1) * fine, int(pen * fine) + fine + 1
        width, height = (int(side * scale) + 2 * margin for side in np.concatenate(self.points).max(axis=0))
        ink = np.zeros((-(-height // fine), -(-width // fine)), np.float32)
        for points in self.points:
            level = 1 - rng.uniform(0, uneven)
            stroke = Image.new("L", (ink.shape[1] * fine, ink.shape[0] * fine))
            _draw_line(stroke, points * scale + margin, pen * fine * (1 - 0.5 * uneven * rng.random()), uneven, rng)
            stroke = stroke.reduce(fine)
            ink = np.maximum(ink, np.asarray(stroke, np.float32) * np.float32(level / 255))
        return _cropped(ink * _pressure(ink, uneven, rng))


@dataclass(frozen=True)
class Pixels:
    """The (28, 28) pixels of a digit of MNIST."""

    image: NDArray[np.uint8]

    def drawn(self, size: int, pen: float, rng: np.random.Generator, *, uneven: float = 0, hard: bool = False) -> Share:
        # MNIST's digits are 20 pixels long; a thinner pen shows how coarse they are, a broader one fills their loops
        picture = with_pen(self.image, min(max(20 * pen / size, 0.9), 2.8))
        picture = picture.filter(ImageFilter.GaussianBlur(3)).point(lambda level: 4 * level - 360)
        picture = picture.crop(picture.getbbox())
        scale = size / max(picture.size)
        sides = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        ink = np.asarray(
            picture.resize(sides, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC), np.float32
        )
        ink = np.where(ink > 100, 1, 0).astype(np.float32) if hard else ink / np.float32(255)
        return _cropped(ink * _pressure(ink, uneven, rng))


@dataclass(frozen=True)
class Row:
    """Several in a row, as one writes a number, or in a column."""

    inks: Sequence[Ink]
    gap: float  # as a part of their height; below 0 they overlap
    down: bool = False

    def drawn(self, size: int, pen: float, rng: np.random.Generator, *, uneven: float = 0, hard: bool = False) -> Share:
        each = max(size * 2 // (1 + len(self.inks)), 8)
        shapes = [ink.drawn(each, pen, rng, uneven=uneven, hard=hard) for ink in self.inks]
        shapes = [shape.T for shape in shapes] if self.down else shapes
        gap = round(self.gap * each)
        row = np.zeros((max(len(s) for s in shapes), sum(s.shape[1] + abs(gap) for s in shapes)), np.float32)
        left = 0
        for shape in shapes:
            top = int(rng.integers(0, len(row) - len(shape) + 1))
            part = row[top : top + len(shape), left : left + shape.shape[1]]
            np.maximum(part, shape, out=part)
            left = max(left + shape.shape[1] + gap, 0)
        return _cropped(row.T if self.down else row)


@dataclass(frozen=True)
class Nothing:
    """A blank sheet."""

    def drawn(self, size: int, *_: object, **__: object) -> Share:
        return np.zeros((size, size), np.float32)


def someones(image: NDArray[np.uint8], label: int, rng: np.random.Generator) -> Ink:
    """A digit: MNIST's in half of all cases, else one drawn by a hand that MNIST does not know.

    A digit of MNIST whose loops have run full is drawn anew: with another pen, nobody could read it.
    """
    if rng.random() < 0.5 and _holes(image) >= LOOPS.get(label, 0):
        return Pixels(image)
    return Strokes(draw_digit(label, rng))


def _holes(image: NDArray[np.uint8]) -> int:
    """How many grounds a digit of one piece encloses: the Euler number of the ground around it."""
    ground = np.pad(image, 1) < 90
    upright, level = ground[1:] & ground[:-1], ground[:, 1:] & ground[:, :-1]
    return int(ground.sum() - upright.sum() - level.sum() + (upright[:, 1:] & upright[:, :-1]).sum())


def _draw_line(picture: Image.Image, points: Points, pen: float, uneven: float, rng: np.random.Generator) -> None:
    """Draw a line with round ends, its width changing along it if the pen is uneven."""
    pencil = ImageDraw.Draw(picture)
    if pen < 1.5:
        pencil.line([(x, y) for x, y in points], fill=255, width=1)
        return
    wave = np.sin(np.linspace(0, rng.uniform(2, 9), len(points)) + rng.uniform(0, 6))
    radii = np.maximum(pen / 2 * (1 - 0.4 * uneven * (1 + wave) / 2), 0.5)
    for (x, y), (beyond, below), radius in zip(points[:-1], points[1:], radii, strict=False):
        pencil.line([(x, y), (beyond, below)], fill=255, width=round(2 * radius))
        pencil.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    (x, y), radius = points[-1], radii[-1]
    pencil.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)


def _pressure(ink: Share, uneven: float, rng: np.random.Generator) -> Share:
    """How much of the ink reaches the paper at each pixel: slow changes, as of a hand that presses unevenly."""
    if not uneven:
        return np.ones_like(ink)
    height, width = ink.shape
    coarse = Image.fromarray(rng.random((4, 4), np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    reaching: Share = 1 - np.float32(uneven) * np.asarray(coarse, np.float32).clip(0, 1)
    return reaching


def _cropped(ink: Share) -> Share:
    """Cut off the rows and columns without ink."""
    rows, columns = np.flatnonzero((ink > 0.02).any(axis=1)), np.flatnonzero((ink > 0.02).any(axis=0))
    if len(rows) == 0:
        return ink
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
