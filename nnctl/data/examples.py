"""Images with their labels: split into training and validation, gathered into batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nnctl.errors import ArgumentError, ConfigError
from nnctl.nn.arrays import Array, Labels


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images with their labels.

    Attributes:
        images: (N, 28, 28) uint8, 0 black to 255 white.
        labels: (N,) integers from 0 to C - 1.

    Raises:
        ArgumentError: they are no such arrays.
    """

    images: NDArray[np.uint8]
    labels: Labels

    def __post_init__(self) -> None:
        try:
            images, labels = np.asarray(self.images), np.asarray(self.labels)
        except ValueError as error:
            raise ArgumentError("images and labels are arrays, with rows of one length") from error
        if images.dtype != np.uint8 or images.ndim != 3:
            hint = "pixels from 0 to 1 become (255 * images).round().astype(numpy.uint8)"
            raise ArgumentError(f"images are (N, 28, 28) bytes from 0 to 255, not {_kind(images)}", hint)
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise ArgumentError(f"labels are ({len(images)},) whole numbers, one for each image, not {_kind(labels)}")
        object.__setattr__(self, "images", images)  # what was given may be a list
        object.__setattr__(self, "labels", labels)

    def pixels(self, dtype: DTypeLike = np.float32) -> Array:
        """The images as (N, 28, 28) numbers between 0 (black) and 1 (white), as a network takes them."""
        return self.images.astype(dtype) / 255

    def __repr__(self) -> str:
        return f"Examples({len(self):,} images of {'x'.join(map(str, self.images.shape[1:]))})"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Examples:
        if not isinstance(part, slice):
            raise ArgumentError("examples[:5] are the first five; examples.images[0] is the first image")
        return Examples(self.images[part], self.labels[part])


def check_examples(examples: object, pixels: int, classes: int) -> None:
    """Raise ArgumentError unless these are examples, at least one, all of so many pixels and of so many classes."""
    if not isinstance(examples, Examples):
        raise ArgumentError(
            f"a network learns from Examples, not from a {type(examples).__name__}",
            "those of a dataset are its .train; yours are Examples(images, labels)",
        )
    if not len(examples):
        raise ArgumentError("there are no examples")
    height, width = examples.images.shape[1:]
    if height * width != pixels:
        raise ArgumentError(f"the network takes images of {pixels} pixels, not of {height}x{width}")
    low, high = int(examples.labels.min()), int(examples.labels.max())
    if low < 0 or high >= classes:
        raise ArgumentError(
            f"the labels go from {low} to {high}, but the network has {classes} outputs",
            "a network needs an output for each class, the first of which is 0",
        )


def _kind(array: NDArray[np.generic]) -> str:
    return f"{array.shape} of {array.dtype}"


def split(examples: Examples, validation: int, limit: int | None = None) -> tuple[Examples, Examples]:
    """Hold out images from the end of the training set; returns (training, validation).

    Args:
        examples: the training set.
        validation: how many images to hold out.
        limit: the most to train on; the first so many are taken. None takes all.

    Raises:
        ConfigError: there would be nothing left to train on.
    """
    begin = len(examples) - validation
    if validation < 0 or begin < 1:
        raise ConfigError(
            f"data.validation: {validation} of {len(examples)} training images cannot be held out",
            "some must be left to train on",
        )
    return examples[: min(begin, limit or begin)], examples[begin:]


def batches(
    examples: Examples,
    shuffled: NDArray[np.intp],
    batch_size: int,
    dtype: DTypeLike,
    augment: Callable[[NDArray[np.uint8]], Array] | None = None,
) -> Iterator[tuple[Array, Labels]]:
    """Gather the images by these indices, `batch_size` at a time; the last batch may be shorter.

    Args:
        examples: what to gather from.
        shuffled: indices of examples.
        batch_size: B.
        dtype: of the pixels.
        augment: turns images (B, 28, 28) uint8 into distorted pixels (B, 784); None leaves them as they are.

    Yields:
        x (B, 28, 28) or (B, 784), pixels from 0.0 to 1.0, and labels (B,), in memory that the next batch overwrites.
    """
    gathered = np.empty((batch_size, *examples.images.shape[1:]), np.uint8)
    x = np.empty(gathered.shape, dtype)  # reused every step
    labels = np.empty(batch_size, examples.labels.dtype)
    for begin in range(0, len(shuffled), batch_size):
        chosen = shuffled[begin : begin + batch_size]
        n = len(chosen)
        # they are valid indices; "clip" spares take() a copy that "raise" would need to be safe
        np.take(examples.images, chosen, axis=0, out=gathered[:n], mode="clip")
        np.take(examples.labels, chosen, out=labels[:n], mode="clip")
        if augment is None:
            np.copyto(x[:n], gathered[:n])  # to convert first and then divide is three times as fast as both at once
            x[:n] /= 255
        yield x[:n] if augment is None else augment(gathered[:n]), labels[:n]
