"""Check what comes to a network from outside: images and saved arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from nnctl.errors import ArgumentError
from nnctl.nn.arrays import Array
from nnctl.nn.layers import Shape


def copy_arrays(source: Mapping[str, ArrayLike], target: Mapping[str, Array], owner: str) -> None:
    """Copy arrays into those of the same names; nothing is copied unless all names and shapes fit.

    Raises:
        ArgumentError: it names what is missing, what is extra and what has another shape.
    """
    if not isinstance(source, Mapping):
        raise ArgumentError(f"arrays are loaded by name, from a mapping, not from a {type(source).__name__}")
    try:
        arrays = {name: np.asarray(array) for name, array in source.items()}
    except ValueError as error:
        raise ArgumentError("arrays have rows of one length; one of these has not") from error
    shapes = {name: array.shape for name, array in arrays.items()}
    missing, extra = [n for n in target if n not in shapes], [n for n in shapes if n not in target]
    other = [f"{n} is {shapes[n]}, not {a.shape}" for n, a in target.items() if n in shapes and shapes[n] != a.shape]
    other += [f"{n} is of {a.dtype}" for n, a in arrays.items() if a.dtype.kind not in "fiub"]
    faults = [f"missing {', '.join(missing)}"] * bool(missing) + [f"extra {', '.join(extra)}"] * bool(extra) + other
    if faults:
        raise ArgumentError(f"these arrays do not fit {owner}: {'; '.join(faults)}")
    for name, array in target.items():
        array[:] = arrays[name]


def checked_images(images: ArrayLike, shape: Shape, dtype: DTypeLike) -> Array:
    """Images that come from outside, as a batch (N, ...) of pixels between 0 and 1; raises ArgumentError."""
    try:
        array = np.asarray(images)
    except (ValueError, TypeError) as error:
        raise ArgumentError("images are arrays of numbers, all of one shape") from error
    pixels = int(np.prod(shape))
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"images are arrays of numbers, not of {array.dtype}")
    if array.size == 0:
        raise ArgumentError("there are no images to predict")
    if array.shape in {(28, 28), (784,), shape} and array.size == pixels:
        array = array[np.newaxis]
    if array.ndim < 2 or array[0].size != pixels:
        raise ArgumentError(f"the network takes images of {pixels} pixels, shape {shape}, not {array.shape}")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        hint = "divide by 255" if low >= 0 and 1 < high <= 255 else "0 is black, 1 is white"
        raise ArgumentError(f"pixels lie between 0 and 1; these go from {low:g} to {high:g}", hint)
    return np.asarray(array, dtype)
