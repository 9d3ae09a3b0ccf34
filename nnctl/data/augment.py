"""Distort training images a little, anew each time they come by: a digit that is turned or bent is still that digit.

Each output pixel looks up where it comes from in the original, and takes the bilinear mean of the four pixels there.
Eight images share a displacement field. One byte of each, side by side, make one 64-bit number, so that one lookup
finds a pixel of all eight, and one multiplication weighs it in four of them.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nnctl.nn.arrays import Array

GROUP = 8  # images that share a field: the bytes of a 64-bit number
GROUPS = 8  # distorted at once: more would not fit the processor's nearest caches
PART = GROUP * GROUPS
BITS = 4
STEPS = 2**BITS  # positions are rounded to sixteenths of a pixel, so that the four weights are whole and sum to 256
COARSEST = 4  # pixels between the random numbers of an elastic field, so that even a very smooth one has 49
SIDE = 28
PIXELS = SIDE * SIDE

_EVEN = np.uint64(0x00FF00FF00FF00FF)  # every second byte: the others make room for products of two bytes
_BYTE = np.uint64(8)
_GROUP_NUMBERS = np.arange(GROUPS, dtype=np.int16)
_HALF = np.uint64(0x0080008000800080)  # half of 256 in each of them, to round


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How images may change: turned, stretched, slanted and moved (affine), bent (elastic), written with another pen.

    Attributes:
        rotation: degrees to either side, at most.
        scale: share by which width and height grow or shrink, at most and each for itself.
        shear: pixels of slant for each pixel of height, at most.
        shift: pixels in either direction, at most.
        alpha: root mean square of the elastic displacement, in pixels.
        sigma: how smooth that displacement is: the width of the Gaussian that smooths a random field, in pixels.
        pen: share of the grey levels, from 0 to below 0.5, that become black at most, and as many that become white.
            Strokes fade over a pixel or two: where more of that becomes black they get thinner, where more becomes
            white they get broader, and both make them less soft.
    """

    rotation: float
    scale: float
    shear: float
    shift: float
    alpha: float = 0.0
    sigma: float = 1.0
    pen: float = 0.0


class Augmenter:
    """Distorts batches, each group of GROUP images in its own way, in memory that is reused for every batch.

    The pen is another for each image.

    Args:
        augmentation: how much.
        batch_size: B, the most images that come at once.
        dtype: of the pixels that are returned.

    Attributes:
        rng: decides each way; whoever calls sets it first.
    """

    rng: np.random.Generator

    def __init__(self, augmentation: Augmentation, batch_size: int, dtype: DTypeLike = np.float32) -> None:
        self.augmentation = augmentation
        # a position on the lower or right edge looks, with weight 0, at a pixel beyond
        self._bytes = np.zeros((PIXELS + SIDE + 1, PART), np.uint8)
        self._pixels = self._bytes.view(np.uint64).ravel()  # of GROUPS groups, side by side
        self._small = np.empty((4, PIXELS, GROUPS), np.int16)  # reused, as fresh memory costs more than the arithmetic
        self._whole = np.empty((6, PIXELS, GROUPS), np.int64)
        self._packed = np.empty((4, PIXELS, GROUPS), np.uint64)
        self._x = np.zeros((PIXELS, batch_size), dtype)

    def distort(self, images: NDArray[np.uint8]) -> Array:
        """Distort images (B, 28, 28); return pixels (B, 784) from 0.0 to 1.0, which the next call overwrites."""
        for begin in range(0, len(images), PART):
            part = images[begin : begin + PART]
            count = len(part)
            np.copyto(self._bytes[:PIXELS, :count], part.reshape(count, PIXELS).T)
            blended = self._blend(source_positions(GROUPS, self.augmentation, self.rng))
            np.copyto(self._x[:, begin : begin + count], blended.view(np.uint8)[:, :count])
        self._x /= 255
        x = self._x[:, : len(images)]
        if self.augmentation.pen:
            self._change_pens(x)
        return x.T

    def _change_pens(self, x: Array) -> None:
        """Make strokes in (784, B) thinner or broader, and less soft."""
        black, white = self.augmentation.pen * self.rng.random((2, x.shape[1]), np.float32)
        x -= black
        x /= 1 - white - black
        x.clip(0, 1, out=x)

    def _blend(self, positions: NDArray[np.int16]) -> NDArray[np.uint64]:
        """The bilinear mean at positions (2, 784, G) in sixteenths, for all images of each group: (784, G)."""
        row, column = np.right_shift(positions, BITS, out=self._small[:2])
        fraction = np.bitwise_and(positions, STEPS - 1, out=self._small[2:])  # how far into the pixel
        index, up, down, left, right, weight = self._whole
        np.copyto(down, fraction[0])
        np.copyto(right, fraction[1])
        np.subtract(STEPS, down, out=up)
        np.subtract(STEPS, right, out=left)
        row *= SIDE
        row += column
        row *= GROUPS
        row += _GROUP_NUMBERS
        np.copyto(index, row)
        even, odd, found, product = self._packed
        even.fill(_HALF)
        odd.fill(_HALF)
        for step, by_row, by_column in ((0, up, left), (1, up, right), (SIDE - 1, down, left), (1, down, right)):
            index += step * GROUPS  # from one of the four pixels to the next
            np.take(self._pixels, index, out=found, mode="clip")
            np.multiply(by_row, by_column, out=weight)
            np.bitwise_and(found, _EVEN, out=product)
            product *= weight.view(np.uint64)
            even += product
            found >>= _BYTE
            found &= _EVEN
            found *= weight.view(np.uint64)
            odd += found
        even >>= _BYTE
        even &= _EVEN
        odd &= ~_EVEN
        even |= odd
        return even


