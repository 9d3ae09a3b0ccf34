"""Paper, light, lenses and files: what happens to ink between the hand and a file of pixels.

A test tool. A scene is (H, W, 3) in [0, 255]; a share, such as that of each pixel that is ink, is (H, W) in [0, 1].
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tests.support.pictures import encoded

Array = NDArray[np.float32]
Rng = np.random.Generator


def one_of(rng: Rng, *choices: float) -> float:
    """One of several numbers."""
    return float(choices[rng.integers(len(choices))])


def clouds(height: int, width: int, grain: int, rng: Rng) -> Array:
    """Smooth random patches in [0, 1], about `grain` of them along the longer side."""
    longest = max(height, width)
    coarse = rng.random((max(2, grain * height // longest), max(2, grain * width // longest)), np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)


def across(height: int, width: int, angle: float) -> Array:
    """Each pixel's position in a direction, 0 in the middle, as a part of the longer side."""
    longer = max(height, width)
    y = (np.arange(height, dtype=np.float32)[:, None] - height / 2) / longer
    x = (np.arange(width, dtype=np.float32) - width / 2) / longer
    along: Array = (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)
    return along


def sheet(height: int, width: int, colour: tuple[int, int, int], rough: float, rng: Rng) -> Array:
    """A sheet of paper of a colour, its surface `rough` from 0 to 1."""
    light = 1 - 0.06 * rough * clouds(height, width, 6, rng)
    for grain in (40, 160):
        light -= 0.05 * rough * clouds(height, width, grain, rng)
    return light[..., None] * np.array(colour, np.float32)


def ruling(frame: tuple[int, int], spacing: float, thickness: float, squared: bool, rng: Rng) -> Array:
    """The share of printed lines, `spacing` pixels apart: nearly level, and upright too if squared."""
    height, width = frame
    lines = np.zeros((height, width), np.float32)
    tilt = rng.normal(0, 0.03)
    for angle in [np.pi / 2 + tilt, tilt][: 1 + squared]:
        position = across(height, width, angle) * max(height, width) / spacing + rng.random()
        distance = np.abs(position - np.round(position)) * spacing
        lines = np.maximum(lines, (thickness / 2 + 0.5 - distance).clip(0, 1) * min(thickness, 1))
    return lines


def laid(scene: Array, share: Array, colour: tuple[int, int, int] | Array) -> Array:
    """Lay ink of a colour on a scene."""
    return scene + share[..., None] * (np.asarray(colour, np.float32) - scene)


def blurred(share: Array, radius: float) -> Array:
    """A share, out of focus."""
    picture = Image.fromarray((255 * share).clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(picture, np.float32) / np.float32(255)


def daylight(height: int, width: int, uneven: float, rng: Rng) -> Array:
    """The light on each pixel, (H, W, 1): a gradient and darker corners, each by up to `uneven`."""
    slope = (0.5 + across(height, width, rng.uniform(0, 2 * np.pi))).clip(0, 1)
    radius2 = across(height, width, 0) ** 2 + across(height, width, np.pi / 2) ** 2
    light = (1 - rng.uniform(0, uneven) * slope) * (1 - rng.uniform(0, uneven) * radius2).clip(0.3, 1)
    light *= rng.uniform(0.72, 1.02)
    shades: Array = light[..., None].astype(np.float32)
    return shades


def shadows(height: int, width: int, depth: float, rng: Rng) -> Array:
    """The light that a hand or a phone leaves, (H, W, 1): a polygon from beyond a side, its edges soft, and fingers."""
    picture = Image.new("L", (width, height))
    pencil = ImageDraw.Draw(picture)
    longest = max(height, width)
    base = rng.uniform(0, 1, 2) * (width, height)
    away = base + longest * rng.uniform(0.8, 1.5) * np.array(_direction(rng))
    wide = longest * rng.uniform(0.15, 0.5)
    for _ in range(rng.integers(1, 4)):
        tip = base + rng.normal(0, 0.15 * longest, 2)
        pencil.line([tuple(tip), tuple(away)], fill=255, width=int(wide))
        pencil.ellipse([*(tip - wide / 2), *(tip + wide / 2)], fill=255)
    soft = blurred(np.asarray(picture, np.float32) / np.float32(255), longest * rng.uniform(0.01, 0.09))
    return (1 - depth * soft)[..., None]


def _direction(rng: Rng) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return float(np.cos(angle)), float(np.sin(angle))


def picture_of(scene: NDArray[np.floating]) -> Image.Image:
    """Eight bits per channel."""
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8))


