"""Judges that have learned nothing: each thinks the same of every picture."""

import numpy as np

from nnctl import reading
from nnctl.judge import HIDDEN, NO_DIGIT, Judge

REFUSES, DOUBTS, ACCEPTS = 9.0, -(reading.NO_DIGIT + reading.UNCERTAIN) / 2, -5.0


def judge_who(thinks: float) -> Judge:
    """A judge to whom no digit is exp(thinks) times as probable as each of the ten: the score is about -thinks."""
    return Judge.from_params(
        {
            "hidden.weight": np.zeros((28 * 28, HIDDEN)),
            "hidden.bias": np.zeros(HIDDEN),
            "output.weight": np.zeros((HIDDEN, NO_DIGIT + 1)),
            "output.bias": [*[0.0] * NO_DIGIT, thinks],
        }
    )
