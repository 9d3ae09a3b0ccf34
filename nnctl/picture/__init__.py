"""Turn any picture into (28, 28) pixels the way MNIST's digits look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnctl.picture import decode

__all__ = ["read_digit"]


def read_digit(picture: Path | str | bytes) -> NDArray[np.float32]:
    """Read a picture of one digit as a network takes it: ink found and cropped, scaled, centred.

    Args:
        picture: the path of a PNG, JPEG, BMP, GIF or WebP file, or its bytes.

    Returns:
        (28, 28) pixels between 0 (black) and 1 (white), ink bright.

    Raises:
        ImageError: there is no such picture, it is damaged or too large, or it does not show one single digit.
    """
    name = "picture" if isinstance(picture, bytes) else str(picture)
    data = picture if isinstance(picture, bytes) else decode.read_file(Path(picture))
    pixels = decode.read_digit(data, name).astype(np.float32)
    pixels /= 255
    return pixels
