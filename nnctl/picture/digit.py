"""Make an MNIST digit of a grey picture: find the ink, keep one digit, scale it into 20x20, centre it by mass.

How the digit is drawn in the end is how MNIST was made: LeCun, Bottou, Bengio and Haffner,
"Gradient-based learning applied to document recognition" (1998), section III.A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nnctl.errors import ImageError
from nnctl.picture.raster import (
    Box,
    Components,
    Grey,
    Mask,
    between,
    border,
    bounds,
    box_blur,
    centre_of_mass,
    connected_components,
    dilate,
    grey_dilation,
    grey_erosion,
    local_median,
    pen_width,
    resample,
    scaled,
    smallest_rectangle,
)

SIDE = 28  # pixels of a digit
BOX = 20  # its longer side, without the margin
LARGEST = 1280  # pixels a side of a picture: more show no more
VIEW = 320  # pixels a side in which ink is looked for
SMALL = 0.25  # of that side: a smaller digit is looked at again, closely
WIDEST_PEN = 0.3  # of that side: whatever is wider belongs to the ground
THINNEST_PEN = 0.05  # of a digit's longer side: printed lines are thinner
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
    grey = _sheet(grey)
    strokes = _strokes(grey)
    top, left, bottom, right = bounds(strokes > 0.5)
    size = max(bottom - top, right - left)
    if size < SMALL * VIEW:
        strokes = _strokes(_part(grey, VIEW, (top - size, left - size, bottom + size, right + size)))
    strokes = _cropped(strokes)
    height, width = strokes.shape
    if width > 2.5 * height or pen_width(strokes > 0.5) > 0.4 * max(height, width):
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
        if longest in (BOX - 1, BOX) and np.abs(np.array(centre_of_mass(pixels)) - SIDE / 2).max() < 0.6:
            return np.rint(pixels).astype(np.uint8)
    return None


def _strokes(grey: Grey) -> Grey:
    """The strokes of the only digit, in [0, 1], in a view of the whole picture."""
    return _one_digit(_ink(scaled(grey, VIEW)))


def _part(grey: Grey, view: int, box: Box) -> Grey:
    """What lies in a box, given in a view of the picture with this many pixels a side."""
    scale = max(grey.shape) / view
    top, left, bottom, right = (max(0, round(scale * side)) for side in box)
    return grey[top:bottom, left:right]


def _sheet(grey: Grey) -> Grey:
    """Crop to a bright sheet that lies whole on something darker, if that is what the picture shows."""
    small = box_blur(scaled(grey, VIEW // 4), 1)
    table, paper = float(np.median(border(small))), float(np.quantile(small, 0.9))
    tone = (small - table) / max(paper - table, 1)
    # towards the corners of a photograph light fades; at the edge of a sheet it breaks off
    fading = (np.abs(tone - 0.5) < 0.2).mean()
    large = table < 0.75 * paper and paper > 0.5 * small.max()
    if not large or fading > 0.2 or (border(tone) > 0.5).mean() > 0.05:
        return grey
    bright = connected_components(tone > 0.5, small)
    sheet = bright.labels == bright.area.argmax() + 1
    height, width = smallest_rectangle(sheet)
    # no digit in chalk fills two thirds of a rectangle wider than any pen; a drawn frame encloses nearly everything
    filled = sheet.sum() > 2 / 3 * height * width and height * width < 0.8 * small.size
    if not filled or min(height, width) < WIDEST_PEN * max(small.shape):
        return grey
    inside = ~dilate(~(between(sheet) & between(sheet.T).T), 1)
    # in the dark corners that a tilted sheet leaves, its own light is made to go on
    beyond = grey_dilation(np.where(inside, small, 0), VIEW // 16)
    share, light = (resample(part.astype(np.float32), *grey.shape) for part in (inside, beyond))
    return _part(light + share * (grey - light), max(small.shape), bounds(sheet))


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
    small = scaled(grey, 32)
    usual = local_median(small, 8)
    dark = np.minimum(usual - small, _paper(small) - small).clip(0)
    bright = np.minimum(small - usual, small - 255 + _paper(255 - small)).clip(0)
    return bool((dark**3).sum() >= (bright**3).sum())


def _paper(grey: Grey) -> Grey:
    """The picture without its dark strokes: a closing, which keeps gradients of light and the edges of shadows."""
    radius = max(1, round(WIDEST_PEN / 2 * max(grey.shape)))
    margin = 2 * radius
    # beyond the border a shadow or a table goes on, but a stroke of a digit that was cropped closely does not
    wider = np.maximum(np.pad(grey, margin, mode="edge"), DARKEST_SHADOW * np.median(border(grey)))
    wider[margin:-margin, margin:-margin] = grey
    return grey_erosion(grey_dilation(wider, radius), radius)[margin:-margin, margin:-margin]


def _one_digit(ink: Grey) -> Grey:
    """The strokes of the only digit, in [0, 1]; everything else, such as specks, printed lines and frames, is 0.

    Raises:
        ImageError: there is no ink, or more than one digit's.
    """
    free = np.ones(ink.shape, bool)
    for _ in range(4):  # with a frame, printed lines or the edge of a table out of sight, fainter ink may show
        darkest = _darkest(ink[free])
        if darkest < LEAST_INK:
            raise _blank()
        components = connected_components((ink > STROKE * darkest) & free, ink)
        paper = ink[free & ~dilate(components.labels > 0, 3)]
        noise = paper.std() if paper.size else 0
        main = int(components.mass.argmax())
        foreign = components.cut_off | _frames(components)
        readable = ~foreign & (components.level > PAPER_NOISE * noise) & (components.mass > 0.1 * components.mass[main])
        if not foreign[main]:
            break
        if not readable.any() and _at_the_edge(components, main):
            foreign[:] = False
            break
        free &= ~dilate(components.mask(foreign), 6)
    else:
        raise _blank()
    if components.level[main] < PAPER_NOISE * noise:
        raise _blank()
    parts = _parts(components, main, foreign)
    same_ink = (components.mass > 0.15 * components.mass[main]) & (components.level > 0.75 * components.level[main])
    others = int((same_ink & ~foreign & ~parts).sum())
    if others:
        raise ImageError(f"the picture holds {others + 1} separate shapes, not one digit", "crop it to one digit")
    # a step from paper to ink, as wide as the blur of a sharp photograph
    strokes = (2 * ink / np.median(ink[components.labels == main + 1]) - 0.5).clip(0, 1)
    return np.where(dilate(components.mask(parts), 2), strokes, 0)


def _darkest(ink: Grey) -> float:
    """The mean of the darkest two thousandth of the pixels: no single speck, yet less than the finest digit."""
    count = min(max(10, VIEW**2 // 2000), len(ink))
    return float(np.partition(ink, -count)[-count:].mean()) if count else 0.0


def _blank() -> ImageError:
    return ImageError("the page is blank", "write larger or darker, or take the picture in better light")


def _at_the_edge(components: Components, main: int) -> bool:
    """Whether a shape that touches the border is a digit cropped closely, not a printed line, a shadow or a table."""
    mask = components.mask(np.arange(len(components.mass)) == main)
    height, width = components.height[main], components.width[main]
    longest = max(height, width)
    if not THINNEST_PEN < pen_width(mask) / longest < WIDEST_PEN:
        return False
    if height > 0.4 * mask.shape[0] and width > 0.4 * mask.shape[1]:
        return True
    spans = height == mask.shape[0] or width == mask.shape[1]
    return bool(not spans and border(mask).sum() < 0.8 * longest)


def _frames(components: Components) -> Mask:
    """Which are boxes drawn around another: large, with their ink along the sides of their bounding box."""
    height, width = components.labels.shape
    large = (components.height > 0.3 * height) & (components.width > 0.3 * width)
    frames = np.zeros(len(large), bool)
    for n in np.flatnonzero(large):
        top, left, bottom, right = components.top[n], components.left[n], components.bottom[n], components.right[n]
        within = (
            (components.top > top)
            & (components.left > left)
            & (components.bottom < bottom)
            & (components.right < right)
        )
        margins = (bottom - top) * 3 // 20, (right - left) * 3 // 20
        middle = (
            components.labels[top + margins[0] : bottom - margins[0], left + margins[1] : right - margins[1]] == n + 1
        )
        frames[n] = (
            within & (components.mass > 0.05 * components.mass[n])
        ).any() and middle.sum() < 0.15 * components.area[n]
    return frames


def _parts(components: Components, main: int, foreign: Mask) -> Mask:
    """Which belong to the main one's digit: near it, like the bar of a 5, not beside it like a second digit."""
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


