import math

import numpy as np
import pytest

from nnctl.data.augment import GROUP, Deformation, deform, deformed, elastic_fields, source_positions

STILL = Deformation(rotation=0, scale=0, shear=0, shift=0)
ALL = Deformation(rotation=12, scale=0.1, shear=0.15, shift=1.5, alpha=1.2, sigma=3)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 28, 28), dtype=np.float32)


def slow_lookup(image: np.ndarray, row: float, column: float) -> float:
    """The bilinear mean of the four pixels around a position, one pixel at a time."""
    top, left = min(math.floor(row), 26), min(math.floor(column), 26)
    total = 0.0
    for r in (top, top + 1):
        for c in (left, left + 1):
            total += float(image[r, c]) * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


@pytest.mark.parametrize("count", [1, GROUP, 2 * GROUP + 3])
def test_deforming_equals_looking_up_every_pixel_by_itself(count: int) -> None:
    x = pictures(count)
    before = x.copy()
    groups = -(-count // GROUP)
    rows, columns = source_positions(groups, 28, 28, ALL, np.random.default_rng(5))
    deform(x, ALL, np.random.default_rng(5))
    for i in range(count):
        for pixel in range(0, 784, 37):
            expected = slow_lookup(before[i], rows[i // GROUP, pixel], columns[i // GROUP, pixel])
            assert x[i].ravel()[pixel] == pytest.approx(expected, abs=1e-5)


def test_no_deformation_leaves_every_bit() -> None:
    x = pictures(11)
    before = x.copy()
    deform(x, STILL, np.random.default_rng(0))
    np.testing.assert_array_equal(x, before)


def test_the_same_generator_deforms_alike_and_another_differently() -> None:
    results = []
    for seed in (1, 1, 2):
        x = pictures(16)
        deform(x, ALL, np.random.default_rng(seed))
        results.append(x)
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 0.1


def test_images_of_one_group_move_together_and_those_of_another_do_not() -> None:
    x = np.repeat(pictures(1), 2 * GROUP, axis=0)
    deform(x, ALL, np.random.default_rng(3))
    np.testing.assert_array_equal(x[0], x[GROUP - 1])
    assert np.abs(x[0] - x[GROUP]).max() > 0.1


@pytest.mark.parametrize(
    ("deformation", "movement"),
    [
        (Deformation(rotation=30, scale=0, shear=0, shift=0), 13.5 * math.sqrt(2) * 2 * math.sin(math.radians(15))),
        (Deformation(rotation=0, scale=0.2, shear=0, shift=0), 13.5 * 0.2 * math.sqrt(2)),
        (Deformation(rotation=0, scale=0, shear=0.2, shift=0), 13.5 * 0.2),
        (Deformation(rotation=0, scale=0, shear=0, shift=2), 2 * math.sqrt(2)),
    ],
    ids=["rotation", "scale", "shear", "shift"],
)
def test_no_pixel_comes_from_further_away_than_asked_for(deformation: Deformation, movement: float) -> None:
    rows, columns = source_positions(500, 28, 28, deformation, np.random.default_rng(0))
    y, x = np.indices((28, 28)).reshape(2, 1, -1)
    distance = np.hypot(rows - y, columns - x)
    assert distance.max() <= movement + 1e-9
    assert distance.max() > 0.7 * movement  # and the range is used


def test_a_rotation_keeps_the_middle_and_the_distances_from_it() -> None:
    turn = Deformation(rotation=20, scale=0, shear=0, shift=0)
    rows, columns = (
        positions.reshape(9, 28, 28) for positions in source_positions(9, 28, 28, turn, np.random.default_rng(1))
    )
    inner = np.s_[:, 8:20, 8:20]  # no corner is cut here
    y, x = np.indices((28, 28)) - 13.5
    np.testing.assert_allclose(
        np.hypot(rows - 13.5, columns - 13.5)[inner], np.broadcast_to(np.hypot(y, x), (9, 28, 28))[inner]
    )


def test_an_elastic_field_has_the_size_and_the_smoothness_asked_for() -> None:
    fields = {
        sigma: elastic_fields(40, 28, 28, Deformation(0, 0, 0, 0, alpha=1.7, sigma=sigma), np.random.default_rng(2))
        for sigma in (1.0, 4.0)
    }
    for field in fields.values():
        np.testing.assert_allclose(np.sqrt(np.mean((field**2).sum(axis=0), axis=1)), 1.7)
    rough, smooth = (np.abs(np.diff(field.reshape(2, 40, 28, 28), axis=3)).mean() for field in fields.values())
    assert smooth < rough / 2


def test_positions_stay_inside_the_image() -> None:
    wild = Deformation(rotation=180, scale=0.9, shear=2, shift=28, alpha=28, sigma=2)
    for positions in source_positions(50, 28, 28, wild, np.random.default_rng(0)):
        assert positions.min() >= 0
        assert positions.max() <= 27


def test_deformed_passes_batches_and_labels_on_in_their_own_memory() -> None:
    x, labels = pictures(5), np.arange(5)
    before = x.copy()
    ((y, same),) = deformed([(x, labels)], ALL, np.random.default_rng(0))
    assert y is x
    assert same is labels
    assert np.abs(y - before).max() > 0.1


def test_a_digit_keeps_its_ink() -> None:
    x = np.zeros((8, 28, 28), np.float32)
    x[:, 8:20, 12:16] = 1
    ink = x.sum()
    deform(x, Deformation(rotation=10, scale=0, shear=0.1, shift=1), np.random.default_rng(0))
    assert x.sum() == pytest.approx(ink, rel=0.02)
    assert x.min() >= 0
    assert x.max() <= 1 + 1e-6
