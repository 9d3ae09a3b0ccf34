"""Write digits, letters and other signs as pen strokes, in many people's hands.

A test tool, independent of the generator in `nnctl/data/synthetic.py` that networks may be trained on.

Every way to write a sign is a line of text in a box of 100 by 100, y downwards. Strokes are parted by `/`. A stroke is
a smooth curve through its marks, and a mark is one of

    x,y                a point
    x,y!               a point where the pen turns sharply
    @x,y,rx,ry,a,b     an arc of an ellipse about (x, y) from angle a to b, in degrees clockwise from three o'clock
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (N, 2): x, y

# How the world writes digits: each way with how often it comes.
DIGITS: dict[int, dict[str, float]] = {
    0: {
        "@50,50,36,50,-90,275": 3,
        "@50,50,25,50,-80,285": 2,
        "@50,50,38,48,-60,262": 1,
        "@50,50,36,50,-110,262 60,6 70,14": 1,
        "@50,50,33,50,-90,272 / 76,16! 24,86!": 0.3,
    },
    1: {
        "50,0! 50,100!": 3,
        "34,16! 50,0! 50,100!": 2,
        "20,30! 50,0! 50,100!": 2,
        "6,42! 52,0! 52,100!": 1,
        "26,22! 50,0! 50,100! / 22,100! 78,100!": 1,
        "50,0! 50,100! / 26,100! 74,100!": 0.3,
    },
    2: {
        "@48,28,32,28,195,390 16,100! 84,100!": 3,
        "18,12 50,0 78,20 64,52 16,100! 50,94 88,98": 2,
        "@48,25,31,25,195,385 46,72 20,96 12,84 28,78 54,92 90,95": 1.5,
        "16,8! 60,0 80,14 70,38 14,100! 86,98!": 1,
        "@46,26,30,26,200,400 10,98! 36,90 64,99 90,92": 1,
    },
    3: {
        "@46,25,30,25,205,440 40,49! @44,75,36,25,-85,150": 3,
        "16,10 48,0 74,20 52,45 36,49 58,52 80,75 48,100 12,88": 2,
        "14,2! 80,2! 42,42! @42,70,37,30,-80,150": 1,
        "14,6 60,0 75,20 42,44! 80,58 74,88 40,100 10,92": 1,
    },
    4: {
        "22,0! 12,58! 90,58! / 66,22! 66,100!": 3,
        "24,0 14,40 18,60! 90,55! / 72,8! 62,100!": 1,
        "64,100! 64,0! 10,66! 92,66!": 2,
        "60,0! 10,64! 90,62! / 60,0! 60,100!": 1,
        "40,0! 12,64! 92,60! / 74,30! 58,100!": 1,
        "72,100! 70,0! 10,42! 71,46!": 0.4,
    },
    5: {
        "82,2! 26,2! 22,42! @46,68,34,32,-120,140": 3,
        "28,4! 24,44! @46,69,34,31,-120,140 / 28,3! 86,0!": 2,
        "28,8! 24,46! @46,70,34,30,-120,140 / 40,0! 92,-4!": 0.6,
        "80,4! 30,4! 22,42 50,38 80,66 52,98 12,94": 1,
        "78,0! 24,0! 20,44! 66,44 80,70 62,97 14,98": 1,
    },
    6: {
        "68,0 34,28 16,66 @48,72,33,28,170,-190": 3,
        "62,4 36,26 20,56 @48,70,32,30,175,-185": 1,
        "74,10 52,0 22,36 @46,72,31,28,170,-190": 1.5,
        "62,0! 20,60 @48,74,32,26,170,-190": 1,
        "56,0! 16,66 22,94! 66,98 80,74! 56,58 18,74": 0.5,
        "60,0 22,40 16,76 40,100 74,84 66,60 42,62 24,78": 1,
    },
    7: {
        "12,2! 84,2! 40,100!": 3,
        "10,2! 84,2! 44,100! / 26,52! 76,48!": 2,
        "14,20! 14,2! 84,2! 42,100!": 1,
        "14,20! 12,2! 84,2! 46,100! / 28,52! 78,48!": 0.7,
        "10,8 40,8 86,2! 58,42 48,100": 1.5,
    },
    8: {
        "@50,25,25,25,90,450 / @50,74,32,25,-90,270": 1.5,
        "72,14 50,0 28,20 50,46 78,74 50,100 22,76 48,48 72,22 70,8": 3,
        "70,4 30,12 34,34 72,66 58,98 26,88 34,58 68,30 74,6": 1,
        "84,4 52,0 28,20 50,46 76,74 50,100 24,78 46,50 66,28 72,12": 1,
    },
    9: {
        "@46,28,30,28,0,-350 76,22! 74,100!": 3,
        "76,12 48,0 18,26 44,54 74,30! 72,100!": 2,
        "@48,28,30,28,-10,-345 77,36 68,70 40,100": 2,
        "@46,27,30,27,-10,-345 77,34 76,80 56,100 30,92": 1.2,
        "@48,27,28,27,0,-350 77,30 77,86 68,99! 16,99!": 0.5,
    },
}

# Signs that nobody takes for a digit: no O, l, I, Z, S, b, q, g, and nothing else like them.
SIGNS: dict[str, tuple[str, ...]] = {
    "latin": (
        "12,100! 50,0! 88,100! / 28,64! 72,64!",
        "82,0! 20,0! 20,100! 84,100! / 20,48! 72,48!",
        "20,100! 20,0! 82,0! / 20,46! 70,46!",
        "16,0! 16,100! / 84,0! 84,100! / 16,50! 84,50!",
        "18,0! 18,100! / 82,0! 18,54! 84,100!",
        "10,100! 16,0! 50,70! 84,0! 90,100!",
        "16,100! 16,0! 84,100! 84,0!",
        "20,100! 20,0! @40,25,32,25,-90,90 26,50! 80,100!",
        "10,0! 90,0! / 50,0! 50,100!",
        "2,0! 26,100! 50,24! 74,100! 98,0!",
        "10,0! 90,100! / 90,0! 10,100!",
        "10,0! 50,50! / 90,0! 50,50! 50,100!",
        "@55,50,42,50,-45,-315",
        "14,0! 14,60 @50,64,36,36,180,0 86,60 86,0!",
        "66,0! 66,74 @44,76,22,24,0,170",
        "10,100! 12,30! @32,52,20,24,180,360 52,100! 52,54! @72,54,20,24,180,360 92,100!",
        "16,100! 16,34! @48,60,30,26,190,360 78,100!",
        "20,0! 20,100! / 20,64! @46,62,26,22,190,360 72,100!",
        "20,30! 20,100! 20,56 44,32 74,38",
    ),
    "greek": (
        "90,20 66,74 34,98 10,66 30,30 60,66 92,98",
        "6,14 28,10 50,60 @46,82,10,18,-60,240 50,60 90,4",
        "8,24 22,14 28,70! 28,40! @54,42,26,26,190,360 80,130!",
        "14,4 36,8 88,100! / 52,46! 10,100!",
        "16,130! 20,24! 20,60 @46,66,26,24,180,0 74,24! 78,80 92,86",
        "6,26 20,10 96,10 / 34,12! 26,98! / 70,12! 74,90 86,94",
        "90,0! 14,0! 58,48! 12,100! 92,100!",
        "4,100! 34,100! @50,44,42,44,125,415 66,100! 96,100!",
        "10,14 22,10 26,60 50,78 78,58 84,10 / 52,0! 48,120!",
        "50,0! 6,100! 94,100! 50,0!",
        "50,0! 50,100! / @50,50,44,26,0,360",
    ),
    "cyrillic": (
        "6,0! 40,50! 6,100! / 94,0! 60,50! 94,100! / 50,0! 50,100! / 40,50! 60,50!",
        "14,0! 14,100! 86,0! 86,100!",
        "8,0! 8,100! 92,100! 92,0! / 50,0! 50,100!",
        "8,0! 8,100! 96,100! 96,120! / 46,0! 46,100! / 84,0! 84,100!",
        "4,124! 4,100! 96,100! 96,124! / 18,100! 34,0! 80,0! 80,100!",
        "8,0! 8,100! / 8,50! 40,50! / @70,50,28,50,180,540",
        "86,100! 86,0! @52,26,30,26,-90,-270 86,52! / 56,52! 14,100!",
        "14,0! 14,100! 92,100! 92,122! / 78,0! 78,100!",
        "50,0! 50,100! / @28,44,24,28,0,360 / @72,44,24,28,180,540",
        "8,100! 30,80 38,0! 86,0! 86,100!",
        "14,100! 14,0! 86,0! 86,100!",
        "10,0! 10,100! / 10,56! @26,78,30,22,-90,90 10,100! / 90,0! 90,100!",
    ),
    "punctuation": (
        "50,5! 50,95! / 5,50! 95,50!",
        "30,0! 24,100! / 74,0! 66,100! / 4,32! 98,32! / 0,68! 96,68!",
        "5,35! 95,33! / 5,68! 95,66!",
        "50,0! 50,100! / 6,24! 94,76! / 94,24! 6,76!",
        "90,0! 10,100! / @22,20,14,16,0,360 / @78,80,14,16,0,360",
        "0,60 22,34 50,50 76,66 100,40",
    ),
    "shape": (
        "0,50! 100,50! / 68,22! 100,50! 68,78!",
        "50,100! 50,0! / 22,32! 50,0! 78,32!",
        "50,0! 80,96! 2,36! 98,36! 20,96! 50,0!",
        "50,100! 6,46 8,10 34,4 50,30! 66,4 92,10 94,46 50,100!",
        "@50,50,50,50,0,360 / @33,36,5,7,0,360 / @67,36,5,7,0,360 / @50,56,26,22,20,160",
        "10,100! 10,42! 50,0! 90,42! 90,100! 10,100! 10,42! 90,42! / 42,100! 42,66! 62,66! 62,100!",
        "50,0! 98,92! 2,92! 50,0!",
        "50,50 56,46 60,54 50,62 38,54 42,36 64,34 76,56 58,80 26,70 18,38 46,14 88,26 98,66",
        "5,5! 95,95! / 95,5! 5,95!",
        "2,60! 30,98! 98,0!",
        "0,0! 100,0! 100,100! 0,100! 0,0! 100,100!",
        "50,0! 50,100! / 50,0! 92,22! 50,44! 12,20! 50,0!",
    ),
}


def draw_digit(digit: int, rng: np.random.Generator) -> list[Points]:
    """The strokes of a digit in somebody's hand: (N, 2) points each, about 1 high, the least x and y 0."""
    ways = DIGITS[digit]
    share = np.array(list(ways.values()))
    return _by_hand(list(ways)[rng.choice(len(ways), p=share / share.sum())], rng)


