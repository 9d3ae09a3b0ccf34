"""Draw pictures that are no digit, so that a network can learn to tell digits from everything else.

Letters, signs and things come from a table of pen strokes; the rest is made up: scribbles, several digits in one
picture, digits turned by a quarter or broken, blobs, and textures like those of a photograph. The pen is that of the
synthetic digits, and all pictures are framed like MNIST's digits, so that only the shape tells the two apart.

The same count and seed give the same bytes, in the sense in which this is true of the synthetic digits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from nnctl.data.skeletons import SIGNS, SKELETONS
from nnctl.data.synthetic import BOX, CHUNK, SIDE, Floats, Pen, centre, pen_for, pen_widths, render, warp

Images = NDArray[np.uint8]

# turned by a quarter, these are no digit; a 0 is one still, and 6 and 9 are close to one
TURNED = (1, 2, 3, 4, 5, 7, 8)
FEW = 25  # pictures that are made up alike: they share their digits, or their number of points


def draw_scrawls(count: int, seed: int) -> Images:
    """Draw `count` pictures of no digit, in random order: images (count, 28, 28), ink 255 on paper 0.

    The first images of a large drawing are not those of a small one.
    """
    rng = np.random.default_rng(seed)
    shares = np.array([share for _, share in FAMILIES])
    family = rng.choice(len(FAMILIES), size=count, p=shares / shares.sum())  # (N,)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for number, (draw, _) in enumerate(FAMILIES):
        indices = np.flatnonzero(family == number)
        images[indices] = draw(len(indices), rng)
    return images


def signs(count: int, rng: np.random.Generator) -> Images:
    """Letters, punctuation, and things that people draw."""
    choice = rng.integers(len(SIGNS), size=count)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for number in np.unique(choice):
        pen = pen_for(SIGNS[number].strokes)
        indices = np.flatnonzero(choice == number)
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            images[chunk] = _written(warp(pen.sample(len(chunk), rng), rng), pen.down, rng)
    return images


def scribbles(count: int, rng: np.random.Generator) -> Images:
    """Curves through random points: some go anywhere, some wander, some wave from one side to the other."""
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for part in _parts(count):
        n, knots = part.stop - part.start, int(rng.integers(6, 14))
        points, pen = rng.random((n, knots, 2)), _zigzag(knots, int(rng.integers(2, 3 * knots)))
        way = rng.integers(4, size=n)
        points[way == 1] = np.cumsum(points[way == 1] - 0.5, axis=1)
        for axis in (0, 1):
            points[way == 2 + axis, :, axis] = np.linspace(0, rng.uniform(1, 2), knots)
        images[part] = _written(pen.sample(n, rng, points), pen.down, rng)
    return images


def several(count: int, rng: np.random.Generator) -> Images:
    """Two or three digits in one picture, apart or touching, side by side or one below the other."""
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for part in _parts(count):
        n, axis = part.stop - part.start, int(rng.random() < 0.2)
        end, curves, down = np.zeros((n, 1)), [], np.empty(0, bool)
        for number in rng.integers(len(SKELETONS), size=2 + int(rng.random() < 0.3)):
            pen = pen_for(SKELETONS[number].strokes)
            curve = pen.sample(n, rng)
            begin = end + rng.uniform(-0.25, 0.4, (n, 1))  # below 0, slanted digits overlap in x and do not touch
            curve[..., axis] += begin - curve[..., axis].min(axis=1, keepdims=True)
            end = curve[..., axis].max(axis=1, keepdims=True)
            curves.append(curve)
            down = np.concatenate([down, pen.down, [False]])  # lifted before the next
        images[part] = _written(warp(np.concatenate(curves, axis=1), rng), down[:-1], rng)
    return images


def turned(count: int, rng: np.random.Generator) -> Images:
    """Digits turned by a quarter to either side, where that is no digit."""
    skeletons = [skeleton for skeleton in SKELETONS if skeleton.digit in TURNED]
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for part in _parts(count):
        n = part.stop - part.start
        pen = pen_for(skeletons[rng.integers(len(skeletons))].strokes)
        curves = warp(pen.sample(n, rng), rng)[..., ::-1] * (-1, 1)
        images[part] = _written(curves * rng.choice([-1, 1], (n, 1, 1)), pen.down, rng)
    return images


def pieces(count: int, rng: np.random.Generator) -> Images:
    """About half of the stroke of a 0, from anywhere, or of a 3, from its lower end."""
    skeletons = [skeleton for skeleton in SKELETONS if skeleton.digit in (0, 3)]
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for part in _parts(count):
        n, skeleton = part.stop - part.start, skeletons[rng.integers(len(skeletons))]
        pen = pen_for(skeleton.strokes)
        samples = len(pen.down) + 1
        half = round(samples * rng.uniform(0.5, 0.6))
        begin = samples - half if skeleton.digit == 3 else int(rng.integers(samples - half + 1))
        curves = warp(pen.sample(n, rng)[:, begin : begin + half], rng)
        images[part] = _written(curves, pen.down[begin : begin + half - 1], rng)
    return images


def blobs(count: int, rng: np.random.Generator) -> Images:
    """Strokes so broad that they run together: discs, patches, bars that lie."""
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for part in _parts(count):
        n, knots = part.stop - part.start, int(rng.integers(3, 7))
        points = rng.random((n, knots, 2)) * (1, rng.uniform(0.1, 1))
        pen = _zigzag(knots, knots)
        images[part] = centre(render(pen.sample(n, rng, points), pen.down, rng.uniform(3.3, 6.5, n), rng))
    return images


def textures(count: int, rng: np.random.Generator) -> Images:
    """Parts of photographs: smooth random fields, from slow gradients to noise, some cut off hard, some window."""
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for part in _parts(count):
        n, coarse = part.stop - part.start, int(rng.choice([2, 3, 4, 6, 9, 14, 20]))
        place = np.arange(BOX)[:, None] / (BOX - 1) * (coarse - 1)
        smooth = np.maximum(0, 1 - np.abs(place - np.arange(coarse)))  # (20, coarse) linear between the coarse points
        fields = smooth @ rng.normal(0, 1, (n, coarse, coarse)) @ smooth.T  # (n, 20, 20)
        fields += rng.normal(0, 0.1, (n, 1, 1)) * rng.normal(0, 1, fields.shape)
        paper = np.quantile(fields.reshape(n, -1), rng.uniform(0.2, 0.8), axis=1)[:, None, None]
        contrast = np.exp(rng.uniform(-1, 3, (n, 1, 1)))
        grey = np.clip(contrast * (fields - paper), 0, 1)
        images[part] = centre(255 * grey / grey.max(axis=(1, 2), keepdims=True))
    return images


FAMILIES: tuple[tuple[Callable[[int, np.random.Generator], Images], float], ...] = (
    (signs, 0.55),
    (scribbles, 0.12),
    (several, 0.12),
    (turned, 0.07),
    (pieces, 0.03),
    (blobs, 0.04),
    (textures, 0.07),
)
"""What draws, and its share of the pictures."""


def _written(curves: Floats, down: NDArray[np.bool_], rng: np.random.Generator) -> Images:
    return centre(render(curves, down, pen_widths(curves, rng), rng))


def _parts(count: int) -> Iterator[slice]:
    return (slice(begin, min(begin + FEW, count)) for begin in range(0, count, FEW))


@functools.cache
def _zigzag(knots: int, lift: int) -> Pen:
    """A pen through so many points, to be given new places; from `lift` on, if that is one of them, it begins anew."""
    names = [f"{60 * (knot % 2)},{knot}" for knot in range(knots)]
    strokes = [names[:lift], names[lift:]] if lift <= knots - 2 else [names]
    return Pen(" | ".join(" ".join(stroke) for stroke in strokes))
