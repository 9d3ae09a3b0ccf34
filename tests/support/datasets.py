"""A dataset as small as can be, to stand in the catalogue where a real one does."""

import numpy as np
from numpy.typing import NDArray

from nnctl.data.catalog import CATALOG

NAMES = [file.name for file in CATALOG["mnist"].files]


def small(seed: int) -> dict[str, NDArray[np.uint8]]:
    """20 + 10 images of noise and their labels, by file name."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (30, 28, 28), np.uint8)
    labels = rng.integers(0, 10, 30, np.uint8)
    return dict(zip(NAMES, (images[:20], labels[:20], images[20:], labels[20:]), strict=True))
