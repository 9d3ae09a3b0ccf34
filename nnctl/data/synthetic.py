"""Draw handwritten-looking digits from stroke skeletons: a dataset for machines without a network.

A skeleton is a few pen strokes through points in a unit box. An image takes four steps:

    sample   move the skeleton's points a little, run curves through them, round or angular, let the curves wobble
    warp     change proportions, stretch, slant and turn the whole digit
    render   fit it into 20x20 pixels, aspect ratio kept, and lay a pen's ink around the curves
    centre   paste the 20x20 pixels into 28x28, the centre of mass in the middle

The last two are what MNIST did with its scanned digits (LeCun, Bottou, Bengio & Haffner, "Gradient-based
learning applied to document recognition", Proceedings of the IEEE, 1998): both datasets frame a digit alike.

The same count and seed give the same bytes, on every BLAS kernel and thread count too. Everything is computed in
float64 and rounded to grey levels once, at the end; another exp or matrix product may differ in the last bit, but
that changes a grey level only in the rare case that its value lies that close to a rounding border.
(NumPy reserves the right to change its normal and uniform streams between versions; it has been rare.)
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from nnctl.data.skeletons import SKELETONS

Floats = NDArray[np.float64]

SIDE = 28  # pixels: the image
BOX = 20  # pixels: the digit in it
CHUNK = 250  # images drawn together: few enough for their temporaries to stay in the processor's cache
DENSITY = 16  # samples of a curve per unit of length; times whole percents it never ends in .5, so it rounds safely
SOFTNESS = 0.7  # pixels: reach of one sample's ink; if well below the samples' spacing, strokes become beads
EDGE = 1.25  # pixels: from paper to full ink across a stroke's edge, which most often is as soft as MNIST's
ROUND = 3  # samples to either side: what a corner is smoothed over where the hand rounds it most


def draw(count: int, seed: int, *, evenly: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw `count` digits, each of the ten equally often (give or take one), in random order.

    Args:
        count: N.
        seed: the same one gives the same digits.
        evenly: whether every way to write a digit is as likely as any other; else each is as common as it is in life.

    Returns:
        images (count, 28, 28), ink 255 on paper 0, and labels (count,). The first images of a large drawing
        are not those of a small one.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 10).astype(np.uint8)  # (N,)
    taste = rng.random(count)  # (N,) decides between the skeletons of a digit
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for digit in range(10):
        skeletons = [skeleton for skeleton in SKELETONS if skeleton.digit == digit]
        shares = np.cumsum([1 if evenly else skeleton.weight for skeleton in skeletons])
        choice = np.searchsorted(shares[:-1] / shares[-1], taste)  # (N,)
        for number, skeleton in enumerate(skeletons):
            pen = pen_for(skeleton.strokes)
            indices = np.flatnonzero((labels == digit) & (choice == number))
            for start in range(0, len(indices), CHUNK):
                chunk = indices[start : start + CHUNK]
                curves = warp(pen.sample(len(chunk), rng), rng)
                images[chunk] = centre(render(curves, pen.down, pen_widths(curves, rng), rng))
    return images, labels


class Pen:
    """The curves through a skeleton's points, as one matrix: samples = curves @ points.

    Attributes:
        points: (K, 2) the skeleton's different points; strokes that share one stay joined when it moves.
        curves: (3, S, K) what each point adds to each sample: on a smooth curve through the points, on the straight
            lines between them, and on a curve that rounds all corners.
        down: (S-1,) whether the pen touches the paper between a sample and the next.
    """

    def __init__(self, strokes: str) -> None:
        paths = [stroke.split() for stroke in strokes.split("|")]
        names = list(dict.fromkeys(name for path in paths for name in path))
        self.points = np.array([name.split(",") for name in names], float) / 100
        select = dict(zip(names, np.eye(len(names)), strict=True))
        pieces = [_catmull_rom(np.array([select[name] for name in path]), self.points) for path in paths]
        smooth, straight = np.concatenate(pieces, axis=1)
        ends = np.cumsum([piece.shape[1] for piece in pieces])  # (strokes,) where in the samples each ends
        # a stroke that begins where the last one ended goes on with it, and their corner is rounded
        lifts = ends[[i for i, path in enumerate(paths[1:]) if path[0] != paths[i][-1]]]
        rounded = np.concatenate([_rounded(part) for part in np.split(smooth, lifts)])
        self.curves = np.stack([smooth, straight, rounded])
        self.down = np.ones(len(smooth) - 1, bool)
        self.down[lifts - 1] = False

    def sample(self, count: int, rng: np.random.Generator, points: Floats | None = None) -> Floats:
        """Write the skeleton `count` times, never twice alike: curves (N, S, 2) of x and y.

        Args:
            count: N.
            rng: decides each time.
            points: (N, K, 2) other places for the skeleton's points; None leaves them where they are.
        """
        noise = rng.normal(0, 1, (count, *self.points.shape)) * rng.uniform(0.015, 0.045, (count, 1, 1))
        points = (self.points if points is None else points) + noise  # (N, K, 2)
        ways = self.curves.reshape(-1, len(self.points)) @ points  # (N, 3 * S, 2)
        smooth, straight, rounded = ways.reshape(count, 3, -1, 2).swapaxes(0, 1)
        hand = rng.uniform(-1, 1, (count, 1, 1))  # rounded below zero, angular above, plain in the middle
        curves = smooth + np.clip(hand - 0.3, 0, 1) * (straight - smooth) + np.clip(-hand, 0, 1) * (rounded - smooth)
        # slow waves over the paper shift neighbouring strokes alike, which moving single points cannot do
        for _ in range(2):
            direction = rng.normal(0, 3, (count, 2, 1))
            phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
            curves += rng.normal(0, 0.05, (count, 1, 2)) * np.sin(curves @ direction + phase)
        return curves


@functools.cache
def pen_for(strokes: str) -> Pen:
    """The pen of these strokes, made only once."""
    return Pen(strokes)


def _catmull_rom(knots: Floats, points: Floats) -> Floats:
    """Sample the curve that passes each knot parallel to the line between the knot's neighbours.

    Args:
        knots: (M, K) which of the points the curve passes, one after the other, as rows of the identity.
        points: (K, 2) where they are, so that a longer way gets more samples.

    Returns:
        (2, S, K) what each point adds to each sample of the curve, and of the straight lines between the knots.

    Source: Catmull & Rom, "A class of local interpolating splines", 1974.
    """
    before, after = 2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1]  # neighbours for the two ends
    path = np.concatenate([before, knots, after])
    pieces = []
    for p0, p1, p2, p3 in zip(path[:-3], path[1:-2], path[2:-1], path[3:], strict=True):
        samples = 1 + round(DENSITY * float(np.linalg.norm((p2 - p1) @ points)))
        t = np.linspace(0, 1, samples, endpoint=False)[:, None]
        linear, square, cube = p2 - p0, 2 * p0 - 5 * p1 + 4 * p2 - p3, -p0 + 3 * p1 - 3 * p2 + p3
        smooth = p1 + (linear * t + square * t**2 + cube * t**3) / 2
        pieces.append(np.stack([smooth, p1 + (p2 - p1) * t]))
    return np.concatenate([*pieces, np.stack([knots[-1:]] * 2)], axis=1)


def _rounded(curve: Floats) -> Floats:
    """Average each sample of a curve (S, K) with its neighbours, fewer towards the ends, which stay where they are."""
    place = np.arange(len(curve))
    reach = np.minimum(ROUND, np.minimum(place, place[::-1]))
    near = np.abs(place - place[:, None]) <= reach[:, None]
    rounded: Floats = near @ curve / near.sum(axis=1, keepdims=True)
    return rounded


def warp(curves: Floats, rng: np.random.Generator) -> Floats:
    """Change the proportions of each digit of curves (N, S, 2); stretch, slant and turn it."""
    n = len(curves)
    # a bigger upper half or a bigger lower half, in height and in width
    x, y = curves[..., 0], curves[..., 1]
    x = (x - x.mean(axis=1, keepdims=True)) * (1 + rng.normal(0, 0.15, (n, 1)) * (y - 0.5))
    y = y + rng.normal(0, 0.05, (n, 1)) * np.sin(np.pi * y)
    width = np.exp(rng.normal(0, 0.2, n))
    slant = rng.normal(0.15, 0.25, n)
    angle = rng.normal(0, 0.13, n)
    cos, sin, one, zero = np.cos(angle), np.sin(angle), np.ones(n), np.zeros(n)
    # samples are rows (x, y), so matrices stand to their right; y grows downwards, so a slant to the right is -y
    shear = np.array([[width, zero], [-slant, one]]).transpose(2, 0, 1)  # (N, 2, 2)
    turn = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)  # (N, 2, 2)
    warped: Floats = np.stack([x, y], axis=2) @ (shear @ turn)
    return warped


def pen_widths(curves: Floats, rng: np.random.Generator) -> Floats:
    """Half the width of each pen in pixels (N,) for curves (N, S, 2): most are like MNIST's, a few thin or very broad.

    The longer the way, the finer the broadest pen: a 1 may be written with a brush, an 8 would become a blot.
    """
    step = np.diff(curves, axis=1)
    length = np.hypot(step[..., 0], step[..., 1]).sum(axis=1) / np.ptp(curves, axis=1).max(axis=1)  # (N,) in heights
    widths: Floats = np.clip(1.3 * np.exp(rng.normal(0, 0.33, len(curves))), 0.75, 3.3 / np.sqrt(length))
    return widths


def render(curves: Floats, down: NDArray[np.bool_], radius: Floats, rng: np.random.Generator) -> Floats:
    """Lay ink around curves (N, S, 2) with pens of half widths `radius` (N,): grey levels (N, 20, 20) from 0 to 255.

    The distance from a pixel to the nearest of all samples is found as a soft minimum: the sum of
    exp(-d^2 / 2 s^2) over the samples is about exp(-d^2 / 2 s^2) of the nearest stroke. As the exponential of
    dx^2 + dy^2 is a product of one in x and one in y, the sums for all pixels are one matrix product per image.
    """
    n = len(curves)
    radius = radius[:, None, None]
    edge = np.minimum(EDGE * np.exp(rng.normal(0, 0.3, (n, 1, 1))), 2 * radius)  # or no ink would be full
    low, high = curves.min(axis=1, keepdims=True), curves.max(axis=1, keepdims=True)
    scale = (BOX - 2 * radius) / (high - low).max(axis=2, keepdims=True)
    curves = (curves - (low + high) / 2) * scale + BOX / 2

    step = np.diff(curves, axis=1)  # (N, S-1, 2)
    square = step[..., 0] ** 2 + step[..., 1] ** 2  # (N, S-1)
    wave = np.linspace(0, 1, square.shape[1]) * rng.uniform(2, 8, (n, 1)) + rng.uniform(0, 2 * np.pi, (n, 1))
    # a broad nib writes thin lines along its edge: ink that is less by exp(-a) moves the stroke's edge inwards
    nib = rng.uniform(0, 2 * np.pi, (n, 1))
    along = (step @ np.stack([np.cos(nib), np.sin(nib)], axis=1))[..., 0] ** 2 / (square + 1e-12)  # 1: along the nib
    contrast = np.where(rng.random((n, 1)) < 0.3, (radius[:, 0] - 0.6) ** 2 / SOFTNESS**2, 0) * rng.random((n, 1)) / 2
    pressure = down * np.exp(0.25 * np.sin(wave) - contrast * along)  # (N, S-1)
    ink = pressure * np.sqrt(square) / (SOFTNESS * np.sqrt(2 * np.pi))  # sums to 1 on a long straight stroke
    middle = (curves[:, 1:] + curves[:, :-1]) / 2  # (N, S-1, 2)
    pixels = np.arange(BOX)[:, None] + 0.5  # (20, 1)
    near_x = np.exp(-(((pixels - middle[:, None, :, 0]) / SOFTNESS) ** 2) / 2)  # (N, 20, S-1)
    near_y = np.exp(-(((pixels - middle[:, None, :, 1]) / SOFTNESS) ** 2) / 2)
    near = (near_y * ink[:, None]) @ near_x.transpose(0, 2, 1)  # (N, 20, 20)
    distance = SOFTNESS * np.sqrt(-2 * np.log(np.clip(near, 1e-30, 1)))
    grey: Floats = 255 * np.clip(0.5 + (radius - distance) / edge, 0, 1)
    return grey


def centre(boxes: Floats) -> NDArray[np.uint8]:
    """Paste boxes (N, 20, 20) into images (N, 28, 28), moved by whole pixels: centre of mass to pixel (14, 14)."""
    place = np.arange(BOX)
    mass = np.maximum(boxes.sum(axis=(1, 2)), 1)  # a dot that a hand has squeezed may leave no ink at all
    top = SIDE / 2 - boxes.sum(axis=2) @ place / mass  # (N,)
    left = SIDE / 2 - boxes.sum(axis=1) @ place / mass
    top, left = (np.clip(np.rint(shift), 0, SIDE - BOX).astype(int)[:, None, None] for shift in (top, left))
    images = np.zeros((len(boxes), SIDE, SIDE), np.uint8)
    images[np.arange(len(boxes))[:, None, None], top + place[:, None], left + place] = np.rint(boxes)
    return images
