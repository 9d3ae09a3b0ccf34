"""Make an MNIST digit of a grey picture: find the ink, keep one digit, scale it into 20x20, centre it by mass.

How the digit is drawn in the end is how MNIST was made: LeCun, Bottou, Bengio and Haffner,
"Gradient-based learning applied to document recognition" (1998), section III.A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nnctl.data.raster import (
    Grey,
    Mask,
    Shapes,
    box_blur,
    find_shapes,
    local_max,
    local_median,
    local_min,
    resample,
    widen,
)
from nnctl.errors import ImageError

SIDE = 28  # pixels of a digit
BOX = 20  # its longer side, without the margin
LARGEST = 320  # pixels a side of the picture in which ink is looked for
WIDEST_PEN = 0.3  # of that side: whatever is wider belongs to the ground
DARKEST_SHADOW = 0.5  # of the light on the paper
LEAST_INK = 6  # of 255: less is no ink
STROKE = 0.45  # of the darkest ink; printed lines are fainter
PAPER_NOISE = 8  # standard deviations by which ink must stand out from paper
PEN = 2.2  # pixels of MNIST: few of its strokes are thinner
FINE = 5  # pixels for each of these while strokes are thickened


def find_digit(grey: Grey) -> NDArray[np.uint8]:
    """Turn a picture of one digit, (H, W) in [0, 255], into (28, 28) pixels the way MNIST's digits look, ink bright.

    A picture that already is such a digit, or its negative, comes back with the same pixels.

    Raises:
        ImageError: the page is blank, or holds something else than one digit.
    """
    sample = _as_sample(grey)
    if sample is not None:
        return sample
    scale = LARGEST / max(grey.shape)
    picture = resample(grey, *(max(1, round(side * scale)) for side in grey.shape))
    strokes = _cropped(_one_digit(_ink(picture)))
    height, width = strokes.shape
    if width > 2.5 * height or _pen_width(strokes) > 0.4 * max(height, width):
        raise ImageError("the picture holds a line or a patch, not a digit", "crop it to one handwritten digit")
    return _centred(_with_broad_pen(strokes))


def _as_sample(grey: Grey) -> NDArray[np.uint8] | None:
    """The pixels as they are if all that is true of MNIST's 70,000 images is true of them or of their negative."""
    if grey.shape != (SIDE, SIDE):
        return None
    for pixels in (grey, 255 - grey):
        rows, columns = np.nonzero(pixels)
        if pixels.max() < 254 or len(rows) == 0:
            continue
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        if longest in (BOX - 1, BOX) and np.abs(np.array(_centre_of_mass(pixels)) - SIDE / 2).max() < 0.6:
            return np.rint(pixels).astype(np.uint8)
    return None


