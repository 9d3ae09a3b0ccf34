"""Measure how well a model reads generated pictures of digits, and whether it knows what is no digit.

    python -m benchmarks.pictures RUN [--digits N] [--others N] [--seed N] [--split test|validation] [--data-dir DIR]

The pictures are those of `tests/support/scenes.py`: thirteen kinds with a digit, half of them MNIST's own redrawn with
another pen and half by other hands, and nineteen kinds without one.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nnctl.data import load_dataset
from nnctl.errors import ImageError
from nnctl.model import Model
from tests.support.scenes import Example, digits, without_digit

BINS = 15  # of the expected calibration error


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a model made of a picture.

    Attributes:
        kind: of the picture.
        right: whether its answer is the label.
        refused: whether it gave none.
        warned: whether it gave one with a warning.
        probability: of its answer.
    """

    kind: str
    right: bool
    refused: bool
    warned: bool
    probability: float


def outcome(model: Model, example: Example) -> Outcome:
    """Let a model read a picture."""
    try:
        reading = model.read(example.data)
    except ImageError:
        return Outcome(example.kind, right=False, refused=True, warned=False, probability=0)
    right = reading.prediction == example.label
    return Outcome(example.kind, right, False, reading.warning is not None, float(reading.probabilities.max()))


def calibration_error(outcomes: Iterable[Outcome]) -> float:
    """How far probability and accuracy lie apart, in bins of probability, on average over all answers.

    Source: Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", 2017.
    """
    answers = [one for one in outcomes if not one.refused]
    probability = np.array([one.probability for one in answers])
    right = np.array([one.right for one in answers], float)
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = np.bincount(place, weights=probability - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(answers))


def table(outcomes: list[Outcome]) -> list[str]:
    """A line for each kind, and one for all."""
    lines = [f"{'kind':<12} {'n':>5} {'right':>8} {'refused':>8} {'warned':>8}"]
    for kind in [*dict.fromkeys(one.kind for one in outcomes), "all"]:
        chosen = [one for one in outcomes if kind in (one.kind, "all")]
        shares = [
            100 * sum(getattr(one, name) for one in chosen) / len(chosen) for name in ("right", "refused", "warned")
        ]
        lines.append(f"{kind:<12} {len(chosen):5}" + "".join(f" {share:6.1f} %" for share in shares))
    return lines


def main() -> None:
    """Measure the model that the command line names, and print two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="a run directory or a checkpoint")
    parser.add_argument("--digits", type=int, default=2000, metavar="N", help="pictures of digits (%(default)s)")
    parser.add_argument("--others", type=int, default=760, metavar="N", help="pictures without one (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the pictures (%(default)s)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="whose digits are drawn anew")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="where MNIST lies")
    options = parser.parse_args()
    model = Model.load(options.run)
    mnist = getattr(load_dataset("mnist", options.data_dir), options.split)
    source = mnist.images, mnist.labels, options.digits, options.seed
    read = [outcome(model, example) for example in digits(*source)]
    print(*table(read), sep="\n")
    print(f"expected calibration error {100 * calibration_error(read):.2f} %\n")
    source = mnist.images, mnist.labels, options.others, options.seed
    print(*table([outcome(model, example) for example in without_digit(*source)]), sep="\n")


if __name__ == "__main__":
    main()
