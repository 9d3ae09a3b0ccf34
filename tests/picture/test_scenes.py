"""The pictures that judge the preprocessing: repeatable, readable, and each kind what it says it is."""

import io
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.hands import DIGITS, draw_digit
from tests.support.inks import Nothing, Row, Strokes
from tests.support.scenes import KINDS, NO_DIGITS, digits, picture, without_digit

IMAGES = np.zeros((10, 28, 28), np.uint8)
IMAGES[:, 6:22, 13:16] = 255
LABELS = np.ones(10, np.uint8)


def grey(data: bytes) -> NDArray[np.float32]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32)


def pictures(kind: str, count: int = 12) -> list[NDArray[np.float32]]:
    """Of a kind, each of a 5 in another hand."""
    made = []
    for n in range(count):
        rng = np.random.default_rng(n)
        made.append(grey(picture(kind, Strokes(draw_digit(5, rng)), rng)))
    return made


def border(shades: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([shades[0], shades[-1], shades[:, 0], shades[:, -1]])


def test_a_seed_fixes_each_picture_whatever_their_count() -> None:
    few, many = list(digits(IMAGES, LABELS, 13, 0)), list(islice(digits(IMAGES, LABELS, 1000, 0), 13))
    assert few == many
    assert all(one.data != other.data for one, other in zip(few, digits(IMAGES, LABELS, 13, 1), strict=True))
    assert list(without_digit(IMAGES, LABELS, 5, 0)) == list(islice(without_digit(IMAGES, LABELS, 1000, 0), 5))


def test_every_kind_comes_equally_often_and_can_be_opened() -> None:
    examples = list(digits(IMAGES, LABELS, 2 * len(KINDS), 0))
    assert [example.kind for example in examples] == 2 * list(KINDS)
    assert all(min(grey(example.data).shape) >= 8 for example in examples)
    others = list(without_digit(IMAGES, LABELS, len(NO_DIGITS), 0))
    assert [example.kind for example in others] == NO_DIGITS
    assert all(example.label is None and np.isfinite(grey(example.data)).all() for example in others)


@pytest.mark.parametrize("digit", DIGITS)
def test_hands_draw_within_a_box_of_unit_size(digit: int) -> None:
    for n in range(20):
        points = np.concatenate(draw_digit(digit, np.random.default_rng(n)))
        assert points.min() == 0
        assert points.max() == pytest.approx(1)


def test_a_row_shows_its_digits_beside_each_other() -> None:
    rng = np.random.default_rng(0)
    one = Strokes([np.array([[0, 0], [0, 1.0]])])
    share = Row([one, one, one], 0.3).drawn(90, 4, rng)
    assert np.diff(np.pad(share[20] > 0.5, 1).astype(int)).clip(0).sum() == 3
    assert not Nothing().drawn(90, 4, rng).any()


def test_an_uneven_pen_leaves_fainter_parts_and_a_hard_one_none() -> None:
    five = Strokes(draw_digit(5, np.random.default_rng(0)))
    uneven = five.drawn(200, 8, np.random.default_rng(0), uneven=0.7)
    assert np.quantile(uneven[uneven > 0.1], 0.1) < 0.7 * np.quantile(uneven, 0.99)
    assert set(np.unique(five.drawn(200, 8, np.random.default_rng(0), hard=True))) == {0, 1}


def test_figures_have_a_light_margin_and_some_of_them_a_dark_middle() -> None:
    figures = pictures("figure", 30)
    assert all(np.median(border(figure)) > 200 for figure in figures)
    assert 2 <= sum((figure < 80).mean() > 0.1 for figure in figures) <= 15


def test_cropped_digits_touch_the_border() -> None:
    for shades in pictures("cropped"):
        paper = np.median(shades)
        assert np.abs(border(shades) - paper).max() > 0.5 * np.abs(shades - paper).max()


def test_tiny_pictures_have_28_to_64_pixels_a_side() -> None:
    assert all(28 <= max(shades.shape) <= 64 for shades in pictures("tiny"))


def test_a_canvas_is_white_on_black() -> None:
    assert all(np.median(shades) < 10 and shades.max() > 150 for shades in pictures("canvas"))


def test_paint_is_on_white() -> None:
    assert all(np.median(shades) > 250 for shades in pictures("paint"))


def test_pencils_are_fainter_than_pens() -> None:
    def contrast(shades: NDArray[np.float32]) -> float:
        return 1 - float(np.quantile(shades, 0.002) / np.median(shades))

    photos, pencils = (np.mean([contrast(shades) for shades in pictures(kind)]) for kind in ("photo", "pencil"))
    assert pencils < 0.8 * photos


def test_blurred_strokes_have_softer_edges_than_photographed_ones() -> None:
    def steepest(shades: NDArray[np.float32]) -> float:
        """The greatest step between pixels two hundredths of the height apart, of the whole range."""
        step = max(1, shades.shape[0] // 50)
        return float(np.abs(shades[step:] - shades[:-step]).max() / np.ptp(shades))

    sharp, soft = (np.median([steepest(shades) for shades in pictures(kind, 24)]) for kind in ("photo", "blurred"))
    assert soft < 0.8 * sharp