def source_positions(groups: int, augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.int16]:
    """For each output pixel and group, the row and the column it comes from, in sixteenths of a pixel: (2, 784, G)."""
    angle, shear, scale_y, scale_x, shift_y, shift_x = rng.uniform(-1, 1, (6, groups))
    angle = np.radians(augmentation.rotation) * angle
    cos, sin, slant = np.cos(angle), np.sin(angle), augmentation.shear * shear
    grow_y, grow_x = 1 + augmentation.scale * scale_y, 1 + augmentation.scale * scale_x
    # turned, then slanted, then stretched, then moved; every position is a mix of y, x and 1
    of_row = grow_y * cos, -grow_y * sin, augmentation.shift * shift_y + (SIDE - 1) / 2
    of_column = (
        grow_x * (sin + slant * cos),
        grow_x * (cos - slant * sin),
        augmentation.shift * shift_x + (SIDE - 1) / 2,
    )
    positions: NDArray[np.float32] = np.matmul(_Y_X_1, np.array([of_row, of_column], np.float32))
    if augmentation.alpha:
        positions += elastic_fields(groups, augmentation, rng)
    positions *= STEPS
    positions += np.float32(0.5)  # for astype() cuts off what would be rounded
    # those beyond the edge are moved onto it
    return positions.clip(0, (SIDE - 1) * STEPS, out=positions).astype(np.int16)


# the coordinates of every pixel, from the middle of the image, and a one: (784, 3)
_Y_X_1 = np.column_stack([*(np.indices((SIDE, SIDE)).reshape(2, PIXELS) - (SIDE - 1) / 2), np.ones(PIXELS)]).astype(
    np.float32
)


def elastic_fields(groups: int, augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth random displacements along rows and along columns, (2, 784, G) in pixels.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", 2003: a random field, smoothed by a Gaussian of `sigma`, scaled to a root mean square of `alpha`.
    Here the random field has a number for each `sigma` pixels, where theirs has one for each pixel: the Gaussian leaves
    no trace of the difference.
    """
    gaussian = _gaussian(augmentation.sigma)
    count = gaussian.shape[1]
    noise = rng.random((2, count, count, groups), np.float32) - np.float32(0.5)
    along_rows = np.matmul(gaussian, noise).reshape(2, count, SIDE * groups)
    # rows of numbers as long as these, (2, 28, 28 * G), are added up and scaled several times as fast as short ones
    fields: NDArray[np.float32] = np.matmul(gaussian, along_rows)
    squares = np.square(fields).sum(axis=(0, 1)).reshape(SIDE, groups).sum(axis=0) / PIXELS
    fields *= np.tile(np.float32(augmentation.alpha) / np.sqrt(squares), SIDE)
    return fields.reshape(2, PIXELS, groups)


@functools.lru_cache(maxsize=1)
def _gaussian(sigma: float) -> NDArray[np.float32]:
    """How much of each of K random numbers, evenly spaced over the image, each row or column gets: (28, K)."""
    count = min(SIDE, math.ceil(SIDE / min(sigma, COARSEST)))
    points = (np.arange(count) + 0.5) * SIDE / count - 0.5  # beyond the edge is nothing
    distance = np.subtract.outer(np.arange(SIDE), points)
    weights: NDArray[np.float32] = np.exp(-((distance / sigma) ** 2) / 2).astype(np.float32)
    return weights
