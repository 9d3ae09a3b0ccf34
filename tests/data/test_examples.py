"""Examples: the split takes the end, and batches gather exactly what the order asks for."""

import numpy as np
import pytest

from nnctl.data.examples import Examples, batches, split
from nnctl.errors import ConfigError

N = 23
RNG = np.random.default_rng(0)
EXAMPLES = Examples(RNG.integers(0, 256, (N, 28, 28), np.uint8), RNG.integers(0, 10, N))


def gathered(order: np.ndarray, batch_size: int, dtype: type = np.float32) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x.copy(), labels.copy()) for x, labels in batches(EXAMPLES, order, batch_size, dtype)]


def test_validation_comes_from_the_end_and_training_is_the_rest():
    training, validation = split(EXAMPLES, 5)
    np.testing.assert_array_equal(training.images, EXAMPLES.images[:18])
    np.testing.assert_array_equal(training.labels, EXAMPLES.labels[:18])
    np.testing.assert_array_equal(validation.images, EXAMPLES.images[18:])
    np.testing.assert_array_equal(validation.labels, EXAMPLES.labels[18:])


def test_without_validation_all_images_train():
    training, validation = split(EXAMPLES, 0)
    assert len(training) == N
    assert len(validation) == 0


@pytest.mark.parametrize(("limit", "expected"), [(None, 18), (1, 1), (7, 7), (18, 18), (19, 18), (1000, 18)])
def test_a_limit_takes_the_first_images_and_leaves_validation_alone(limit, expected):
    training, validation = split(EXAMPLES, 5, limit)
    np.testing.assert_array_equal(training.images, EXAMPLES.images[:expected])
    np.testing.assert_array_equal(validation.images, EXAMPLES.images[18:])


@pytest.mark.parametrize("validation", [N, N + 1, 1000])
def test_a_validation_that_leaves_nothing_to_train_on_is_a_config_error(validation):
    with pytest.raises(ConfigError, match=f"data.validation: {validation} of 23 training images leave none"):
        split(EXAMPLES, validation)
    assert len(split(EXAMPLES, N - 1)[0]) == 1


@pytest.mark.parametrize("batch_size", [1, 4, 22, 23, 24, 100])
def test_batches_hold_exactly_the_ordered_images_and_their_labels(batch_size):
    order = RNG.permutation(N)
    made = gathered(order, batch_size)
    sizes = [len(x) for x, _ in made]
    assert sizes == [min(batch_size, N - begin) for begin in range(0, N, batch_size)]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in made]), EXAMPLES.labels[order])
    pixels = np.rint(np.concatenate([x for x, _ in made]) * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels, EXAMPLES.images[order])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_pixel_is_a_255th_rounded_once(dtype):
    every = Examples(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), np.zeros(1, np.intp))
    ((x, _),) = batches(every, np.array([0]), 1, dtype)
    assert x.dtype == dtype
    assert x.ravel().tolist() == [float(dtype(pixel / 255)) for pixel in range(256)]
    assert x.min() == 0.0
    assert x.max() == 1.0


def test_an_empty_order_makes_no_batch():
    assert gathered(np.array([], np.intp), 4) == []


def test_the_memory_of_a_batch_is_used_again():
    first, second = (x for x, _ in batches(EXAMPLES, np.arange(8), 4, np.float32))
    assert np.shares_memory(first, second)


def test_the_images_themselves_are_left_as_they_are():
    before = EXAMPLES.images.copy()
    gathered(np.arange(N), 4)
    np.testing.assert_array_equal(EXAMPLES.images, before)