def moved(picture: Image.Image, length: float, rng: Rng) -> Image.Image:
    """Blurred by a hand that moves so many pixels while the shutter is open."""
    x, y = length * np.array(_direction(rng))
    steps = max(2, int(length) + 1)
    total = np.zeros((picture.height, picture.width, len(picture.getbands())), np.float32)
    for t in np.linspace(-0.5, 0.5, steps):
        shift = (1, 0, t * x, 0, 1, t * y)
        moved = picture.transform(picture.size, Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
        total += np.asarray(moved, np.float32).reshape(total.shape)
    inner = slice(int(abs(y)) + 1, -int(abs(y)) - 1), slice(int(abs(x)) + 1, -int(abs(x)) - 1)
    return picture_of((total / steps)[inner])


def seen_aslant(picture: Image.Image, amount: float, rng: Rng) -> Image.Image:
    """Seen from aside: each corner of the frame is moved inwards by up to this part of the sides."""
    w, h = picture.size
    dx, dy = rng.uniform(0, amount, 4) * w, rng.uniform(0, amount, 4) * h
    corners = (dx[0], dy[0], dx[1], h - dy[1], w - dx[2], h - dy[2], w - dx[3], dy[3])
    return picture.transform((w, h), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def photographed(
    scene: Array, rng: Rng, *, blur: float, noise: float, sharpen: float = 0, quality: int = 80, side: int = 0
) -> bytes:
    """What a camera makes of a scene: a JPEG.

    Args:
        scene: the light.
        rng: decides white balance and noise.
        blur: pixels of the lens's standard deviation.
        noise: standard deviation of the sensor's noise, in grey levels; its colours are coarser.
        sharpen: how much a phone sharpens, 0 to 2.
        quality: of the JPEG.
        side: pixels of the file's longer side; 0 keeps the scene's.
    """
    scene = scene * rng.uniform([0.94, 0.98, 0.84], [1.05, 1.02, 1.06]).astype(np.float32)
    seen = np.asarray(picture_of(scene).filter(ImageFilter.GaussianBlur(blur)), np.float32)
    height, width = seen.shape[:2]
    grain = rng.standard_normal((height, width, 1), np.float32)
    tint = [rng.standard_normal((height // 3 + 1, width // 3 + 1), np.float32) for _ in range(3)]
    coarse = np.stack([np.asarray(Image.fromarray(t).resize((width, height))) for t in tint], axis=2)
    picture = picture_of(seen + np.float32(noise) * (0.8 * grain + 0.6 * coarse))
    if side and side < max(picture.size):
        picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    if sharpen:
        picture = picture.filter(ImageFilter.UnsharpMask(one_of(rng, 1, 2, 3), int(100 * sharpen), 2))
    return encoded(picture, "JPEG", quality=quality)


def reduced(picture: Image.Image, side: int, how: str) -> Image.Image:
    """Scale so that the longer side has this many pixels.

    Args:
        picture: grey or colour.
        side: pixels.
        how: "box" or "lanczos" average; "nearest" and "bilinear" look at one and four pixels, as many programs do.
    """
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    if how in ("box", "lanczos"):
        return picture.resize(size, Image.Resampling.BOX if how == "box" else Image.Resampling.LANCZOS)
    filters = Image.Resampling.NEAREST if how == "nearest" else Image.Resampling.BILINEAR
    step = (picture.width / size[0], 0, 0, 0, picture.height / size[1], 0)
    return picture.transform(size, Image.Transform.AFFINE, step, filters)
