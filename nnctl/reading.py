"""Decide which shape in a picture is the digit, and whether it is one: by what two networks make of each.

One network reads; the other, the judge, knows what is no digit. Of all that may be the digit in a picture, that shape
is taken for which they speak most, less so if other shapes lie beside it, or if it takes far-fetched assumptions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nnctl.errors import NoDigitError
from nnctl.nn.arrays import Array
from nnctl.picture.digit import BUSY, CLEAR, CROP, Attempt, Candidate, Hypothesis, blank, lines_alone, several
from nnctl.picture.raster import Box
from nnctl.picture.shapes import NEXT

# A score is a logarithm of odds, so that 0 is undecided; the weights and limits were chosen on generated pictures.
SURE = 4.0  # more certainty than that decides nothing between two shapes
DOUBT = 1.2  # by which the odds fall with each step of an attempt's doubt
OTHERS = 4.0  # the same for other shapes with as much ink
MOST_OTHERS = 3.0  # more are no worse
GRAIN = 10.0  # the same for a ground that varies as much as ink does, less what BUSY allows
FAINT = 1.0  # the same for what may be no ink
NOISE = 2.0  # the same for what looks like noise
RIM = 6.0  # the same for the edge of something broader
PALE, SHADE = 3.0, 0.2  # the same for what has less contrast than this share of something found with it or before it
NO_DIGIT = -3.5  # below: 5 of 1,000 digits, and three of four pictures of something else
UNCERTAIN = -1.8  # below: 12 of 1,000 digits, and nine of ten pictures of something else
TRACE = 0.1  # contrast: what is fainter may be a trace of light, or of the paper itself

Predict = Callable[[Array], Array]  # images (N, 28, 28) -> probabilities (N, C)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A shape that may be the digit.

    Attributes:
        candidate: as it was found.
        probabilities: (C,) what the network makes of it.
        alone: how much speaks for a digit, its own paleness, noise and edges counted, if no other shape is looked at.
        score: the same, other shapes and the doubt of its attempt counted.
    """

    candidate: Candidate
    probabilities: Array
    alone: float
    score: float

    @property
    def digit(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What a model reads in a picture.

    Attributes:
        pixels: (28, 28) uint8 as the network saw them.
        probabilities: (C,) of each class, calibrated.
        box: top, left, bottom, right: where the digit lies, in pixels of the picture, upright.
        warning: what is uncertain about it; None if nothing is.
    """

    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    box: Box
    warning: str | None

    @property
    def prediction(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())


def find(hypotheses: Iterable[Hypothesis], predict: Predict, judge: Predict | None) -> tuple[Found, list[Found]]:
    """The shape that is most likely the digit, and all shapes of its attempt.

    Hypotheses are tried until none that follows could do better, which nearly always is after the first.

    Args:
        hypotheses: of `picture.digit.find_hypotheses`.
        predict: the network that reads.
        judge: gives the probabilities of ten digits and of no digit; None if there is no judge.

    Raises:
        ImageError: there is nothing in the picture, or lines and edges alone.
    """
    best: tuple[Found, list[Found]] | None = None
    contrast, lines = 0.0, False
    most = SURE if judge else 0.0
    for hypothesis in hypotheses:
        if best is not None and best[0].score >= most - DOUBT * hypothesis.doubt:
            break
        for attempt in hypothesis.attempts():
            if not attempt.candidates:
                lines = True
                continue
            contrast = max(contrast, *(candidate.contrast for candidate in attempt.candidates))
            found = _scored(attempt, predict, judge, SHADE * contrast)
            first = max(found, key=lambda shape: shape.score)
            if best is None or first.score > best[0].score:
                best = first, found
            if best[0].score >= most - DOUBT * (hypothesis.doubt + NEXT):
                break
        if best is not None and best[0].score >= most:  # before the next ground is looked for, which takes time
            break
    if best is None:
        raise lines_alone() if lines else blank()
    return best


def _scored(attempt: Attempt, predict: Predict, judge: Predict | None, pale: float) -> list[Found]:
    """What speaks for each shape of an attempt; what has less contrast than `pale` is beside something stronger."""
    images = np.stack([candidate.pixels for candidate in attempt.candidates]) / np.float32(255)
    probs = predict(images)
    if judge is None:
        odds = np.log(np.maximum(probs.max(axis=1), 1e-6))
    else:
        judged = judge(images).astype(np.float64)
        no_digit = judged[:, -1].clip(1e-6, 1 - 1e-6)
        # that both mean the same digit, if it is one
        agreement = (probs * judged[:, :-1]).sum(axis=1) / (1 - no_digit)
        odds = np.minimum(np.log(1 / no_digit - 1), SURE) + np.log(agreement + 1e-3)
    found = []
    for candidate, of_digits, one in zip(attempt.candidates, probs, odds.tolist(), strict=True):
        against = GRAIN * max(candidate.grain - BUSY, 0) + FAINT * _is_faint(candidate)
        against += NOISE * candidate.noise + RIM * candidate.rim
        others = OTHERS * min(candidate.others, MOST_OTHERS) + PALE * (candidate.contrast < pale)
        by_itself = one - against
        found.append(Found(candidate, of_digits, by_itself, by_itself - others - DOUBT * attempt.doubt))
    return found


def _is_faint(candidate: Candidate) -> bool:
    """Whether it may be no ink at all."""
    return candidate.faint or candidate.contrast < TRACE


def check(found: Found, shapes: Sequence[Found], *, judged: bool) -> str | None:
    """Whether what was found is one digit; returns what is uncertain about it, if anything is.

    Args:
        found: the shape that is most likely the digit.
        shapes: all those of its attempt.
        judged: whether a judge was asked, without whom nothing is known to be no digit.

    Raises:
        NoDigitError: it is none, or too blurred to tell, or there are several.
        ImageError: it is hardly to be seen, or looks like noise.
    """
    refused = found.score < NO_DIGIT if judged else found.candidate.faint or found.candidate.shapeless
    digits = [shape for shape in shapes if shape.alone >= UNCERTAIN] if judged else []
    # something blurred has an edge as soft as noise, but the page is not blank
    if (
        refused
        and not digits
        and (_is_faint(found.candidate) or (found.candidate.noise and not found.candidate.blurred))
    ):
        raise blank()
    if found.candidate.others > CLEAR:
        if len(digits) == 1 and digits[0] is found:
            return "other shapes lie beside it"
        raise _several(shapes, digits)
    if refused:
        raise _no_digit(found)
    if judged and found.score < UNCERTAIN:
        return "this may be no digit"
    return "it is blurred" if found.candidate.blurred else None


def _several(shapes: Sequence[Found], digits: Sequence[Found]) -> NoDigitError:
    what = several(len(shapes))
    if not digits:
        return NoDigitError(f"{what}; the largest lies at {_middle(shapes[0].candidate)}", CROP)
    left_to_right = sorted(digits, key=lambda shape: shape.candidate.box[1])
    where = ", ".join(f"{shape.digit} at {_middle(shape.candidate)}" for shape in left_to_right)
    if len(digits) == 1:
        those = "one of them looks like a digit"
    else:
        those = "both look like digits" if len(shapes) == 2 else f"{len(digits)} of them look like digits"
    return NoDigitError(f"{what}; {those}: {where}", CROP)


def _no_digit(found: Found) -> NoDigitError:
    where = f"what was found lies at {_middle(found.candidate)}"
    if found.candidate.blurred:
        what = f"this is too blurred to be read (closest: {found.digit}); {where}"
        return NoDigitError(what, "take a sharper picture")
    if found.candidate.shapeless:
        return NoDigitError(f"this is a line or a patch, not a digit; {where}", CROP)
    return NoDigitError(f"this does not look like a digit (closest: {found.digit}); {where}", CROP)


def _middle(candidate: Candidate) -> str:
    top, left, bottom, right = candidate.box
    return f"({math.floor((left + right) / 2)}, {math.floor((top + bottom) / 2)})"