def _with_broad_pen(strokes: Grey) -> Grey:
    """Thicken thin strokes until, in a box of MNIST's size, they are as wide as those of a broad pen.

    Thick ones stay: thinning them was measured to gain nothing.
    """
    strokes = np.pad(scaled(strokes, BOX * FINE), 2 * FINE)
    for _ in range(2):  # thicker, they fill more than the box and will be scaled down
        missing = PEN - pen_width(strokes > 0.5) / FINE
        for step in range(round(missing / 2 * FINE)):
            strokes = _thicker(strokes, step)
    return _cropped(strokes)


def _thicker(strokes: Grey, step: int) -> Grey:
    """Grow by one pixel, by turns into four and eight neighbours: an octagon is nearly round."""
    if step % 2:
        return grey_dilation(strokes, 1)
    rows, columns = np.pad(strokes, [(1, 1), (0, 0)]), np.pad(strokes, [(0, 0), (1, 1)])
    grown: Grey = np.maximum.reduce([strokes, rows[:-2], rows[2:], columns[:, :-2], columns[:, 2:]])
    return grown


def _cropped(strokes: Grey) -> Grey:
    """Cut off the empty rows and columns around the strokes."""
    top, left, bottom, right = bounds(strokes > 0.5)
    return strokes[top:bottom, left:right]


def _centred(strokes: Grey) -> NDArray[np.uint8]:
    """Scale into the box, and place that by whole pixels so that the centre of mass comes nearest to the middle."""
    small = np.rint(255 * scaled(strokes, BOX))
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (
        min(max(round(SIDE / 2 - centre), 0), SIDE - side)
        for centre, side in zip(centre_of_mass(small), small.shape, strict=True)
    )
    pixels[top : top + small.shape[0], left : left + small.shape[1]] = small
    return pixels
