"""Draw the synthetic digits of version 1, as nnctl 0.1.0 drew them: old runs were begun with these.

This is `nnctl/data/synthetic.py` of then, which explains each step. Never mend it: its point is to give the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIDE = 28
BOX = 20
CHUNK = 250
DENSITY = 24
SOFTNESS = 0.7
EDGE = 1.25


class Skeleton(NamedTuple):
    digit: int
    weight: float
    strokes: str


SKELETONS = (
    Skeleton(0, 4, "42,0 6,22 4,76 38,100 72,78 74,22 40,0"),
    Skeleton(0, 2, "62,12 36,2 6,30 6,76 36,100 70,76 74,34 58,6 34,8"),
    Skeleton(0, 1, "30,8 8,36 2,72 22,98 52,92 74,58 74,20 54,0 34,4 24,14"),
    Skeleton(0, 2, "26,0 4,26 4,76 24,100 45,72 46,24 24,0"),
    Skeleton(0, 1, "60,14 44,0 18,10 2,46 10,86 38,100 66,80 74,40 62,10 44,6 38,18"),
    Skeleton(1, 8, "20,0 20,50 20,100"),
    Skeleton(1, 1, "0,24 14,14 28,0 | 28,0 27,50 26,100"),
    Skeleton(1, 1, "2,22 18,14 32,0 | 32,0 32,50 32,100 | 2,100 32,100 62,100"),
    Skeleton(2, 4, "4,20 20,3 48,0 66,16 60,42 34,74 4,98 | 4,98 26,96 50,98 78,98"),
    Skeleton(2, 3, "4,22 22,4 50,2 64,20 56,50 34,82 12,96 2,86 16,76 40,86 62,96 86,88"),
    Skeleton(2, 2, "0,8 22,0 50,4 60,22 44,52 22,78 2,100 | 2,100 24,92 52,92 84,98"),
    Skeleton(2, 3, "20,14 44,0 64,12 58,38 34,70 10,92 0,80 20,68 44,78 70,90 100,80"),
    Skeleton(2, 3, "0,14 24,0 52,6 62,28 50,60 26,90 6,94 0,78 20,70 46,82 72,96"),
    Skeleton(2, 1, "10,18 26,0 44,10 42,40 26,76 4,98 | 4,98 30,94 56,98"),
    Skeleton(3, 4, "4,12 24,0 52,4 58,22 44,40 20,48 | 20,48 48,50 64,68 54,92 28,100 0,90"),
    Skeleton(3, 3, "4,10 28,0 54,10 54,30 30,46 26,50 50,54 66,72 54,94 26,100 0,88"),
    Skeleton(3, 1, "2,4 30,2 58,2 | 58,2 42,22 24,42 | 24,42 50,46 64,66 54,92 26,100 0,90"),
    Skeleton(3, 2, "10,10 28,0 44,8 40,26 22,38 | 22,38 50,40 66,64 54,92 24,100 0,88"),
    Skeleton(3, 2, "0,10 30,0 60,10 52,34 30,46 54,54 60,78 36,98 0,98"),
    Skeleton(4, 4, "12,0 6,22 0,46 | 0,46 24,50 48,48 72,44 | 66,0 62,33 57,67 52,100"),
    Skeleton(4, 3, "14,4 2,30 8,50 34,52 58,36 | 72,0 66,30 58,64 50,100"),
    Skeleton(4, 1, "56,0 34,28 0,60 | 0,60 26,62 54,60 82,58 | 56,0 56,33 54,67 54,100"),
    Skeleton(4, 2, "10,0 4,20 0,42 | 0,42 30,46 62,42 100,36 | 60,2 54,34 46,66 40,100"),
    Skeleton(4, 1, "34,0 16,18 0,44 | 0,44 22,46 46,42 62,38 | 62,6 58,36 52,68 48,100"),
    Skeleton(5, 3, "18,2 14,22 8,44 | 8,44 32,38 58,52 60,78 36,98 0,92 | 18,2 44,3 74,0"),
    Skeleton(5, 3, "76,2 48,4 24,10 | 24,10 18,28 16,40 40,50 56,68 46,92 22,100 0,92"),
    Skeleton(5, 2, "70,4 44,0 20,12 16,32 38,48 56,68 46,92 18,100 0,88"),
    Skeleton(5, 3, "30,10 22,28 14,48 | 14,48 36,42 54,56 50,80 28,98 0,94 | 30,10 60,6 100,0"),
    Skeleton(5, 3, "16,0 12,18 10,38 | 10,38 36,32 62,44 72,68 50,96 18,100 0,84 | 16,0 40,2 64,0"),
    Skeleton(6, 4, "46,0 24,20 6,48 2,78 22,100 48,92 58,70 40,54 18,64 6,84"),
    Skeleton(6, 2, "30,0 14,26 4,56 4,82 22,100 50,94 60,72 44,58 22,66 8,84"),
    Skeleton(6, 2, "60,0 30,16 6,48 4,82 28,100 56,84 50,60 26,58 6,78"),
    Skeleton(6, 2, "70,0 44,22 18,50 4,80 22,100 46,90 48,70 28,62 10,78"),
    Skeleton(6, 2, "8,0 4,34 2,70 18,98 44,94 52,72 34,60 8,76"),
    Skeleton(6, 2, "30,0 10,30 0,64 14,96 42,98 62,74 50,56 30,64 22,86"),
    Skeleton(7, 4, "0,8 22,6 44,4 66,2 | 66,2 54,30 40,62 28,100"),
    Skeleton(7, 2, "0,18 4,4 26,6 48,4 64,8 60,30 44,64 34,100"),
    Skeleton(7, 2, "0,6 22,6 44,4 66,2 | 66,2 52,30 38,62 28,100 | 14,54 36,50 60,48"),
    Skeleton(7, 2, "2,28 0,4 | 0,4 24,6 48,4 70,2 | 70,2 60,30 48,62 40,100"),
    Skeleton(7, 1, "0,4 20,4 46,2 | 46,2 44,30 40,64 36,100"),
    Skeleton(8, 4, "56,12 36,0 10,10 12,32 36,50 54,70 46,94 22,100 4,84 14,62 38,44 58,24 56,10"),
    Skeleton(8, 2, "62,4 34,0 8,14 14,36 40,54 50,78 36,98 12,96 6,76 24,54 48,32 66,10"),
    Skeleton(8, 1, "32,46 10,34 10,12 32,0 54,12 54,34 32,46 | 32,46 6,60 4,86 30,100 58,88 58,60 32,46"),
    Skeleton(8, 2, "44,6 28,0 14,12 22,34 40,58 46,84 26,100 6,86 14,62 30,38 44,18 44,4"),
    Skeleton(8, 2, "60,14 40,4 14,8 10,28 32,46 46,66 38,92 16,100 4,84 18,62 42,36 72,0"),
    Skeleton(9, 4, "56,12 34,0 8,14 4,38 24,48 46,34 56,12 | 56,12 56,40 52,70 46,100"),
    Skeleton(9, 3, "50,8 28,4 6,22 10,44 34,44 52,22 56,6 52,40 44,70 36,100"),
    Skeleton(9, 2, "56,14 34,0 8,14 6,38 28,48 52,34 58,18 58,52 50,84 28,100 4,92"),
    Skeleton(9, 2, "52,4 26,4 4,24 10,46 36,44 58,24 | 62,2 58,34 50,68 42,100"),
    Skeleton(9, 2, "40,6 14,8 2,30 18,42 40,26 46,6 | 46,6 40,38 28,70 14,100"),
    Skeleton(9, 2, "60,4 40,2 18,20 14,38 34,40 52,22 | 56,8 44,40 26,72 6,100"),
    Skeleton(9, 2, "56,22 36,0 6,24 2,52 26,64 50,46 60,10 | 60,10 60,40 60,70 60,100"),
)


def draw(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (count, 28, 28) and labels (count,)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 10).astype(np.uint8)  # (N,)
    taste = rng.random(count)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for digit in range(10):
        skeletons = [skeleton for skeleton in SKELETONS if skeleton.digit == digit]
        shares = np.cumsum([skeleton.weight for skeleton in skeletons])
        choice = np.searchsorted(shares[:-1] / shares[-1], taste)  # (N,)
        for number, skeleton in enumerate(skeletons):
            pen = Pen(skeleton)
            indices = np.flatnonzero((labels == digit) & (choice == number))
            for start in range(0, len(indices), CHUNK):
                chunk = indices[start : start + CHUNK]
                curves = _warp(pen.sample(len(chunk), rng), rng)
                images[chunk] = _centre(_render(curves, pen.down, rng))
    return images, labels


class Pen:
    """The smooth curves through a skeleton's points, as one matrix: samples = curve @ points."""

    def __init__(self, skeleton: Skeleton) -> None:
        strokes = [stroke.split() for stroke in skeleton.strokes.split("|")]
        names = list(dict.fromkeys(name for stroke in strokes for name in stroke))
        self.points = np.array([name.split(",") for name in names], float) / 100
        select = dict(zip(names, np.eye(len(names)), strict=True))
        curves = [_catmull_rom(np.array([select[name] for name in stroke]), self.points) for stroke in strokes]
        self.curve = np.concatenate(curves)
        self.down = np.ones(len(self.curve) - 1, bool)
        self.down[np.cumsum([len(curve) for curve in curves[:-1]], dtype=int) - 1] = False

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        curves = self.curve @ (self.points + rng.normal(0, 0.03, (count, *self.points.shape)))
        for _ in range(2):
            direction = rng.normal(0, 3, (count, 2, 1))
            phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
            curves += rng.normal(0, 0.05, (count, 1, 2)) * np.sin(curves @ direction + phase)
        return curves


