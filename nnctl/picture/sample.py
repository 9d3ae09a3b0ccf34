"""Draw strokes the way MNIST's digits are drawn: scaled into 20x20 pixels, centred by mass in 28x28.

That is how MNIST was made: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition" (1998), section III.A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nnctl.picture.raster import Grey, bounds, centre_of_mass, grey_dilation, pen_width, scaled

SIDE = 28  # pixels of a digit
BOX = 20  # its longer side, without the margin
PEN = 2.2  # pixels of MNIST: few of its strokes are thinner
FINE = 5  # pixels for each of these while strokes are thickened


def as_sample(grey: Grey) -> NDArray[np.uint8] | None:
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


def framed(strokes: Grey) -> NDArray[np.uint8]:
    """Strokes, thickened until in a box of MNIST's size they are as wide as those of a broad pen, then centred.

    Thick ones stay: thinning them was measured to gain nothing.
    """
    strokes = scaled(_cropped(strokes), BOX * FINE)
    strokes = np.pad(strokes / strokes.max(), 2 * FINE)  # dots and dashes are paler when they are reduced
    for _ in range(2):  # thicker, they fill more than the box and will be scaled down
        missing = PEN - pen_width(strokes > 0.5) / FINE
        for step in range(round(missing / 2 * FINE)):
            strokes = _thicker(strokes, step)
    return _centred(_cropped(strokes))


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
