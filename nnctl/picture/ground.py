"""Tell ink from the ground it lies on: a flat colour, or paper under uneven light.

What is ink is not always certain. A `Ground` is one opinion; `grounds` gives several, the most plausible first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from nnctl.picture.raster import (
    Grey,
    between,
    border,
    bounds,
    box_blur,
    connected_components,
    dilate,
    grey_dilation,
    grey_erosion,
    local_median,
    median,
    part,
    ranked,
    resample,
    scaled,
    smallest_rectangle,
)

FLAT = 0.4  # of a picture within a few levels of one tone: it was drawn on a ground of that tone
SAME_TONE = 3  # levels to either side
WIDE = 0.15  # of the longer side: half the width of the broadest pen
NARROW = 0.05  # the same of a usual pen: shadows and things wider than that belong to the ground
DARKEST_SHADOW = 0.5  # of the light on the paper
SHEET_VIEW = 80  # pixels a side in which sheets are looked for
SMALLEST_SHEET = 0.2  # of that side
SOFTEST_EDGE = 4  # pixels of that view: what fades more slowly is a blurred spot
MOST_SHEETS = 2  # within each other

Corner = tuple[int, int]  # row, column


@dataclasses.dataclass(frozen=True)
class Ground:
    """An opinion on what in a picture is ground.

    Attributes:
        dark: whether ink is darker than the ground.
        tone: of a flat ground, from 0 to 255; None for paper.
        reach: half the width of the broadest stroke on paper, as a share of the picture's longer side.
    """

    dark: bool
    tone: int | None = None
    reach: float = 0.0

    def ink(self, grey: Grey) -> Grey:
        """How much each pixel of (H, W) differs from the ground beside it: 0 is ground, 255 the strongest ink."""
        smooth = box_blur(grey if self.dark else 255 - grey, 1)
        if self.tone is not None:
            ground: Grey | np.float32 = np.float32(max(1, self.tone if self.dark else 255 - self.tone))
        else:
            height, width = smooth.shape
            half = resample(smooth, -(-height // 2), -(-width // 2))
            ground = np.maximum(resample(self._paper(half), height, width), 1)
        ink: Grey = 255 * (1 - smooth / ground).clip(0, 1)
        return ink

    def _paper(self, grey: Grey) -> Grey:
        """The picture without its dark strokes: a closing, which keeps gradients of light and the edges of shadows."""
        radius = max(1, round(self.reach * max(grey.shape)))
        margin = 2 * radius
        # beyond the border a shadow or a table goes on, but a stroke of a digit that was cropped closely does not
        wider = np.maximum(np.pad(grey, margin, mode="edge"), DARKEST_SHADOW * median(border(grey)))
        wider[margin:-margin, margin:-margin] = grey
        closed = grey_erosion(grey_dilation(wider, radius), radius)[margin:-margin, margin:-margin]
        return box_blur(closed, max(1, round(self.reach / 4 * max(grey.shape))))


def grounds(grey: Grey, view: Grey) -> Iterator[Ground]:
    """The opinions on a picture, the most plausible first; `view` is a smaller copy of it."""
    tone = _flat_tone(grey)
    if tone is not None:
        darker, brighter = (
            np.bincount(np.rint(difference).astype(np.uint8).ravel())
            for difference in ((tone - grey).clip(0), (grey - tone).clip(0))
        )
        yield Ground(_cubes(darker) >= _cubes(brighter), tone)
    dark = _ink_is_dark(view)
    for is_dark in (dark, not dark):
        for reach in (WIDE, NARROW):
            yield Ground(is_dark, reach=reach)
    low, high = ranked(view, view.size // 20, -view.size // 20)
    yield Ground(dark, int(high if dark else low))  # a pen may be too broad for that, on paper cropped closely


def _cubes(histogram: np.ndarray) -> float:
    return float(histogram @ np.arange(len(histogram), dtype=float) ** 3)


def _flat_tone(grey: Grey) -> int | None:
    """The tone that most of a drawing, or of an overexposed page, has."""
    histogram = np.bincount(np.rint(grey).astype(np.uint8).ravel(), minlength=256)
    near = np.convolve(histogram, np.ones(2 * SAME_TONE + 1, int), "same")
    tone = int(np.where(near == near.max(), histogram, -1).argmax())
    return tone if near[tone] > FLAT * grey.size else None


def _ink_is_dark(grey: Grey) -> bool:
    """Whether strokes are darker than their ground.

    A stroke differs from most of its surroundings, which the hole of a 0 does not, and is narrow,
    which the edge of a table is not.
    """
    small = scaled(grey, 32)
    usual = local_median(small, 8)
    wide = Ground(dark=True, reach=WIDE)
    dark = np.minimum(usual - small, wide._paper(small) - small).clip(0)
    bright = np.minimum(small - usual, small - 255 + wide._paper(255 - small)).clip(0)
    return bool((dark**3).sum() >= (bright**3).sum())


def sheets(grey: Grey) -> list[tuple[Grey, Corner]]:
    """Each sheet or square that lies whole in the picture, the innermost first, and in the end the picture itself.

    It may be paper on a darker table, or a dark drawing area on a light page; one may lie in another.
    With each comes where its upper left corner lies in the picture: row and column.
    """
    found = [(grey, (0, 0))]
    while len(found) <= MOST_SHEETS:
        outer, (top, left) = found[0]
        for negative in (False, True):
            inner = _bright_sheet(255 - outer if negative else outer)
            if inner is not None:
                sheet, (down, right) = inner
                found.insert(0, (255 - sheet if negative else sheet, (top + down, left + right)))
                break
        else:
            break
    return found


def _bright_sheet(grey: Grey) -> tuple[Grey, Corner] | None:
    """Crop to a bright sheet that lies whole on something darker, if that is what the picture shows."""
    small = box_blur(scaled(grey, SHEET_VIEW), 1)
    table, (paper,) = median(border(small)), ranked(small, -small.size // 20)
    tone = (small - table) / max(paper - table, 1)
    # towards the corners of a photograph light fades; at the edge of a sheet it breaks off
    fading = np.abs(tone - 0.5) < 0.2
    stands_out = table < 0.75 * paper and paper > 0.5 * small.max()
    if not stands_out or fading.mean() > 0.2 or (border(tone) > 0.5).mean() > 0.05:
        return None
    bright = connected_components(tone > 0.5, small)
    sheet = bright.labels == bright.area.argmax() + 1
    filled = between(sheet) & between(sheet.T).T
    height, width = smallest_rectangle(sheet)
    # a digit does not fill a rectangle; a drawn frame does, but encloses nearly everything
    solid = sheet.sum() > 0.5 * height * width and filled.sum() > 0.8 * height * width
    blurred = fading.sum() > SOFTEST_EDGE * 2 * (height + width)
    if (
        not solid
        or blurred
        or height * width > 0.9 * small.size
        or min(height, width) < SMALLEST_SHEET * max(small.shape)
    ):
        return None
    inside = ~dilate(~filled, 1)
    if not inside.any():
        return None
    # in the dark corners that a tilted sheet leaves, its own light is made to go on
    beyond = grey_dilation(np.where(inside, small, 0), SHEET_VIEW // 4)
    share, light = (resample(layer.astype(np.float32), *grey.shape) for layer in (inside, beyond))
    scale = max(grey.shape) / max(small.shape)
    inner = part(light + share * (grey - light), scale, bounds(sheet))
    top, left, _, _ = bounds(sheet)
    return (inner, (round(scale * top), round(scale * left))) if min(inner.shape) >= SHEET_VIEW // 8 else None
