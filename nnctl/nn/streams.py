"""Random numbers: one seed, and for each purpose and epoch a stream that can be replayed by itself."""

from __future__ import annotations

import enum

import numpy as np

from nnctl.errors import ArgumentError


class Purpose(enum.IntEnum):
    """What a stream of random numbers is for; each has its own, so that none disturbs another."""

    WEIGHTS = 0
    SHUFFLE = 1
    DROPOUT = 2
    AUGMENTATION = 3
    MIX = 4
    JUDGE = 5


def stream(seed: int, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
    """The random numbers of one purpose in one epoch: any of them can be replayed without those before."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"a seed is a whole number from 0, not {seed!r:.40}")
    return np.random.default_rng(np.random.SeedSequence((seed, purpose, epoch)))


def new_seed(rng: np.random.Generator) -> int:
    """A seed drawn from a stream, for what takes a seed and not a generator."""
    return int(rng.integers(2**63))