def _ink(grey: Grey) -> Grey:
    """How much each pixel differs from the paper beside it: 0 is paper, 255 the blackest ink; light is evened out."""
    smooth = box_blur(grey, 1)
    if not _ink_is_dark(smooth):
        smooth = 255 - smooth
    height, width = smooth.shape
    half = resample(smooth, -(-height // 2), -(-width // 2))
    paper = box_blur(_paper(half), 6)
    ink = 255 * (1 - smooth / np.maximum(resample(paper, height, width), 1)).clip(0, 1)
    ink -= np.partition(ink, ink.size // 8, axis=None)[ink.size // 8]  # more of a picture than an eighth is paper
    return ink


def _ink_is_dark(grey: Grey) -> bool:
    """Whether strokes are darker than their ground.

    A stroke differs from most of its surroundings, which the hole of a 0 does not, and is narrow,
    which the edge of a table is not.
    """
    scale = 32 / max(grey.shape)
    small = resample(grey, *(max(1, round(side * scale)) for side in grey.shape))
    usual = local_median(small, 8)
    dark = np.minimum(usual - small, _paper(small) - small).clip(0)
    bright = np.minimum(small - usual, small - 255 + _paper(255 - small)).clip(0)
    return bool((dark**3).sum() >= (bright**3).sum())


def _paper(grey: Grey) -> Grey:
    """The picture without its dark strokes: a closing, which keeps gradients of light and the edges of shadows."""
    radius = max(1, round(WIDEST_PEN / 2 * max(grey.shape)))
    margin = 2 * radius
    # beyond the border a shadow or a table goes on, but a stroke of a digit that was cropped closely does not
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    wider = np.maximum(np.pad(grey, margin, mode="edge"), DARKEST_SHADOW * np.median(border))
    wider[margin:-margin, margin:-margin] = grey
    return local_min(local_max(wider, radius), radius)[margin:-margin, margin:-margin]


def _one_digit(ink: Grey) -> Grey:
    """The strokes of the only digit, in [0, 1]; everything else, such as specks, printed lines and frames, is 0.

    Raises:
        ImageError: there is no ink, or more than one digit's.
    """
    free = np.ones(ink.shape, bool)
    for _ in range(3):  # with a frame or the edge of a table out of sight, fainter ink may show
        darkest = _darkest(ink[free])
        if darkest < LEAST_INK:
            raise _blank()
        shapes = find_shapes((ink > STROKE * darkest) & free, ink)
        noise = ink[free & ~widen(shapes.labels > 0, 3)].std()
        main = int(shapes.mass.argmax())
        foreign = _cut_off(shapes) | _frames(shapes)
        readable = ~foreign & (shapes.level > PAPER_NOISE * noise) & (shapes.mass > 0.1 * shapes.mass[main])
        if not foreign[main] or not readable.any():
            break
        free &= ~widen(shapes.mask(foreign), 6)
    if shapes.level[main] < PAPER_NOISE * noise:
        raise _blank()
    if foreign[main]:  # a digit that fills the whole picture
        foreign[:] = False
    parts = _parts(shapes, main, foreign)
    same_ink = (shapes.mass > 0.15 * shapes.mass[main]) & (shapes.level > 0.75 * shapes.level[main])
    others = int((same_ink & ~foreign & ~parts).sum())
    if others:
        raise ImageError(f"the picture holds {others + 1} separate shapes, not one digit", "crop it to one digit")
    # a step from paper to ink, as wide as the blur of a sharp photograph
    strokes = (2 * ink / np.median(ink[shapes.labels == main + 1]) - 0.5).clip(0, 1)
    return np.where(widen(shapes.mask(parts), 2), strokes, 0)


def _darkest(ink: Grey) -> float:
    """The mean of the darkest two thousandth of the pixels: no single speck, yet less than the finest digit."""
    count = min(max(10, LARGEST**2 // 2000), len(ink))
    return float(np.partition(ink, -count)[-count:].mean()) if count else 0.0


def _blank() -> ImageError:
    return ImageError("the page is blank", "write larger or darker, or take the picture in better light")


def _cut_off(shapes: Shapes) -> Mask:
    """Which shapes touch the border of the picture."""
    height, width = shapes.labels.shape
    cut: Mask = (shapes.top == 0) | (shapes.left == 0) | (shapes.bottom == height) | (shapes.right == width)
    return cut


def _frames(shapes: Shapes) -> Mask:
    """Which shapes are boxes drawn around another: large, with their ink along the sides of their bounding box."""
    height, width = shapes.labels.shape
    large = (shapes.bottom - shapes.top > 0.3 * height) & (shapes.right - shapes.left > 0.3 * width)
    frames = np.zeros(len(large), bool)
    for n in np.flatnonzero(large):
        top, left, bottom, right = shapes.top[n], shapes.left[n], shapes.bottom[n], shapes.right[n]
        within = (shapes.top > top) & (shapes.left > left) & (shapes.bottom < bottom) & (shapes.right < right)
        margins = (bottom - top) * 3 // 20, (right - left) * 3 // 20
        middle = shapes.labels[top + margins[0] : bottom - margins[0], left + margins[1] : right - margins[1]] == n + 1
        frames[n] = (within & (shapes.mass > 0.05 * shapes.mass[n])).any() and middle.sum() < 0.15 * shapes.area[n]
    return frames


def _parts(shapes: Shapes, main: int, foreign: Mask) -> Mask:
    """Which shapes belong to the main one's digit: near it, like the bar of a 5, not beside it like a second digit."""
    height = shapes.bottom - shapes.top
    size = max(height[main], shapes.right[main] - shapes.left[main])
    parts: Mask = np.arange(len(height)) == main
    possible = ~foreign & (shapes.mass > 0.02 * shapes.mass[main])
    for _ in range(4):  # a broken stroke may be a chain of parts
        aside = np.maximum(shapes.left - shapes.right[parts].max(), shapes.left[parts].min() - shapes.right)
        above = np.maximum(shapes.top - shapes.bottom[parts].max(), shapes.top[parts].min() - shapes.bottom)
        beside = (aside > 0.06 * size) & (height > 0.5 * height[main])
        parts |= possible & (np.maximum(aside, above) < 0.25 * size) & ~beside
    return parts


def _with_broad_pen(strokes: Grey) -> Grey:
    """Thicken thin strokes until, in a box of MNIST's size, they are as wide as those of a broad pen.

    Thick ones stay: thinning them was measured to gain nothing.
    """
    strokes = np.pad(_scaled(strokes, BOX * FINE), 2 * FINE)
    for _ in range(2):  # thicker, they fill more than the box and will be scaled down
        missing = PEN - _pen_width(strokes) / FINE
        for step in range(round(missing / 2 * FINE)):
            strokes = _thicker(strokes, step)
    return _cropped(strokes)


def _thicker(strokes: Grey, step: int) -> Grey:
    """Grow by one pixel, by turns into four and eight neighbours: an octagon is nearly round."""
    if step % 2:
        return local_max(strokes, 1)
    rows, columns = np.pad(strokes, [(1, 1), (0, 0)]), np.pad(strokes, [(0, 0), (1, 1)])
    grown: Grey = np.maximum.reduce([strokes, rows[:-2], rows[2:], columns[:, :-2], columns[:, 2:]])
    return grown


def _pen_width(strokes: Grey) -> float:
    """A stroke is as wide as twice its area by its perimeter; Crofton's formula measures that in four directions."""
    inside = np.pad(strokes > 0.5, 1)
    straight = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
    diagonal = (inside[1:, 1:] != inside[:-1, :-1]).sum() + (inside[1:, :-1] != inside[:-1, 1:]).sum()
    return float(2 * inside.sum() / (np.pi / 8 * (straight + diagonal / np.sqrt(2))))


def _cropped(strokes: Grey) -> Grey:
    """Cut off the empty rows and columns around the strokes."""
    rows, columns = (np.flatnonzero((strokes > 0.5).any(axis=axis)) for axis in (1, 0))
    return strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(strokes: Grey, longest: int) -> Grey:
    """Scale so that the longer side has this many pixels, the aspect ratio kept."""
    height, width = strokes.shape
    scale = longest / max(height, width)
    return resample(strokes, max(1, round(height * scale)), max(1, round(width * scale)))


def _centred(strokes: Grey) -> NDArray[np.uint8]:
    """Scale into the box, and place that by whole pixels so that the centre of mass comes nearest to the middle."""
    small = np.rint(255 * _scaled(strokes, BOX))
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (
        min(max(round(SIDE / 2 - centre), 0), SIDE - side)
        for centre, side in zip(_centre_of_mass(small), small.shape, strict=True)
    )
    pixels[top : top + small.shape[0], left : left + small.shape[1]] = small
    return pixels


def _centre_of_mass(pixels: Grey) -> tuple[float, float]:
    """Row and column, in pixels."""
    rows, columns = pixels.sum(axis=1), pixels.sum(axis=0)
    return (float(rows @ np.arange(len(rows)) / rows.sum()), float(columns @ np.arange(len(columns)) / columns.sum()))