def _catmull_rom(knots: Floats, points: Floats) -> Floats:
    before, after = 2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1]
    path = np.concatenate([before, knots, after])
    pieces = []
    for p0, p1, p2, p3 in zip(path[:-3], path[1:-2], path[2:-1], path[3:], strict=True):
        samples = 1 + round(DENSITY * float(np.linalg.norm((p2 - p1) @ points)))
        t = np.linspace(0, 1, samples, endpoint=False)[:, None]
        linear, square, cube = p2 - p0, 2 * p0 - 5 * p1 + 4 * p2 - p3, -p0 + 3 * p1 - 3 * p2 + p3
        pieces.append(p1 + (linear * t + square * t**2 + cube * t**3) / 2)
    return np.concatenate([*pieces, knots[-1:]])


def _warp(curves: Floats, rng: np.random.Generator) -> Floats:
    n = len(curves)
    width = np.exp(rng.normal(0, 0.18, n))
    slant = rng.normal(0.15, 0.22, n)
    angle = rng.normal(0, 0.15, n)
    cos, sin, one, zero = np.cos(angle), np.sin(angle), np.ones(n), np.zeros(n)
    shear = np.array([[width, zero], [-slant, one]]).transpose(2, 0, 1)  # (N, 2, 2)
    turn = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)  # (N, 2, 2)
    warped: Floats = curves @ (shear @ turn)
    return warped


