"""Examples: they are checked, the split takes the end, and batches gather exactly what was shuffled."""

import numpy as np
import pytest

from nnctl.data.examples import Examples, batches, check_examples, split
from nnctl.errors import ArgumentError, ConfigError

N = 23
RNG = np.random.default_rng(0)
EXAMPLES = Examples(RNG.integers(0, 256, (N, 28, 28), np.uint8), RNG.integers(0, 10, N))


def gathered(shuffled: np.ndarray, batch_size: int, dtype: type = np.float32) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x.copy(), labels.copy()) for x, labels in batches(EXAMPLES, shuffled, batch_size, dtype)]


def test_split_takes_validation_from_the_end_and_training_from_the_rest():
    training, validation = split(EXAMPLES, 5)
    np.testing.assert_array_equal(training.images, EXAMPLES.images[:18])
    np.testing.assert_array_equal(training.labels, EXAMPLES.labels[:18])
    np.testing.assert_array_equal(validation.images, EXAMPLES.images[18:])
    np.testing.assert_array_equal(validation.labels, EXAMPLES.labels[18:])


def test_split_without_validation_trains_on_all_images():
    training, validation = split(EXAMPLES, 0)
    assert len(training) == N
    assert len(validation) == 0


@pytest.mark.parametrize(("limit", "expected"), [(None, 18), (1, 1), (7, 7), (18, 18), (19, 18), (1000, 18)])
def test_split_with_a_limit_takes_the_first_images_and_leaves_validation_alone(limit, expected):
    training, validation = split(EXAMPLES, 5, limit)
    np.testing.assert_array_equal(training.images, EXAMPLES.images[:expected])
    np.testing.assert_array_equal(validation.images, EXAMPLES.images[18:])


@pytest.mark.parametrize("validation", [N, N + 1, 1000])
def test_split_refuses_a_validation_that_leaves_nothing_to_train_on(validation):
    with pytest.raises(ConfigError, match=f"data.validation: {validation} of 23 training images cannot be held out"):
        split(EXAMPLES, validation)
    assert len(split(EXAMPLES, N - 1)[0]) == 1


@pytest.mark.parametrize("batch_size", [1, 4, 22, 23, 24, 100])
def test_batches_hold_exactly_the_shuffled_images_and_their_labels(batch_size):
    shuffled = RNG.permutation(N)
    made = gathered(shuffled, batch_size)
    sizes = [len(x) for x, _ in made]
    assert sizes == [min(batch_size, N - begin) for begin in range(0, N, batch_size)]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in made]), EXAMPLES.labels[shuffled])
    pixels = np.rint(np.concatenate([x for x, _ in made]) * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels, EXAMPLES.images[shuffled])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_round_each_pixel_once_to_a_255th(dtype):
    every = Examples(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), np.zeros(1, np.intp))
    ((x, _),) = batches(every, np.array([0]), 1, dtype)
    assert x.dtype == dtype
    assert x.ravel().tolist() == [float(dtype(pixel / 255)) for pixel in range(256)]
    assert x.min() == 0.0
    assert x.max() == 1.0


def test_batches_of_no_indices_are_none():
    assert gathered(np.array([], np.intp), 4) == []


def test_batches_use_the_same_memory_again():
    first, second = (x for x, _ in batches(EXAMPLES, np.arange(8), 4, np.float32))
    assert np.shares_memory(first, second)


def test_batches_leave_the_images_as_they_are():
    before = EXAMPLES.images.copy()
    gathered(np.arange(N), 4)
    np.testing.assert_array_equal(EXAMPLES.images, before)


def test_batches_hand_the_gathered_images_to_the_augmentation():
    seen: list[np.ndarray] = []

    def augment(images: np.ndarray) -> np.ndarray:
        seen.append(images.copy())
        return np.full((len(images), 784), len(seen), np.float32)

    shuffled = RNG.permutation(N)
    made = [(x.copy(), labels.copy()) for x, labels in batches(EXAMPLES, shuffled, 10, np.float32, augment)]
    np.testing.assert_array_equal(np.concatenate(seen), EXAMPLES.images[shuffled])
    assert [(x.shape, x[0, 0]) for x, _ in made] == [((10, 784), 1), ((10, 784), 2), ((3, 784), 3)]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in made]), EXAMPLES.labels[shuffled])


