"""Augmentation: it looks up every pixel where it should, moves none too far, and repeats with its generator."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nnctl.data.augment import GROUP, PART, STEPS, Augmentation, Augmenter, elastic_fields, source_positions

STILL = Augmentation(rotation=0, scale=0, shear=0, shift=0)
ALL = Augmentation(rotation=12, scale=0.1, shear=0.15, shift=1.5, alpha=1.2, sigma=3)


def pictures(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def augmenter_of(
    augmentation: Augmentation, batch_size: int, dtype: type[np.floating] = np.float32, seed: int = 5
) -> Augmenter:
    augmenter = Augmenter(augmentation, batch_size, dtype)
    augmenter.rng = np.random.default_rng(seed)
    return augmenter


def distorted(images: NDArray[np.uint8], augmentation: Augmentation, seed: int = 5) -> NDArray[np.float32]:
    pixels = augmenter_of(augmentation, len(images), seed=seed).distort(images)
    return pixels.reshape(images.shape).astype(np.float32)


def positions(
    groups: int, augmentation: Augmentation, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns in pixels, (784, G) each."""
    rows, columns = source_positions(groups, augmentation, np.random.default_rng(seed)).astype(np.float64) / STEPS
    return rows, columns


def slow_lookup(image: NDArray[np.uint8], row: float, column: float) -> float:
    """The bilinear mean of the four pixels around a position, one pixel at a time; there is nothing beyond the edge."""
    padded = np.pad(image / 255, (0, 1))
    top, left = math.floor(row), math.floor(column)
    return sum(
        float(padded[r, c]) * (1 - abs(row - r)) * (1 - abs(column - c))
        for r in (top, top + 1)
        for c in (left, left + 1)
    )