def _render(curves: Floats, down: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    n = len(curves)
    radius = np.clip(rng.normal(1.3, 0.4, (n, 1, 1)), 0.9, 3)
    low, high = curves.min(axis=1, keepdims=True), curves.max(axis=1, keepdims=True)
    scale = (BOX - 2 * radius) / (high - low).max(axis=2, keepdims=True)
    curves = (curves - (low + high) / 2) * scale + BOX / 2

    length = np.linalg.norm(np.diff(curves, axis=1), axis=2)  # (N, S-1)
    wave = np.linspace(0, 1, length.shape[1]) * rng.uniform(2, 8, (n, 1)) + rng.uniform(0, 2 * np.pi, (n, 1))
    pressure = down * np.exp(0.25 * np.sin(wave))  # (N, S-1)
    ink = pressure * length / (SOFTNESS * np.sqrt(2 * np.pi))
    middle = (curves[:, 1:] + curves[:, :-1]) / 2  # (N, S-1, 2)
    pixels = np.arange(BOX)[:, None] + 0.5  # (20, 1)
    near_x = np.exp(-(((pixels - middle[:, None, :, 0]) / SOFTNESS) ** 2) / 2)  # (N, 20, S-1)
    near_y = np.exp(-(((pixels - middle[:, None, :, 1]) / SOFTNESS) ** 2) / 2)
    near = (near_y * ink[:, None]) @ near_x.transpose(0, 2, 1)  # (N, 20, 20)
    distance = SOFTNESS * np.sqrt(-2 * np.log(np.clip(near, 1e-30, 1)))
    grey: Floats = 255 * np.clip(0.5 + (radius - distance) / EDGE, 0, 1)
    return grey


def _centre(boxes: Floats) -> NDArray[np.uint8]:
    place = np.arange(BOX)
    mass = boxes.sum(axis=(1, 2))
    top = SIDE / 2 - boxes.sum(axis=2) @ place / mass  # (N,)
    left = SIDE / 2 - boxes.sum(axis=1) @ place / mass
    top, left = (np.clip(np.rint(shift), 0, SIDE - BOX).astype(int)[:, None, None] for shift in (top, left))
    images = np.zeros((len(boxes), SIDE, SIDE), np.uint8)
    images[np.arange(len(boxes))[:, None, None], top + place[:, None], left + place] = np.rint(boxes)
    return images
