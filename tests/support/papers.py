"""What is written on paper or on a board, as a camera or a scanner sees it.

A test tool. Each scene takes what is written and a generator that decides everything else, and gives a file's bytes.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.support import cameras
from tests.support.cameras import Array, Rng, laid, one_of, photographed, picture_of, reduced
from tests.support.inks import Ink
from tests.support.pictures import encoded
from tests.support.screens import BRIGHT, Colour, chosen, frame, placed, saved, written

PAPERS: list[Colour] = [(250, 250, 248), (246, 244, 240), (238, 238, 236), (244, 236, 214)]
PAPERS += [(250, 238, 150), (205, 222, 240), (246, 214, 220)]
INKS: list[Colour] = [
    (20, 20, 24),
    (24, 30, 60),
    (28, 44, 130),
    (25, 60, 175),
    (60, 90, 190),
    (170, 28, 36),
    (20, 90, 60),
]
LINES: list[Colour] = [(70, 110, 190), (110, 110, 110), (200, 90, 90), (120, 170, 210)]
SLATES: list[Colour] = [(40, 60, 50), (45, 48, 52), (30, 40, 36)]


def photo(ink: Ink, rng: Rng) -> bytes:
    """A pen on paper, seen by a phone."""
    height, width = frame(rng, 280, 800)
    share = written(ink, (height, width), rng, fill=(0.25, 0.85), pen=(0.025, 0.12), uneven=rng.uniform(0, 0.3))
    return _phone(_on_paper(share, rng), rng)


def shadow(ink: Ink, rng: Rng) -> bytes:
    """The same under the shadow of a hand or of the phone."""
    height, width = frame(rng, 240, 600)
    share = written(ink, (height, width), rng, fill=(0.3, 0.85), pen=(0.03, 0.12), uneven=rng.uniform(0, 0.3))
    return _phone(_on_paper(share, rng) * cameras.shadows(height, width, rng.uniform(0.15, 0.45), rng), rng)


def dim(ink: Ink, rng: Rng) -> bytes:
    """Smooth paper from straight above in poor light: the sensor's noise is nearly all that is to be seen of it."""
    height, width = frame(rng, 300, 1200)
    share = written(ink, (height, width), rng, fill=(0.3, 0.85), pen=(0.03, 0.12), uneven=rng.uniform(0, 0.3))
    paper = np.full((height, width, 3), chosen(rng, PAPERS), np.float32)
    picture = laid(paper, rng.uniform(0.8, 1) * share, chosen(rng, INKS))
    grain = rng.standard_normal((height, width, int(one_of(rng, 1, 3))), np.float32)
    noisy = picture_of(picture * rng.uniform(0.7, 1) + np.float32(rng.uniform(2, 14)) * grain)
    return encoded(noisy, "JPEG", quality=_quality(rng)) if rng.random() < 0.7 else encoded(noisy, "PNG")


def ruled(ink: Ink, rng: Rng) -> bytes:
    """Lined or squared paper, or a printed box to write into."""
    height, width = frame(rng, 220, 600)
    share = written(ink, (height, width), rng, fill=(0.3, 0.75), pen=(0.04, 0.12), uneven=rng.uniform(0, 0.3))
    top, _, bottom, _ = _bounds(share)
    size = bottom - top
    line = chosen(rng, LINES)
    paper = cameras.sheet(height, width, chosen(rng, PAPERS), rng.random(), rng)
    if rng.random() < 0.75:
        spacing = size * rng.uniform(0.25, 1.3)
        lines = cameras.ruling((height, width), spacing, rng.uniform(0.6, 2.2), rng.random() < 0.5, rng)
        paper = laid(paper, rng.uniform(0.15, 0.6) * lines, line)
    else:
        paper = laid(paper, rng.uniform(0.4, 0.9) * _box(share, rng), line)
    return _phone(laid(paper, share, chosen(rng, INKS)), rng)


