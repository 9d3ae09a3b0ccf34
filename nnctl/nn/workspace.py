"""Memory for one batch on its way through a network, allocated once."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from nnctl.nn.arrays import Array
from nnctl.nn.layers import Layer, Shape


class Layered(Protocol):
    """What a workspace needs to know of a network."""

    layers: tuple[Layer, ...]
    shapes: list[Shape]
    first_trained: int
    dtype: np.dtype[Any]


class Workspace:
    """Memory for the activations and gradients of one batch, allocated once and reused every step.

    Args:
        network: whose layers need the memory.
        batch_size: B, the largest batch that will come; a shorter one uses the first rows.

    Attributes:
        outputs: for each layer its y (B, O), or None where it returns a view; a layer that can work in place
            overwrites the y of a layer before it that does not need it.
        gradients: for each layer its dx (B, I), or None where nobody asks for it.
        values: the network's input and each layer's output, as the last forward pass left them.
        probs, dlogits: (B, C) for the loss.
    """

    def __init__(self, network: Layered, batch_size: int) -> None:
        def rows(shape: Shape) -> Array:
            if shape == network.shapes[-1] and len(shape) == 1:
                # the loss compares and adds up the classes faster with the numbers of a class side by side
                return np.empty((*shape, batch_size), network.dtype).T
            return np.empty((batch_size, *shape), network.dtype)

        self.batch_size = batch_size
        self.outputs: list[Array | None] = []
        self.gradients: list[Array | None] = []
        before: Layer | None = None
        for i, layer in enumerate(network.layers):
            if layer.in_place and before is not None and not before.reads_output and not before.is_view:
                self.outputs.append(self.outputs[-1])
            else:
                self.outputs.append(None if layer.is_view else rows(network.shapes[i + 1]))
            self.gradients.append(rows(network.shapes[i]) if i > network.first_trained else None)
            before = layer
        self.values: list[Array] = [np.empty(0, network.dtype)] * (len(network.layers) + 1)
        self.probs = rows(network.shapes[-1])
        self.dlogits = rows(network.shapes[-1])
