"""Photographs of real MNIST digits are read as what they show."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nnctl.picture.decode import read_digit
from tests.support.photographs import photograph

Pixels = NDArray[np.uint8]


def bar() -> Pixels:
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 12:16] = 255
    return digit


def test_photograph_is_fixed_by_its_seed() -> None:
    first, again, other = (photograph(bar(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_photographs_are_jpegs_of_200_to_600_pixels_that_show_the_digit() -> None:
    for seed in range(20):
        data = photograph(bar(), np.random.default_rng(seed))
        picture = Image.open(io.BytesIO(data))
        assert picture.format == "JPEG"
        assert 200 <= min(picture.size) <= max(picture.size) <= 600
        rows, columns = np.nonzero(read_digit(data, "photograph") > 127)
        assert np.ptp(rows) + 1 == 20
        assert np.ptp(columns) + 1 <= 14
