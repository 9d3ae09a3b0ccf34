"""A digit and the network's prediction, drawn with the characters of a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nnctl.cli import console

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABELLED_BAR = 31  # characters for a class and its bar

BLOCKS = ("█", "▀", "▄", "░", " ")
ASCII = ("#", "'", ".", ":", " ")


def share(value: float) -> str:
    """An output as a percentage; one that is none, as a linear output may be, as a plain number."""
    return f"{100 * value:6.2f} %" if 0 <= value <= 1 else f"{value:8.4f}"


def draw_prediction(pixels: NDArray[np.uint8], probabilities: list[float], classes: tuple[str, ...]) -> list[str]:
    """The 28x28 pixels that a network saw, and beside them its outputs as bars."""
    blocks = console.speaks_unicode(sys.stdout)
    picture = _picture(pixels, BLOCKS if blocks else ASCII)
    width, largest = max(map(len, classes)), max(probabilities)
    labelled = zip(classes, probabilities, strict=True)
    bars = [_bar(f"{label:<{width}}", p, p == largest, "█" if blocks else "#") for label, p in labelled]
    bars = ["", "", *bars]
    bars += [""] * (len(picture) - len(bars))
    return [f"  {row}   {bar}".rstrip() for row, bar in zip(picture, bars, strict=True)]


def _picture(pixels: NDArray[np.uint8], glyphs: tuple[str, ...]) -> list[str]:
    """28x28 pixels as 14 lines of 28 characters, each two pixels high."""
    full, upper, lower, faint, empty = glyphs
    lines = []
    for above, below in zip(pixels[0::2], pixels[1::2], strict=True):
        line = ""
        for a, b in zip(above.tolist(), below.tolist(), strict=True):
            if max(a, b) >= 128:
                line += full if min(a, b) >= 128 else upper if a > b else lower
            else:
                line += faint if max(a, b) >= 48 else empty
        lines.append(line)
    return lines


def _bar(label: str, probability: float, chosen: bool, glyph: str) -> str:
    """One output of the network: its class, its activation as a bar, and in numbers."""
    width = LABELLED_BAR - len(label)
    line = f"{label} {glyph * round(min(max(probability, 0), 1) * width):<{width}} {share(probability)}"
    return click.style(line, bold=True) if chosen else line
