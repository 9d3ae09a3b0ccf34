"""Add drawn digits to the training images of another dataset: a network then knows more hands than those in it."""

from __future__ import annotations

import hashlib

import numpy as np

from nnctl.data import synthetic
from nnctl.data.examples import Examples
from nnctl.nn.streams import Purpose, new_seed, stream

DRAWN = "drawn digits"
"""Stands for them among the files of a run's data."""


def mixed(train: Examples, share: float, seed: int) -> Examples:
    """The training images, and behind them `share` times as many drawn digits; the same seed gives the same ones.

    Rare ways to write are drawn as often as common ones, of which the dataset itself has enough.

    Args:
        train: N images of digits.
        share: from 0 to 1; 0 gives `train` itself.
        seed: of the run.
    """
    count = round(share * len(train))
    if not count:
        return train
    images, labels = synthetic.draw(count, new_seed(stream(seed, Purpose.MIX)), evenly=True)
    return Examples(np.concatenate([train.images, images]), np.concatenate([train.labels, labels]))


def sha256_of_drawn(digits: Examples) -> dict[str, str]:
    """What identifies drawn digits, as a dataset's files are identified by theirs; nothing if there are none."""
    content = digits.images.tobytes() + digits.labels.tobytes()
    return {DRAWN: hashlib.sha256(content).hexdigest()} if len(digits) else {}
