"""Images with their right answers: split into training and validation, gathered into batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nnctl.errors import ConfigError
from nnctl.nn import Array, Labels


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images with their right answers.

    Attributes:
        images: (N, 28, 28) uint8, 0 black to 255 white.
        labels: (N,) integers from 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: Labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Examples:
        return Examples(self.images[part], self.labels[part])


def split(examples: Examples, validation: int, limit: int | None = None) -> tuple[Examples, Examples]:
    """Hold back images from the end of the training set; returns (training, validation).

    Args:
        examples: the training set.
        validation: how many images to hold back.
        limit: the most to train on; the first so many are taken. None takes all.

    Raises:
        ConfigError: there would be nothing left to train on.
    """
    begin = len(examples) - validation
    if begin < 1:
        raise ConfigError(
            f"data.validation: {validation} of {len(examples)} training images leave none to train on",
            "choose a smaller number",
        )
    return examples[: min(begin, limit or begin)], examples[begin:]


def batches(
    examples: Examples,
    order: NDArray[np.intp],
    batch_size: int,
    dtype: DTypeLike,
    deform: Callable[[NDArray[np.uint8]], Array] | None = None,
) -> Iterator[tuple[Array, Labels]]:
    """Gather the images in the given order, `batch_size` at a time; the last batch may be shorter.

    Args:
        examples: what to gather from.
        order: indices of examples.
        batch_size: B.
        dtype: of the pixels.
        deform: turns images (B, 28, 28) uint8 into deformed pixels (B, 784); None leaves them as they are.

    Yields:
        x (B, 28, 28) or (B, 784), pixels from 0.0 to 1.0, and labels (B,), in memory that the next batch overwrites.
    """
    gathered = np.empty((batch_size, *examples.images.shape[1:]), np.uint8)
    x = np.empty(gathered.shape, dtype)  # reused every step
    labels = np.empty(batch_size, examples.labels.dtype)
    for begin in range(0, len(order), batch_size):
        chosen = order[begin : begin + batch_size]
        n = len(chosen)
        # the order holds valid indices only; "clip" spares take() a copy that "raise" would need to be safe
        np.take(examples.images, chosen, axis=0, out=gathered[:n], mode="clip")
        np.take(examples.labels, chosen, out=labels[:n], mode="clip")
        if deform is None:
            np.copyto(x[:n], gathered[:n])  # to convert first and then divide is three times as fast as both at once
            x[:n] /= 255
        yield x[:n] if deform is None else deform(gathered[:n]), labels[:n]
