"""Make pictures as people give them to `nnctl predict`: thirteen kinds of scene, with a digit in them or without.

A test tool. Every choice comes from the generator it is given, so a seed fixes the picture to the bit (with one version
of Pillow and its libraries). Nobody needs a second look to read the digits.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.support import papers, screens
from tests.support.cameras import Array, Rng, photographed
from tests.support.hands import SIGNS, draw_sign
from tests.support.inks import Ink, Nothing, Row, Strokes, someones
from tests.support.things import THINGS, thing

Scene = Callable[[Ink, Rng], bytes]
KINDS: dict[str, Scene] = {
    "photo": papers.photo,
    "shadow": papers.shadow,
    "ruled": papers.ruled,
    "pencil": papers.pencil,
    "blurred": papers.blurred,
    "scan": papers.scan,
    "paint": screens.paint,
    "canvas": screens.canvas,
    "figure": screens.figure,
    "tiny": papers.tiny,
    "cropped": papers.cropped,
    "board": papers.board,
    "marked": papers.marked,
}
NO_DIGITS = [*SIGNS, "scribble", "several", "page", "blank", *THINGS]
BLANKS = [papers.photo, papers.dim, papers.shadow, papers.ruled, papers.scan, screens.canvas, papers.board]
"""Scenes in which a blank sheet has something to show; one of them is no kind of its own."""


class Example(NamedTuple):
    """A picture as a file, and what it shows."""

    kind: str
    label: int | None  # None: not a single digit
    data: bytes


def picture(kind: str, ink: Ink, rng: Rng) -> bytes:
    """A picture of a kind, as a file, of what somebody has written."""
    return KINDS[kind](ink, rng)


def digits(images: NDArray[np.uint8], labels: NDArray[np.integer], count: int, seed: int) -> Iterator[Example]:
    """Pictures of single digits, each kind equally often; the n-th is the same whatever the count."""
    kinds = list(KINDS)
    for n in range(count):
        rng = np.random.default_rng([seed, n])
        chosen = rng.integers(len(images))
        kind, label = kinds[n % len(kinds)], int(labels[chosen])
        yield Example(kind, label, picture(kind, someones(images[chosen], label, rng), rng))


def without_digit(images: NDArray[np.uint8], labels: NDArray[np.integer], count: int, seed: int) -> Iterator[Example]:
    """Pictures of anything but a single digit; the n-th is the same whatever the count.

    Letters, signs, scribbles and several digits come in all scenes, a blank sheet in those that have something to show.
    """
    for n in range(count):
        rng = np.random.default_rng([seed, n, 1])
        kind = NO_DIGITS[n % len(NO_DIGITS)]
        if kind in THINGS:
            yield Example(kind, None, _snapshot(thing(kind, *screens.frame(rng, 120, 500), rng), rng))
            continue
        if kind == "blank":
            ink: Ink = Nothing()
        elif kind in ("several", "page"):
            digits = [_anyones(images, labels, rng) for _ in range(12)]
            ink = _row(digits, rng) if kind == "several" else _page(digits, rng)
        else:
            ink = Strokes(draw_sign(kind, rng))
        scenes = BLANKS if kind == "blank" else list(KINDS.values())
        yield Example(kind, None, scenes[rng.integers(len(scenes))](ink, rng))


def _anyones(images: NDArray[np.uint8], labels: NDArray[np.integer], rng: Rng) -> Ink:
    chosen = rng.integers(len(images))
    return someones(images[chosen], int(labels[chosen]), rng)


def _row(digits: list[Ink], rng: Rng) -> Ink:
    """Two or three in a row, apart or so close that their boxes overlap."""
    return Row(digits[: rng.integers(2, 4)], rng.uniform(-0.1, 0.3))


def _page(digits: list[Ink], rng: Rng) -> Ink:
    """Two to four rows of three."""
    rows = [Row(digits[first : first + 3], rng.uniform(0.2, 0.6)) for first in range(0, 3 * rng.integers(2, 5), 3)]
    return Row(rows, rng.uniform(0.2, 0.6), down=True)


def _snapshot(scene: Array, rng: Rng) -> bytes:
    return photographed(
        scene, rng, blur=rng.uniform(0.3, 1.2), noise=rng.uniform(0, 4), quality=int(rng.integers(40, 93))
    )
