"""Drawn digits beside those of a dataset: how many, which, and that the dataset's own stay as they are."""

import numpy as np
import pytest

from nnctl.data import synthetic
from nnctl.data.mix import mixed, sha256_of_drawn
from nnctl.nn.streams import Purpose, new_seed, stream
from tests.support.trainings import NONE, TRAIN


@pytest.mark.parametrize(("share", "drawn"), [(0.25, 75), (1, 300), (0.0049, 1)])
def test_mixed_puts_a_share_of_drawn_digits_behind_the_images(share: float, drawn: int) -> None:
    examples = mixed(TRAIN, share, 0)
    assert len(examples) == len(TRAIN) + drawn
    np.testing.assert_array_equal(examples.images[: len(TRAIN)], TRAIN.images)
    np.testing.assert_array_equal(examples.labels[: len(TRAIN)], TRAIN.labels)
    counts = np.bincount(examples.labels[len(TRAIN) :], minlength=10)
    assert counts.max() - counts.min() <= 1  # as synthetic.draw has it: these are its labels, not others


@pytest.mark.parametrize("share", [0.0, 0.0001])
def test_mixed_without_a_drawn_digit_gives_the_images_themselves(share: float) -> None:
    assert mixed(TRAIN, share, 0) is TRAIN


def test_mixed_draws_the_same_digits_for_the_same_seed_and_others_for_another() -> None:
    one, again, other = (mixed(TRAIN, 0.1, seed)[len(TRAIN) :] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert not np.array_equal(one.images, other.images)


def test_mixed_draws_no_digits_that_the_synthetic_dataset_has() -> None:
    drawn = mixed(TRAIN, 0.1, 0).images[len(TRAIN) :]
    for seed in (0, 1):  # its training and its test images
        assert not np.array_equal(drawn, synthetic.draw(len(drawn), seed)[0])


def test_mixed_draws_rare_ways_to_write_as_often_as_common_ones() -> None:
    drawn = mixed(TRAIN, 1, 0).images[len(TRAIN) :]
    seed = new_seed(stream(0, Purpose.MIX))
    np.testing.assert_array_equal(drawn, synthetic.draw(len(drawn), seed, evenly=True)[0])


def test_sha256_of_drawn_tells_digits_apart_and_says_nothing_of_none() -> None:
    digits = TRAIN[:5]
    assert sha256_of_drawn(NONE) == {}
    assert list(sha256_of_drawn(digits)) == ["drawn digits"]
    other = TRAIN[:5].images.copy()
    other[4, 14, 14] ^= 1
    relabelled = (digits.labels + 1) % 10
    told = [sha256_of_drawn(type(TRAIN)(*each)) for each in ((other, digits.labels), (digits.images, relabelled))]
    assert len({each["drawn digits"] for each in (sha256_of_drawn(digits), *told)}) == 3