# What examples are made of


IMAGES = np.zeros((4, 28, 28), np.uint8)


@pytest.mark.parametrize("labels", [[0, 1, 2, 25], (0, 1, 2, 25), np.array([0, 1, 2, 25], np.uint8)], ids=str)
def test_examples_hold_images_with_whole_numbers_as_labels(labels):
    examples = Examples(IMAGES, labels)
    assert len(examples) == 4
    assert isinstance(examples.labels, np.ndarray)
    assert examples.labels.tolist() == [0, 1, 2, 25]
    assert examples[1:3].labels.tolist() == [1, 2]
    assert len(examples[1:3]) == 2


@pytest.mark.parametrize(
    ("images", "shown"),
    [
        (IMAGES.astype(np.float32), "(4, 28, 28) of float32"),
        (IMAGES.astype(np.int64), "(4, 28, 28) of int64"),
        (IMAGES.tolist(), "(4, 28, 28) of int64"),
        (IMAGES.reshape(4, 784), "(4, 784) of uint8"),
        (IMAGES[0], "(28, 28) of uint8"),
        (IMAGES[..., np.newaxis], "(4, 28, 28, 1) of uint8"),
        ("digits", "() of <U6"),
    ],
    ids=["floats", "integers", "lists", "rows", "one image", "with channels", "a text"],
)
def test_examples_refuse_what_are_no_images_of_bytes(images, shown):
    with pytest.raises(ArgumentError) as caught:
        Examples(images, np.zeros(4, int))
    assert caught.value.message == f"images are (N, 28, 28) bytes from 0 to 255, not {shown}"
    assert "(255 * images).round().astype(numpy.uint8)" in caught.value.hint


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (np.zeros(4), "(4,) of float64"),
        (np.zeros(4, bool), "(4,) of bool"),
        (np.zeros(3, int), "(3,) of int64"),
        (np.zeros((4, 10), int), "(4, 10) of int64"),
        (5, "() of int64"),
        (["a", "b", "c", "d"], "(4,) of <U1"),
    ],
    ids=["floats", "bools", "too few", "one-hot", "a number", "letters"],
)
def test_examples_refuse_labels_that_are_not_a_whole_number_for_each_image(labels, shown):
    with pytest.raises(ArgumentError) as caught:
        Examples(IMAGES, labels)
    assert caught.value.message == f"labels are (4,) whole numbers, one for each image, not {shown}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_examples_pixels_lie_between_0_and_1(dtype):
    pixels = EXAMPLES.pixels(dtype)
    assert (pixels.shape, pixels.dtype) == ((N, 28, 28), dtype)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    np.testing.assert_array_equal(np.rint(pixels * 255), EXAMPLES.images)


def test_examples_check_passes_labels_below_the_number_of_classes():
    letters = Examples(IMAGES, np.array([0, 1, 2, 25]))
    check_examples(letters, 784, 26)
    check_examples(letters, 784, 100)
    check_examples(EXAMPLES, 784, 10)


@pytest.mark.parametrize(
    ("labels", "classes"), [([0, 1, 2, 25], 10), ([0, 1, 2, 25], 25), ([-1, 0, 1, 2], 10)], ids=str
)
def test_examples_check_names_labels_that_the_network_has_no_output_for(labels, classes):
    with pytest.raises(ArgumentError) as caught:
        check_examples(Examples(IMAGES, labels), 784, classes)
    assert caught.value.message == (
        f"the labels go from {min(labels)} to {max(labels)}, but the network has {classes} outputs"
    )
    assert caught.value.hint == "a network needs an output for each class, the first of which is 0"


def test_examples_check_refuses_none_at_all():
    with pytest.raises(ArgumentError, match="there are no examples"):
        check_examples(EXAMPLES[:0], 784, 10)