def draw_sign(kind: str, rng: np.random.Generator) -> list[Points]:
    """The strokes of one of the SIGNS of a kind, or of a "scribble"; as `draw_digit` gives them."""
    if kind == "scribble":
        return _scribble(rng)
    return _by_hand(SIGNS[kind][rng.integers(len(SIGNS[kind]))], rng)


def _by_hand(way: str, rng: np.random.Generator) -> list[Points]:
    """Draw a line of the tables with a hand's own proportions, slant, turn and tremor."""
    care = rng.uniform(0.3, 1)  # a careless hand strays further
    strokes = [_stroke(text.split(), care, rng) for text in way.split("/")]
    slant, aspect = np.clip(rng.normal(0.08, 0.16), -0.25, 0.45), np.exp(np.clip(rng.normal(-0.1, 0.2), -0.5, 0.35))
    turn = np.radians(np.clip(rng.normal(0, 5), -12, 12))
    shear = np.array([[aspect, 0], [-slant, 1]])  # points are rows
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    tremor = rng.uniform(0, 0.012)
    return _boxed([_trembling(stroke, tremor, rng) @ shear @ turned for stroke in strokes])


def _scribble(rng: np.random.Generator) -> list[Points]:
    """Random smooth curves that come back to themselves several times."""
    strokes = []
    for _ in range(rng.integers(1, 3)):
        marks = rng.uniform(0, 1, (rng.integers(5, 10), 2)) * rng.uniform(0.5, 1, 2)
        strokes.append(_smooth(marks))
    return _boxed(strokes)