@pytest.mark.parametrize("count", [1, GROUP, 2 * GROUP + 3, PART, PART + 9])
def test_distort_equals_looking_up_every_pixel_by_itself(count: int) -> None:
    images = pictures(count)
    rng = np.random.default_rng(5)
    parts = [source_positions(PART // GROUP, ALL, rng) for _ in range(-(-count // PART))]
    result = distorted(images, ALL, seed=5)
    for i in range(count):
        rows, columns = parts[i // PART]
        group = i % PART // GROUP
        for pixel in range(0, 784, 37):
            expected = slow_lookup(images[i], rows[pixel, group] / STEPS, columns[pixel, group] / STEPS)
            assert result[i].ravel()[pixel] == pytest.approx(expected, abs=0.51 / 255)  # rounded to a grey level


def test_distort_by_nothing_leaves_every_pixel() -> None:
    images = pictures(PART + 11)
    np.testing.assert_array_equal(distorted(images, STILL), images.astype(np.float32) / 255)


def test_distort_leaves_black_and_white_images_as_they_are() -> None:
    for level in (0, 255):
        result = distorted(np.full((16, 28, 28), level, np.uint8), ALL)
        assert (result == level / 255).all()


def test_distort_gives_the_same_for_the_same_seed_and_else_for_another() -> None:
    first, again, other = (distorted(pictures(16), ALL, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_distort_draws_anew_each_time_from_the_generator_that_was_set() -> None:
    augmenter, images = augmenter_of(ALL, 16), pictures(16)
    first, second = augmenter.distort(images).copy(), augmenter.distort(images).copy()
    assert np.abs(first - second).max() > 0.1
    augmenter.rng = np.random.default_rng(5)
    np.testing.assert_array_equal(augmenter.distort(images), first)


def test_distort_moves_images_of_a_group_together_and_those_of_another_differently() -> None:
    result = distorted(np.repeat(pictures(1), 2 * GROUP, axis=0), ALL)
    np.testing.assert_array_equal(result[0], result[GROUP - 1])
    assert np.abs(result[0] - result[GROUP]).max() > 0.1


def test_distort_leaves_nothing_of_a_longer_batch_before() -> None:
    augmenter = augmenter_of(STILL, 20)
    augmenter.distort(pictures(20))
    short = pictures(3, seed=1)
    np.testing.assert_array_equal(augmenter.distort(short).reshape(3, 28, 28), short.astype(np.float32) / 255)


def test_distort_with_other_pens_makes_strokes_thinner_and_broader_and_none_softer() -> None:
    edge = np.array([0, 64, 128, 192, 255], np.uint8)  # from paper to ink
    images = np.zeros((400, 28, 28), np.uint8)
    images[:, 10, 10:15] = edge
    before = images[0, 10, 10:15] / 255
    after = distorted(images, replace(STILL, pen=0.3))[:, 10, 10:15]
    assert (after[:, 0] == 0).all()
    assert (after[:, 4] == 1).all()
    steps = np.diff(after)
    assert (steps >= 0).all()
    assert (steps.max(axis=1) >= np.diff(before).max()).all()
    middle = after[:, 2]  # where black takes 0.3 and white nothing, 0.5 becomes (0.5 - 0.3) / 0.7
    assert middle.min() == pytest.approx(0.2 / 0.7, abs=0.05)
    assert middle.max() == pytest.approx(0.5 / 0.7, abs=0.05)


def test_distort_gives_each_image_its_own_pen_after_it_has_moved_them() -> None:
    images = np.repeat(pictures(1), 2 * GROUP, axis=0)
    pens, plain = distorted(images, replace(ALL, pen=0.3)), distorted(images, ALL)
    assert np.abs(pens[0] - pens[GROUP - 1]).max() > 0.05
    for changed, moved in zip(pens, plain, strict=True):
        grey = (changed > 0) & (changed < 1)
        slope, start = np.polyfit(moved[grey], changed[grey], 1)
        np.testing.assert_allclose(changed, (slope * moved + start).clip(0, 1), atol=1e-4)
        black, white = -start / slope, (1 - start) / slope  # what lies between is stretched to both
        assert -1e-4 <= black <= 0.3
        assert 0.7 <= white <= 1 + 1e-4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distort_returns_rows_of_the_type_asked_for(dtype: type[np.floating]) -> None:
    pixels = augmenter_of(ALL, 9, dtype).distort(pictures(9))
    assert (pixels.shape, pixels.dtype) == ((9, 784), dtype)


@pytest.mark.parametrize(
    ("augmentation", "movement"),
    [
        (Augmentation(rotation=30, scale=0, shear=0, shift=0), 13.5 * math.sqrt(2) * 2 * math.sin(math.radians(15))),
        (Augmentation(rotation=0, scale=0.2, shear=0, shift=0), 13.5 * 0.2 * math.sqrt(2)),
        (Augmentation(rotation=0, scale=0, shear=0.2, shift=0), 13.5 * 0.2),
        (Augmentation(rotation=0, scale=0, shear=0, shift=2), 2 * math.sqrt(2)),
    ],
    ids=["rotation", "scale", "shear", "shift"],
)
def test_source_positions_lie_no_further_away_than_asked_for(augmentation: Augmentation, movement: float) -> None:
    rows, columns = positions(500, augmentation)
    y, x = np.indices((28, 28)).reshape(2, 784, 1)
    distance = np.hypot(rows - y, columns - x)
    assert distance.max() <= movement + math.sqrt(2) / STEPS
    assert distance.max() > 0.7 * movement  # and the range is used


def test_source_positions_of_a_rotation_keep_the_distances_from_the_middle() -> None:
    rows, columns = positions(9, Augmentation(rotation=20, scale=0, shear=0, shift=0))
    y, x = (np.indices((28, 28)) - 13.5).reshape(2, 784, 1)
    inner = np.hypot(y, x)[:, 0] < 9  # no corner is cut here
    distance = np.hypot(rows - 13.5, columns - 13.5)
    np.testing.assert_allclose(distance[inner], np.broadcast_to(np.hypot(y, x), distance.shape)[inner], atol=1 / STEPS)


def test_elastic_fields_have_the_size_and_the_smoothness_asked_for() -> None:
    fields = {
        sigma: elastic_fields(40, Augmentation(0, 0, 0, 0, alpha=1.7, sigma=sigma), np.random.default_rng(2))
        for sigma in (1.0, 4.0)
    }
    for field in fields.values():
        np.testing.assert_allclose(np.sqrt(np.mean((field**2).sum(axis=0), axis=0)), 1.7, rtol=1e-5)
    rough, smooth = (np.abs(np.diff(field.reshape(2, 28, 28, 40), axis=2)).mean() for field in fields.values())
    assert smooth < rough / 2


@pytest.mark.parametrize("sigma", [1.5, 3.0, 4.0])
def test_elastic_fields_are_like_fields_smoothed_pixel_by_pixel(sigma: float) -> None:
    count = 4000
    fields = elastic_fields(count, Augmentation(0, 0, 0, 0, alpha=1, sigma=sigma), np.random.default_rng(3))
    distance = np.subtract.outer(np.arange(28), np.arange(28))
    gaussian = np.exp(-((distance / sigma) ** 2) / 2)
    plain = gaussian @ np.random.default_rng(4).uniform(-1, 1, (2 * count, 28, 28)) @ gaussian
    plain = plain.reshape(2, count, 784).transpose(0, 2, 1)
    plain /= np.sqrt((plain**2).sum(axis=0).mean(axis=0))
    y, x = 14, np.arange(8, 20)  # from a pixel of the middle to others of its row
    ours, theirs = (
        [np.mean(field[0, 28 * y + 14] * field[0, 28 * y + other]) for other in x] for field in (fields, plain)
    )
    np.testing.assert_allclose(ours, theirs, atol=0.05)
    # there is no more of it in one place than in another, as there would be where the random numbers stand
    ours, theirs = (field[:, 28 * y + x].std(axis=(0, 2)) for field in (fields, plain))
    np.testing.assert_allclose(ours, theirs, rtol=0.06)


def test_source_positions_stay_inside_the_image() -> None:
    wild = Augmentation(rotation=180, scale=0.9, shear=2, shift=28, alpha=28, sigma=2)
    for found in positions(50, wild):
        assert found.min() == 0
        assert found.max() == 27


def test_distort_keeps_the_ink_of_a_digit() -> None:
    images = np.zeros((8, 28, 28), np.uint8)
    images[:, 8:20, 12:16] = 255
    result = distorted(images, Augmentation(rotation=10, scale=0, shear=0.1, shift=1))
    assert result.sum() == pytest.approx(8 * 12 * 4, rel=0.02)
    assert result.min() >= 0
    assert result.max() <= 1