def pencil(ink: Ink, rng: Rng) -> bytes:
    """Thin, faint and uneven: a pencil, or a pen running dry."""
    height, width = frame(rng, 160, 600)
    uneven = rng.uniform(0.2, 0.75)
    share = written(ink, (height, width), rng, fill=(0.35, 0.85), pen=(0.03, 0.08), uneven=uneven)
    share = share * (1 - rng.uniform(0.1, 0.5) * cameras.clouds(height, width, max(height, width) // 2, rng))
    grey = int(rng.integers(45, 115))
    return _phone(_on_paper(share, rng, (grey, grey, grey + 6)), rng)


def blurred(ink: Ink, rng: Rng) -> bytes:
    """Out of focus, shaken, or a small crop enlarged."""
    height, width = frame(rng, 64, 400)
    share = written(ink, (height, width), rng, fill=(0.5, 0.85), pen=(0.06, 0.13), uneven=rng.uniform(0, 0.3))
    scene = _on_paper(share, rng) * cameras.daylight(height, width, 0.4, rng)
    top, _, bottom, _ = _bounds(share)
    size = bottom - top
    how, noise, quality = rng.integers(3), rng.uniform(0.5, 4), _quality(rng)
    if how == 0:
        return photographed(scene, rng, blur=size * rng.uniform(0.03, 0.09), noise=noise, quality=quality)
    if how == 1:
        shaken = np.asarray(cameras.moved(picture_of(scene), size * rng.uniform(0.05, 0.15), rng), np.float32)
        return photographed(shaken, rng, blur=0.6, noise=noise, quality=quality)
    small = reduced(picture_of(scene), int(rng.integers(22, 50)), "box")
    large = small.resize((width, height), Image.Resampling.BICUBIC)
    return photographed(np.asarray(large, np.float32), rng, blur=0.5, noise=noise / 2, quality=quality)


def scan(ink: Ink, rng: Rng) -> bytes:
    """From a flat-bed scanner: 75 to 300 dots an inch, in colour, grey or two tones; the back of the sheet shows."""
    height, width = frame(rng, 60, 600)
    share = written(ink, (height, width), rng, fill=(0.35, 0.85), pen=(0.035, 0.11), uneven=rng.uniform(0, 0.3))
    scene = _on_paper(share, rng)
    if rng.random() < 0.3:
        back = np.roll(share[:, ::-1], rng.integers(-width // 2, width // 2), axis=1)
        scene = laid(scene, rng.uniform(0.03, 0.12) * cameras.blurred(back, 2), (90, 90, 110))
    noise = rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(0.5, 5))
    picture = picture_of(scene * rng.uniform(0.9, 1.03) + noise).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    how = rng.integers(5)
    if how == 0:
        return encoded(picture.convert("L").point(lambda level: 255 * (level > 150)).convert("1"), "PNG")
    if how == 1:
        return encoded(picture.convert("L"), "PNG")
    if how == 2:
        return encoded(picture.quantize(16), "GIF")
    return encoded(picture, "JPEG", quality=int(rng.integers(25, 60)))


def cropped(ink: Ink, rng: Rng) -> bytes:
    """Cut out so closely that it touches the border, or nearly; on paper or from a program."""
    size = int(rng.integers(50, 500))
    share = ink.drawn(size, max(1, size * rng.uniform(0.035, 0.15)), rng, uneven=rng.uniform(0, 0.3))
    sides = rng.integers(0, 3, 4) * (rng.random(4) < 0.4) + (rng.random(4) < 0.3) * rng.integers(0, size // 4 + 1, 4)
    sides[rng.integers(4)] = 0
    share = np.pad(share, [(int(sides[0]), int(sides[1])), (int(sides[2]), int(sides[3]))])
    if rng.random() < 0.5:
        return saved(picture_of(_black_on_white(share)), rng)
    height, width = share.shape
    scene = _on_paper(share, rng) * cameras.daylight(height, width, 0.4, rng)
    return photographed(scene, rng, blur=rng.uniform(0.3, 1), noise=rng.uniform(0.5, 4), quality=_quality(rng))


def tiny(ink: Ink, rng: Rng) -> bytes:
    """28 to 64 pixels a side, reduced from a drawing with smoothing or without."""
    large, side = int(rng.integers(200, 420)), int(one_of(rng, 28, 28, 32, 40, 50, 64))
    how = ("nearest", "bilinear", "bilinear", "box", "lanczos")[rng.integers(5)]
    size = int(rng.uniform(0.45, 0.85) * large)
    # a pen much thinner than the step between the pixels looked at leaves dots, which nobody can read
    least = large / side * {"nearest": 0.9, "bilinear": 0.5}.get(how, 0.4)
    pen = max(least, 0.03 * size) * rng.uniform(1, 1.8)
    share = placed(ink.drawn(size, pen, rng, uneven=rng.uniform(0, 0.3)), large, large, rng)
    scene = _on_paper(share, rng) if rng.random() < 0.4 else _black_on_white(share)
    picture = picture_of(scene if rng.random() < 0.7 else 255 - scene).convert("L")
    return encoded(reduced(picture, side, how), "PNG")


def board(ink: Ink, rng: Rng) -> bytes:
    """A marker on a whiteboard with glare, or chalk on a smeared board."""
    height, width = frame(rng, 220, 600)
    share = written(ink, (height, width), rng, fill=(0.25, 0.8), pen=(0.04, 0.1), uneven=rng.uniform(0, 0.4))
    smears = cameras.clouds(height, width, int(rng.integers(3, 9)), rng)[..., None]
    if rng.random() < 0.5:
        scene = laid(
            np.full((height, width, 3), 232, np.float32) - 14 * smears,
            share * rng.uniform(0.7, 1),
            chosen(rng, BRIGHT),
        )
        spot = _from_spot(height, width, rng) / rng.uniform(0.05, 0.3)
        scene = laid(scene, rng.uniform(0, 0.9) * np.exp(-(spot**2)), (255, 255, 255))
    else:
        slate = np.array(chosen(rng, SLATES), np.float32)
        crumbs = rng.random((height, width), np.float32) < rng.uniform(0.6, 1)
        scene = slate + 45 * rng.random() * smears
        scene = laid(scene, share * cameras.blurred(crumbs.astype(np.float32), 0.6), (225, 225, 215))
    return _phone(scene, rng)


def marked(ink: Ink, rng: Rng) -> bytes:
    """With a mark that does not belong to it: underlined once or twice, ringed, with a dot, or among specks."""
    height, width = frame(rng, 220, 600)
    size = int(rng.uniform(0.3, 0.55) * min(height, width))
    pen = size * rng.uniform(0.04, 0.1)
    share = placed(ink.drawn(size, pen, rng), height, width, rng)
    picture = Image.fromarray((255 * share).astype(np.uint8))
    pencil = ImageDraw.Draw(picture)
    top, left, bottom, right = _bounds(share)
    how = rng.choice(5, p=[0.1, 0.02, 0.04, 0.28, 0.56])
    if how < 2:
        for n in range(how + 1):
            y = bottom + (0.12 + 0.12 * n) * size + pen
            tilt, wide = rng.normal(0, 0.04) * size, rng.uniform(0.05, 0.3) * size
            thickness = max(1, int(pen * rng.uniform(0.6, 1)))
            pencil.line((left - wide, y + tilt, right + wide, y - tilt), fill=255, width=thickness)
    elif how == 2:
        away = rng.uniform(0.2, 0.3) * size
        ring = (left - away, top - away, right + away, bottom + away)
        pencil.ellipse(ring, outline=255, width=max(1, int(0.8 * pen)))
    elif how == 3:
        x, y = right + rng.uniform(0.05, 0.15) * size, bottom - pen / 2
        pencil.ellipse((x, y - pen / 2, x + pen, y + pen / 2), fill=255)
    else:
        for _ in range(rng.integers(2, 9)):
            x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.5, pen / 3)
            pencil.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.integers(80, 230)))
    return _phone(_on_paper(np.asarray(picture, np.float32) / np.float32(255), rng), rng)


def _on_paper(share: Array, rng: Rng, colour: Colour | None = None) -> Array:
    height, width = share.shape
    paper = cameras.sheet(height, width, chosen(rng, PAPERS), rng.random(), rng)
    return laid(paper, rng.uniform(0.8, 1) * share, colour or chosen(rng, INKS))


def _black_on_white(share: Array) -> Array:
    return np.repeat(255 * (1 - share)[..., None], 3, axis=2)


def _quality(rng: Rng) -> int:
    """Of a JPEG, as phones and programs save it."""
    return int(rng.integers(35, 93))


def _phone(scene: Array, rng: Rng) -> bytes:
    """A phone's photograph of a page in daylight, slightly aslant."""
    height, width = scene.shape[:2]
    scene = scene * cameras.daylight(height, width, 0.4, rng)
    scene = np.asarray(cameras.seen_aslant(picture_of(scene), rng.uniform(0, 0.06), rng), np.float32)
    sharpen = rng.uniform(0.3, 1.5) if rng.random() < 0.5 else 0
    quality = _quality(rng)
    return photographed(
        scene, rng, blur=rng.uniform(0.4, 1.6), noise=rng.uniform(0.5, 6), sharpen=sharpen, quality=quality
    )


def _box(share: Array, rng: Rng) -> Array:
    """The outline of a box around what is written."""
    picture = Image.new("L", (share.shape[1], share.shape[0]))
    top, left, bottom, right = _bounds(share)
    away = rng.uniform(0.08, 0.3, 4) * max(bottom - top, right - left)
    corners = (left - away[0], top - away[1], right + away[2], bottom + away[3])
    ImageDraw.Draw(picture).rectangle(corners, outline=255, width=int(rng.integers(1, 4)))
    return np.asarray(picture, np.float32) / np.float32(255)


def _bounds(share: Array) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what is written, or of the middle of a blank sheet."""
    rows, columns = np.flatnonzero((share > 0.1).any(axis=1)), np.flatnonzero((share > 0.1).any(axis=0))
    if len(rows) == 0:
        height, width = share.shape
        return height // 4, width // 4, 3 * height // 4, 3 * width // 4
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _from_spot(height: int, width: int, rng: Rng) -> Array:
    """Each pixel's distance from a random point near the rim, as a part of the longer side."""
    x, y = rng.uniform(-0.5, 0.5, 2)
    distance: Array = np.hypot(cameras.across(height, width, 0) - x, cameras.across(height, width, np.pi / 2) - y)
    return distance
