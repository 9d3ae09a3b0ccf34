"""Make photographs of MNIST digits: pen on paper under uneven light, as a phone would see them.

A test tool. Every choice comes from the generator it is given, so a seed fixes the picture to the bit
(with one version of Pillow's JPEG encoder).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.support.pictures import encoded

Array = NDArray[np.float32]

PAPERS = [(250, 250, 248), (244, 236, 214), (250, 238, 150), (205, 222, 240), (214, 214, 210), (246, 214, 220)]
INKS = [(20, 20, 24), (28, 44, 130), (25, 60, 175), (170, 28, 36), (20, 90, 60), (85, 85, 92)]  # the last is a pencil
ENLARGED = 8  # pixels of pen-drawing per MNIST pixel: fine enough for a pen width of any fraction


def photograph(digit: NDArray[np.uint8], rng: np.random.Generator) -> bytes:
    """Draw a (28, 28) digit with some pen on some paper, photograph it and return the JPEG's bytes.

    The frame is 200 to 600 pixels a side; the digit fills 30 to 90 % of it, off-centre and tilted by up to 10 degrees.
    """
    height, width = (int(side) for side in rng.integers(200, 601) * rng.choice([(1, 1), (1, 0.75), (0.75, 1)]))
    height, width = max(height, 200), max(width, 200)
    ink = _place(with_pen(digit, rng.uniform(1.3, 3.8)), height, width, rng)
    ink *= 1 - rng.uniform(0, 0.35) * _clouds(height, width, 12, rng)  # a pen does not press evenly
    ruling = rng.uniform(0.05, 0.2) * _ruling(height, width, rng)
    texture = (
        1
        - rng.uniform(0.01, 0.06) * _clouds(height, width, 60, rng)
        - rng.uniform(0, 0.05) * _clouds(height, width, 5, rng)
    )
    paper = np.array(PAPERS[rng.integers(len(PAPERS))], np.float32)
    ink_colour = np.array(INKS[rng.integers(len(INKS))], np.float32)
    line_colour = np.array([(70, 110, 190), (110, 110, 110), (200, 90, 90)][rng.integers(3)], np.float32)

    scene = paper * texture[..., None]
    scene += ruling[..., None] * (line_colour - scene)
    scene += ink[..., None] * (ink_colour - scene)
    scene *= _light(height, width, rng)[..., None]
    return _camera(scene, rng)


def with_pen(digit: NDArray[np.uint8], pen: float) -> Image.Image:
    """Redraw the digit with a pen this wide, in MNIST pixels: strokes grow or shrink about their middle lines."""
    side = 28 * ENLARGED
    large = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    strokes = np.asarray(large) > 110
    depth = _depth(strokes)
    # ridge pixels are as deep as any neighbour; their depth is half the width of the stroke
    ridge = strokes & (depth >= np.asarray(Image.fromarray(depth).filter(ImageFilter.MaxFilter(5))))
    own_width = 2 * float(np.median(depth[ridge])) / ENLARGED if ridge.any() else pen
    change = (pen - own_width) / 2 * ENLARGED
    if change >= 0:
        drawn = _depth(~strokes) <= change
    else:
        drawn = (depth > -change) | (_depth(~ridge) <= pen / 2 * ENLARGED) & strokes  # never break a stroke
    return Image.fromarray(np.uint8(255) * drawn.astype(np.uint8))


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """How many pixels each pixel of the mask lies from its outside; octagonal, by alternating two forms of erosion."""
    depth = np.zeros(mask.shape, np.uint8)
    left = np.pad(mask, 1, constant_values=True)  # the edge of the picture is not an outside
    inner = left[1:-1, 1:-1]
    for step in range(100):
        depth += inner
        eroded = inner & left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:]
        if step % 2:
            eroded &= left[:-2, :-2] & left[:-2, 2:] & left[2:, :-2] & left[2:, 2:]
        inner[...] = eroded
        if not eroded.any():
            break
    return depth


def _place(drawn: Image.Image, height: int, width: int, rng: np.random.Generator) -> Array:
    """Tilt, enlarge and place the drawing in the frame: the share of each pixel that is ink."""
    drawn = drawn.rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC)
    drawn = drawn.crop(drawn.getbbox())
    scale = rng.uniform(0.3, 0.9) * min(height, width) / max(drawn.size)
    drawn = drawn.resize(
        (max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale))),
        Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC,
    )
    frame = Image.new("L", (width, height))
    left, top = (int(rng.integers(0, free + 1)) for free in (width - drawn.width, height - drawn.height))
    frame.paste(drawn, (left, top))
    return np.asarray(frame, np.float32) / np.float32(255)


def _clouds(height: int, width: int, grain: int, rng: np.random.Generator) -> Array:
    """Smooth random patches in [0, 1], about `grain` of them along the frame."""
    coarse = Image.fromarray(rng.random((grain, grain), np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)


def _across(height: int, width: int, angle: float) -> Array:
    """Each pixel's position in [-0.5, 0.5] along a direction."""
    y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j].astype(np.float32)
    along: Array = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    return along


def _ruling(height: int, width: int, rng: np.random.Generator) -> Array:
    """Plain, lined or squared paper: the share of each pixel that is a printed line."""
    kind = rng.integers(3)
    spacing, thickness = rng.uniform(0.06, 0.2), rng.uniform(1, 2.5)
    lines = np.zeros((height, width), np.float32)
    tilt = rng.uniform(-0.06, 0.06)
    for angle in [np.pi / 2, 0.0][:kind]:
        position = _across(height, width, angle + tilt) / spacing + rng.random()
        distance = np.abs(position - np.round(position)) * spacing * min(height, width)
        lines = np.maximum(lines, (thickness / 2 + 0.5 - distance).clip(0, 1))
    return lines


def _light(height: int, width: int, rng: np.random.Generator) -> Array:
    """The light on each pixel: a gradient, darker corners and, in four of ten, a shadow with a soft edge."""
    turn = 2 * np.pi
    light = 1 - rng.uniform(0, 0.5) * (0.5 + _across(height, width, rng.uniform(0, turn))).clip(0, 1)
    radius2 = _across(height, width, 0) ** 2 + _across(height, width, np.pi / 2) ** 2
    light *= 1 - rng.uniform(0, 0.5) * radius2
    if rng.random() < 0.4:
        edge = _across(height, width, rng.uniform(0, turn)) - rng.uniform(-0.4, 0.4)
        light *= 1 - rng.uniform(0.15, 0.45) * (0.5 + edge / rng.uniform(0.03, 0.3)).clip(0, 1)
    return (light * np.float32(rng.uniform(0.75, 1.05))).astype(np.float32)


def _camera(scene: Array, rng: np.random.Generator) -> bytes:
    """Blur, white balance, sensor noise and JPEG."""
    scene = scene * rng.uniform([0.95, 0.98, 0.85], [1.05, 1.02, 1.05]).astype(np.float32)
    blurred = Image.fromarray(scene.clip(0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5))
    )
    noise = rng.standard_normal(scene.shape, np.float32) * np.float32(rng.uniform(1, 8))
    pixels = (np.asarray(blurred, np.float32) + noise).clip(0, 255).astype(np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG", quality=int(rng.integers(40, 91)))
