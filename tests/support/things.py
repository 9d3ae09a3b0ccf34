"""Things that are no digit, and no writing: faces, animals, landscapes, plots, forms, patterns, lights.

A test tool: each is a scene, (H, W, 3) in [0, 255], for a camera of `cameras.py`.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.support.cameras import Array, Rng, clouds
from tests.support.hands import draw_sign

Colour = tuple[int, int, int]

SKINS: list[Colour] = [(241, 205, 180), (224, 172, 130), (198, 134, 90), (141, 85, 52), (90, 56, 40)]
DRAWN = ("plot", "form", "mosaic")  # by programs: without the world's rough surfaces


def _colour(rng: Rng, least: int = 0, most: int = 255) -> Colour:
    red, green, blue = (int(level) for level in rng.integers(least, most + 1, 3))
    return red, green, blue


def _ground(height: int, width: int, rng: Rng) -> Image.Image:
    """A soft mixture of two colours."""
    share = clouds(height, width, int(rng.integers(2, 6)), rng)[..., None]
    scene = np.array(_colour(rng, 60)) * share + np.array(_colour(rng, 60)) * (1 - share)
    return Image.fromarray(scene.astype(np.uint8))


def _oval(pencil: ImageDraw.ImageDraw, middle: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
    (x, y), (rx, ry) = middle, radii
    pencil.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)


def _face(height: int, width: int, rng: Rng) -> Image.Image:
    picture = _ground(height, width, rng)
    pencil = ImageDraw.Draw(picture)
    x, y, r = width / 2, height * rng.uniform(0.4, 0.55), min(height, width) * rng.uniform(0.22, 0.36)
    skin, hair = SKINS[rng.integers(len(SKINS))], _colour(rng, 10, 110)
    _oval(pencil, (x, height * 1.05), (1.7 * r, height - y - 0.7 * r), _colour(rng))
    _oval(pencil, (x, y - 0.3 * r), (1.05 * r, 1.1 * r), hair)
    _oval(pencil, (x, y), (0.85 * r, 1.1 * r), skin)
    for side in (-1, 1):
        _oval(pencil, (x + side * 0.35 * r, y - 0.15 * r), (0.14 * r, 0.08 * r), (250, 250, 250))
        _oval(pencil, (x + side * 0.35 * r, y - 0.15 * r), (0.07 * r, 0.08 * r), _colour(rng, 0, 80))
        top = y - 0.4 * r
        pencil.line((x + side * 0.2 * r, top, x + side * 0.55 * r, top + 4), fill=hair, width=max(1, int(0.06 * r)))
    pencil.line((x, y - 0.05 * r, x - 0.08 * r, y + 0.3 * r, x + 0.05 * r, y + 0.32 * r), fill=(120, 80, 70), width=2)
    _oval(pencil, (x, y + 0.6 * r), (0.3 * r, rng.uniform(0.04, 0.12) * r), (150, 50, 60))
    return picture.filter(ImageFilter.GaussianBlur(0.02 * r))


def _animal(height: int, width: int, rng: Rng) -> Image.Image:
    picture = _ground(height, width, rng)
    pencil = ImageDraw.Draw(picture)
    u, coat = min(height, width) / 10, _colour(rng, 10, 140)
    x, y = width / 2 + rng.normal(0, u / 2), height / 2 + rng.normal(0, u / 2)
    _oval(pencil, (x, y), (2.6 * u, rng.uniform(0.9, 1.5) * u), coat)
    for leg in (-2.1, -1.5, 1.4, 2.0):
        foot = (x + (leg + rng.normal(0, 0.2)) * u, y + rng.uniform(2.8, 3.6) * u)
        pencil.line((x + leg * u, y, *foot), fill=coat, width=max(2, int(0.45 * u)))
    head = x + 2.9 * u, y - rng.uniform(1.2, 2.6) * u
    pencil.line((x + 2 * u, y, *head), fill=coat, width=max(3, int(0.9 * u)))
    _oval(pencil, head, (0.9 * u, 0.6 * u), coat)
    pencil.line((x - 2.4 * u, y, x - 3.6 * u, y + rng.uniform(-2, 1) * u), fill=coat, width=max(2, int(0.3 * u)))
    for ear in (-0.4, 0.3):
        tip = (head[0] + ear * u, head[1] - rng.uniform(0.8, 1.8) * u)
        pencil.line((*head, *tip), fill=coat, width=max(2, int(0.3 * u)))
    return picture


def _landscape(height: int, width: int, rng: Rng) -> Image.Image:
    y = np.linspace(0, 1, height)[:, None, None]
    sky = np.array(_colour(rng, 120)) * (1 - y) + np.array(_colour(rng, 170)) * y
    picture = Image.fromarray(np.broadcast_to(sky, (height, width, 3)).astype(np.uint8))
    pencil = ImageDraw.Draw(picture)
    _oval(pencil, (width * rng.random(), height * 0.2), (width / 15, width / 15), (255, 250, 220))
    for level in (0.45, 0.6, 0.78):
        tops = height * (level + 0.12 * clouds(2, 12, 6, rng)[0] - 0.06)
        edge = [(width * n / 11, float(top)) for n, top in enumerate(tops)]
        pencil.polygon([(0, height), *edge, (width, height)], fill=_colour(rng, 20, int(240 - 160 * level)))
    left, top, u = width * rng.uniform(0.2, 0.6), height * 0.62, height / 8
    pencil.rectangle((left, top, left + 1.5 * u, top + u), fill=_colour(rng, 120))
    pencil.polygon([(left - 4, top), (left + 0.75 * u, top - 0.7 * u), (left + 1.5 * u + 4, top)], fill=(120, 40, 30))
    return picture


def _blobs(height: int, width: int, rng: Rng) -> Image.Image:
    picture = _ground(height, width, rng)
    pencil = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 7)):
        marks = rng.random((5, 2)) * rng.uniform(0.1, 0.6) + rng.random(2) * 0.6
        pencil.polygon([(x * width, y * height) for x, y in marks], fill=_colour(rng))
        x, y, rx, ry = rng.uniform((0, 0, 0.02, 0.02), (1, 1, 0.25, 0.25))
        _oval(pencil, (x * width, y * height), (rx * width, ry * height), _colour(rng))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 8)))


def _pattern(height: int, width: int, rng: Rng) -> Image.Image:
    """Grain of wood or cloth, or noise on every scale."""
    scene = 128 + 100 * (clouds(height, width, int(rng.integers(3, 20)), rng) - 0.5)
    scene += 120 * (clouds(height, width, int(rng.integers(20, 90)), rng) - 0.5)
    if rng.random() < 0.5:
        scene += 60 * np.sin(np.arange(width) / rng.uniform(2, 12) + 8 * clouds(height, width, 4, rng))
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8)).convert("RGB")


def _mosaic(height: int, width: int, rng: Rng) -> Image.Image:
    tiles = rng.integers(0, 256, (*rng.integers(3, 14, 2), 3)).astype(np.uint8)
    how = Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return Image.fromarray(tiles).resize((width, height), how)


def _plot(height: int, width: int, rng: Rng) -> Image.Image:
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    pencil = ImageDraw.Draw(picture)
    left, top, right, bottom = 0.12 * width, 0.08 * height, 0.95 * width, 0.88 * height
    pencil.rectangle((left, top, right, bottom), outline=(0, 0, 0))
    how = rng.integers(3)
    if how == 0:
        for n, top_of_bar in enumerate(bottom - (bottom - top) * rng.random(8)):
            x0 = left + (right - left) * (n + 0.2) / 8
            pencil.rectangle((x0, top_of_bar, x0 + 0.08 * (right - left), bottom), fill=_colour(rng, 0, 180))
    if how == 1:
        for x0, y0 in rng.normal(0.5, 0.17, (60, 2)).clip(0.05, 0.95):
            _oval(pencil, (left + x0 * (right - left), top + y0 * (bottom - top)), (3, 3), (30, 100, 180))
    for _ in range(rng.integers(1, 4) if how else 0):
        x = np.linspace(left, right, 60)
        y = top + (bottom - top) * (0.1 + 0.8 * clouds(2, 60, 8, rng)[0]).clip(0, 1)
        pencil.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=_colour(rng, 0, 180), width=2)
    for n in range(6):
        tick = left + (right - left) * n / 5
        pencil.line((tick, bottom, tick, bottom + 4), fill=(0, 0, 0))
        pencil.text((tick - 6, bottom + 5), f"{n / 5:.1f}", fill=(0, 0, 0))
    return picture


def _form(height: int, width: int, rng: Rng) -> Image.Image:
    """Lines of printed-looking text, with a box or two."""
    picture = Image.new("RGB", (width, height), (252, 252, 250))
    pencil = ImageDraw.Draw(picture)
    y, size = 0.06 * height, max(3, int(height * rng.uniform(0.015, 0.05)))
    while y < 0.93 * height:
        x = 0.07 * width
        while x < width * rng.uniform(0.5, 1):
            for _ in range(rng.integers(2, 9)):
                pencil.line((x, y, x, y + size * rng.uniform(0.5, 1)), fill=(40, 40, 40), width=max(1, size // 8))
                start, stop = rng.uniform(0, 360), rng.uniform(0, 360)
                pencil.arc((x, y + size / 3, x + size / 2, y + size), start, stop, fill=(40, 40, 40))
                x += 0.7 * size
            x += size
        y += size * 1.8
    if rng.random() < 0.5:
        pencil.rectangle((0.1 * width, 0.3 * height, 0.5 * width, 0.4 * height), outline=(60, 60, 60), width=2)
    return picture


def _road_sign(height: int, width: int, rng: Rng) -> Image.Image:
    """An arrow, a bar or a star on a disc or a plate."""
    picture = _ground(height, width, rng)
    pencil = ImageDraw.Draw(picture)
    r, x, y = 0.42 * min(height, width), width / 2, height / 2
    plate, tone = ((20, 60, 160), (250, 250, 250)) if rng.random() < 0.6 else ((245, 245, 240), (200, 20, 30))
    if rng.random() < 0.6:
        _oval(pencil, (x, y), (r, r), plate)
    else:
        pencil.rectangle((x - r, y - r, x + r, y + r), fill=plate)
    kind, pen = ("shape", "punctuation")[rng.integers(2)], max(2, int(r * rng.uniform(0.12, 0.3)))
    for stroke in draw_sign(kind, rng):
        pencil.line([(x + (p - 0.5) * 1.1 * r, y + (q - 0.5) * 1.1 * r) for p, q in stroke], fill=tone, width=pen)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.03) * r))


def _lights(height: int, width: int, rng: Rng) -> Image.Image:
    """A bright window or lamp in a dark room, beside something faint."""
    picture = Image.fromarray((40 + 50 * clouds(height, width, 3, rng)).astype(np.uint8)).convert("RGB")
    pencil = ImageDraw.Draw(picture)
    x, y = rng.uniform(0.1, 0.7, 2) * (width, height)
    wide, high = rng.uniform(0.08, 0.35, 2) * (width, height)
    lean = rng.normal(0, 0.2) * wide
    pencil.polygon([(x, y), (x + wide, y + lean), (x + wide, y + high + lean), (x, y + high)], fill=(250, 246, 230))
    if rng.random() < 0.5:
        pencil.line((x + wide / 2, y, x + wide / 2, y + high), fill=(60, 60, 60), width=3)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 6)))


THINGS: dict[str, Callable[[int, int, Rng], Image.Image]] = {
    "face": _face,
    "animal": _animal,
    "landscape": _landscape,
    "blobs": _blobs,
    "pattern": _pattern,
    "mosaic": _mosaic,
    "plot": _plot,
    "form": _form,
    "road sign": _road_sign,
    "lights": _lights,
}


def thing(kind: str, height: int, width: int, rng: Rng) -> Array:
    """A scene with something of a kind in it."""
    scene = np.asarray(THINGS[kind](height, width, rng), np.float32)
    return scene if kind in DRAWN else scene * _surface(height, width, rng)


def _surface(height: int, width: int, rng: Rng) -> Array:
    """How much light the world's rough surfaces send back, (H, W, 1): changes on every scale."""
    light = np.ones((height, width), np.float32)
    for grain in (4, 8, 16, 32, 64):
        light += rng.uniform(0.05, 0.45) * (clouds(height, width, grain, rng) - 0.5)
    return light.clip(0.2, 1.6)[..., None]
