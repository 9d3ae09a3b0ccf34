"""Deform training images a little, anew each time they come by: a digit that is turned or bent is still that digit.

Each output pixel looks up where it comes from in the original, and takes the bilinear mean of the four pixels
there. Bilinear lookup is linear in the pixels, so images that share a displacement field are deformed together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from nnctl.nn import Array, Labels

GROUP = 8  # images that share a field; enough to pay for it, too few to be alike


@dataclasses.dataclass(frozen=True)
class Deformation:
    """How much images may be deformed.

    Attributes:
        rotation: degrees to either side, at most.
        scale: share by which width and height grow or shrink, at most and each for itself.
        shear: pixels of slant for each pixel of height, at most.
        shift: pixels in either direction, at most.
        alpha: root mean square of the elastic displacement, in pixels.
        sigma: how smooth that displacement is: the width of the Gaussian that smooths a random field, in pixels.
    """

    rotation: float
    scale: float
    shear: float
    shift: float
    alpha: float = 0.0
    sigma: float = 1.0


def deformed(
    batches: Iterable[tuple[Array, Labels]], deformation: Deformation, rng: np.random.Generator
) -> Iterator[tuple[Array, Labels]]:
    """Deform each batch as it comes by, in its own memory."""
    for x, labels in batches:
        deform(x, deformation, rng)
        yield x, labels


def deform(x: Array, deformation: Deformation, rng: np.random.Generator) -> None:
    """Deform a batch of images (B, H, W) in place, each group of GROUP in a way of its own."""
    count, height, width = x.shape
    groups = -(-count // GROUP)
    rows, columns = source_positions(groups, height, width, deformation, rng)  # (G, H * W) each
    top = np.minimum(rows.astype(np.intp), height - 2)
    left = np.minimum(columns.astype(np.intp), width - 2)
    down, right = (rows - top).astype(x.dtype), (columns - left).astype(x.dtype)  # how far into the pixel, 0 to 1
    first = top * width + left  # of the four pixels around each position
    for group in range(groups):
        images = x[group * GROUP : (group + 1) * GROUP].reshape(-1, height * width)
        pixels = np.ascontiguousarray(images.T)  # (H * W, <= GROUP): a pixel of all images is one piece of memory
        d, r = down[group, :, None], right[group, :, None]
        above = (1 - r) * pixels[first[group]] + r * pixels[first[group] + 1]
        below = (1 - r) * pixels[first[group] + width] + r * pixels[first[group] + width + 1]
        images[:] = ((1 - d) * above + d * below).T


def source_positions(
    groups: int, height: int, width: int, deformation: Deformation, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each group and output pixel, the row and column it comes from: two arrays (G, H * W), inside the image."""
    angle, shear, *scales_and_shifts = rng.uniform(-1, 1, (6, groups))
    scale_y, scale_x, shift_y, shift_x = scales_and_shifts
    angle = np.radians(deformation.rotation) * angle
    cos, sin = np.cos(angle), np.sin(angle)
    slant = deformation.shear * shear
    grow_y, grow_x = 1 + deformation.scale * scale_y, 1 + deformation.scale * scale_x

    y, x = (np.indices((height, width)).reshape(2, 1, -1) - np.array([[[height - 1]], [[width - 1]]]) / 2).astype(float)
    turned_y, turned_x = _column(cos) * y - _column(sin) * x, _column(sin) * y + _column(cos) * x
    rows = _column(grow_y) * turned_y + _column(deformation.shift * shift_y) + (height - 1) / 2
    columns = _column(grow_x) * (turned_x + _column(slant) * turned_y)
    columns += _column(deformation.shift * shift_x) + (width - 1) / 2
    if deformation.alpha:
        bend_y, bend_x = elastic_fields(groups, height, width, deformation, rng)
        rows += bend_y
        columns += bend_x
    return rows.clip(0, height - 1), columns.clip(0, width - 1)


def elastic_fields(
    groups: int, height: int, width: int, deformation: Deformation, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Smooth random displacements along rows and along columns, (2, G, H * W) in pixels.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", 2003: a random field, smoothed by a Gaussian of `sigma`, scaled to a root mean square of `alpha`.
    """
    noise = rng.uniform(-1, 1, (2, groups, height, width))
    fields = (_gaussian(height, deformation.sigma) @ noise @ _gaussian(width, deformation.sigma)).reshape(2, groups, -1)
    rms = np.sqrt(np.mean(fields**2, axis=(0, 2)) * 2)  # of the length of the displacement, (G,)
    scaled: NDArray[np.float64] = fields * (deformation.alpha / rms)[:, None]
    return scaled


def _gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """The (size, size) matrix that smooths a row by a Gaussian; beyond the edge there is nothing."""
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    kernel: NDArray[np.float64] = np.exp(-((distance / sigma) ** 2) / 2)
    return kernel


def _column(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(G,) -> (G, 1)."""
    return values[:, None]