def _stroke(marks: list[str], care: float, rng: np.random.Generator) -> Points:
    """Read a stroke's marks, move each a little, and join them by smooth curves between sharp turns."""
    curves, curve = [], [np.empty((0, 2))]
    for mark in marks:
        numbers = np.array([float(number) for number in mark.strip("@!").split(",")])
        points = _arc(numbers, care, rng) if mark.startswith("@") else [numbers / 100 + rng.normal(0, 0.03 * care, 2)]
        curve.append(np.reshape(points, (-1, 2)))
        if mark.endswith("!"):
            curves.append(np.concatenate(curve))
            curve = [curves[-1][-1:]]
    curves.append(np.concatenate(curve))
    return np.concatenate([_smooth(points) for points in curves if len(points) > 1])


def _arc(numbers: Points, care: float, rng: np.random.Generator) -> Points:
    """Points of an arc of an ellipse, thirty degrees apart, of which centre, radii and ends are moved a little."""
    x, y, rx, ry, start, stop = numbers * [0.01, 0.01, 0.01, 0.01, np.pi / 180, np.pi / 180]
    x, y = np.array([x, y]) + rng.normal(0, 0.02 * care, 2)
    rx, ry = np.array([rx, ry]) * np.exp(rng.normal(0, 0.08 * care, 2))
    start, stop = np.array([start, stop]) + rng.normal(0, 0.12 * care, 2)
    angles = np.linspace(start, stop, max(3, round(abs(stop - start) / 0.5)))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def _smooth(points: Points) -> Points:
    """A cubic Hermite curve through points; its slopes are those of parabolas, by the square roots of the chords."""
    chord = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))
    points = points[np.concatenate([[True], chord > 0.1])]
    if len(points) == 1:
        return np.repeat(points, 2, axis=0)
    chord = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))
    slope = np.gradient(points, np.concatenate([[0], chord.cumsum()]), axis=0)
    t = np.linspace(0, 1, 12, endpoint=False)[:, None, None]
    first, last = points[:-1], points[1:]
    curve = (
        (1 + 2 * t) * (1 - t) ** 2 * first
        + t**2 * (3 - 2 * t) * last
        + chord[:, None] * (t * (1 - t) ** 2 * slope[:-1] - t**2 * (1 - t) * slope[1:])
    )
    joined: Points = np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), points[-1:]])
    return joined


def _trembling(stroke: Points, size: float, rng: np.random.Generator) -> Points:
    """Shift the points sideways by slow waves along the stroke."""
    way = np.concatenate([[0], np.linalg.norm(np.diff(stroke, axis=0), axis=1).cumsum()])
    waves = rng.uniform(4, 25, (3, 1, 2)) * way[None, :, None] + rng.uniform(0, 6, (3, 1, 2))
    shifted: Points = stroke + size * np.sin(waves).mean(axis=0)
    return shifted


def _boxed(strokes: list[Points]) -> list[Points]:
    """Shift and scale strokes so that the least x and y are 0 and the height, or a greater width, is 1."""
    points = np.concatenate(strokes)
    return [(stroke - points.min(axis=0)) / np.ptp(points, axis=0).max() for stroke in strokes]
