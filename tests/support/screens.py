"""What is drawn on a screen: paint programs, drawing areas, figures and small copies of them.

A test tool. Each scene takes what is written and a generator that decides everything else, and gives a file's bytes.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.support.cameras import Array, Rng, blurred, laid, one_of, picture_of, reduced
from tests.support.inks import Ink
from tests.support.pictures import encoded

Colour = tuple[int, int, int]

BRIGHT: list[Colour] = [(0, 0, 0), (0, 0, 0), (0, 0, 0), (237, 28, 36), (0, 100, 220), (34, 140, 60), (120, 40, 140)]
TEXT = (40, 40, 40)


def paint(ink: Ink, rng: Rng) -> bytes:
    """A paint program: one colour on white, a brush of 1 to 40 pixels, its edges hard or smooth."""
    height, width = frame(rng, 90, 700)
    size = int(rng.uniform(0.3, 0.9) * min(height, width))
    brush = min(one_of(rng, 1, 1, 2, 3, 4, 5, 8, 12, 16, 25, 40), 0.14 * size)
    share = placed(ink.drawn(size, brush, rng, hard=rng.random() < 0.6), height, width, rng)
    scene = laid(np.full((height, width, 3), 255, np.float32), share, chosen(rng, BRIGHT))
    return saved(picture_of(scene), rng)


def canvas(ink: Ink, rng: Rng) -> bytes:
    """A drawing area of a program, white on black: round brushes, hard or soft, some reduced to 28 x 28."""
    side = int(one_of(rng, 200, 280, 280, 300, 400, 500, 560))
    share = written(ink, (side, side), rng, fill=(0.35, 0.9), pen=(0.03, 0.14))
    if rng.random() < 0.4:
        share = blurred(share, side * rng.uniform(0.004, 0.02))
    picture = Image.fromarray((255 * share).astype(np.uint8))
    if rng.random() < 0.3:
        picture = reduced(picture, int(one_of(rng, 28, 28, 56, 140)), ("box", "lanczos", "bilinear")[rng.integers(3)])
    return saved(picture, rng)


def figure(ink: Ink, rng: Rng) -> bytes:
    """A figure or a screenshot: a square with the digit within a light margin, with ticks, a title or buttons."""
    side = int(rng.integers(120, 460))
    small = rng.random() < 0.5
    share = ink.drawn(20 if small else int(0.8 * side), 2.2 if small else side * rng.uniform(0.04, 0.09), rng)
    square = placed(share, *((28, 28) if small else (side, side)), rng)
    square = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.NEAREST))
    dark = rng.random() < 0.2
    ground, tone = ((0, 0, 0), (255, 255, 255)) if dark else ((255, 255, 255), (0, 0, 0))
    if rng.random() < 0.25:
        ground, tone = ((68, 1, 84), (253, 231, 37)) if dark else ((230, 240, 250), (20, 40, 110))
    inner = laid(np.broadcast_to(np.array(ground, np.float32), (side, side, 3)), square, tone)
    margins = (rng.uniform(0.08, 0.6, 4) * side).astype(int)
    level = int(one_of(rng, 255, 255, 240, 225))
    size = side + margins[0] + margins[1], side + margins[2] + margins[3]
    page = Image.new("RGB", (int(size[0]), int(size[1])), (level, level, level))
    corner = int(margins[0]), int(margins[2])
    page.paste(picture_of(inner), corner)
    pencil = ImageDraw.Draw(page)
    if rng.random() < 0.7:
        pencil.rectangle((*corner, corner[0] + side, corner[1] + side), outline=(0, 0, 0), width=1)
    if rng.random() < 0.5:
        font = ImageFont.load_default(10)
        for n in range(0, 28, 5):
            at = side * (n + 0.5) / 28
            pencil.line((corner[0] + at, corner[1] + side, corner[0] + at, corner[1] + side + 3), fill=(0, 0, 0))
            pencil.line((corner[0] - 3, corner[1] + at, corner[0], corner[1] + at), fill=(0, 0, 0))
            if margins.min() > 25:
                pencil.text((corner[0] + at - 4, corner[1] + side + 5), str(n), fill=TEXT, font=font)
                pencil.text((corner[0] - 20, corner[1] + at - 6), str(n), fill=TEXT, font=font)
    return saved(page, rng)


def frame(rng: Rng, least: int, most: int) -> tuple[int, int]:
    """Height and width in pixels, small frames more often than large ones, upright, square or broad."""
    longer = int(least * (most / least) ** rng.random())
    shorter = int(longer * one_of(rng, 1, 1, 0.75, 0.6))
    return (longer, shorter) if rng.random() < 0.5 else (shorter, longer)


def chosen(rng: Rng, colours: list[Colour]) -> Colour:
    return colours[rng.integers(len(colours))]


def placed(share: Array, height: int, width: int, rng: Rng) -> Array:
    """Lay a drawing somewhere in an empty frame, more often near the middle."""
    share = share[:height, :width]
    free = np.array([height - share.shape[0], width - share.shape[1]])
    top, left = (free * rng.beta(2.5, 2.5, 2)).astype(int)
    whole = np.zeros((height, width), np.float32)
    whole[top : top + share.shape[0], left : left + share.shape[1]] = share
    return whole


def saved(picture: Image.Image, rng: Rng) -> bytes:
    """As a program saves it."""
    how = rng.integers(5)
    if how == 0:
        return encoded(picture, "JPEG", quality=int(rng.integers(60, 96)))
    return encoded(picture, ("PNG", "PNG", "BMP", "WEBP")[how - 1], **({"quality": 80} if how == 4 else {}))


def written(
    ink: Ink,
    frame: tuple[int, int],
    rng: Rng,
    *,
    fill: tuple[float, float],
    pen: tuple[float, float],
    uneven: float = 0,
) -> Array:
    """Write into an empty frame.

    Args:
        ink: what to write.
        frame: its height and width in pixels.
        rng: decides.
        fill: the least and the greatest part of the frame's shorter side that is written on.
        pen: the least and the greatest width of a stroke, as a part of the size of what is written.
        uneven: how unevenly the pen writes, 0 to 1.
    """
    size = int(rng.uniform(*fill) * min(frame))
    return placed(ink.drawn(size, size * rng.uniform(*pen), rng, uneven=uneven), *frame, rng)
