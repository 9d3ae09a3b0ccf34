"""The network: layers in a row, run forwards for an answer and backwards for the gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import DTypeLike

from nnctl.nn import Array
from nnctl.nn.initializers import Initializer
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear


class Network:
    """Layers in a row, with all their parameters in one flat vector and all gradients in another.

    Args:
        layers: the layers by name, in forward order.
        input_shape: the shape of one image, such as (28, 28) or (784,).
        dtype: float32 to train, float64 to check gradients.

    Attributes:
        params: (P,) every weight and bias; zeros until `initialize` or a checkpoint fills it.
        grads: (P,) the gradients, overwritten by each `backward`.

    Raises:
        ValueError: a layer's inputs do not fit the outputs of the one before, or no layer has parameters.
    """

    def __init__(
        self, layers: Mapping[str, Layer], input_shape: tuple[int, ...], dtype: DTypeLike = np.float32
    ) -> None:
        self.names = tuple(layers)
        self.layers = tuple(layers.values())
        self.dtype = np.dtype(dtype)
        self.shapes = [input_shape]  # of one image before the first layer and after each
        for layer in self.layers:
            self.shapes.append(layer.output_shape(self.shapes[-1]))
        size = sum(int(np.prod(shape)) for layer in self.layers for shape in layer.parameter_shapes().values())
        self.params = np.zeros(size, self.dtype)
        self.grads = np.zeros(size, self.dtype)
        for layer, params, grads in zip(self.layers, self._views(self.params), self._views(self.grads), strict=True):
            layer.bind(params, grads)
        if not size:
            raise ValueError("a network without parameters has nothing to learn")
        self._first_trained = next(i for i, layer in enumerate(self.layers) if layer.parameter_shapes())

    def named(self, vector: Array) -> dict[str, Array]:
        """View a flat (P,) vector as arrays named `<layer>.<parameter>`, such as `hidden1.weight`."""
        return {
            f"{layer}.{name}": view
            for layer, views in zip(self.names, self._views(vector), strict=True)
            for name, view in views.items()
        }

    def _views(self, vector: Array) -> Iterator[dict[str, Array]]:
        """For each layer, its parameters as reshaped views of a flat (P,) vector."""
        begin = 0
        for layer in self.layers:
            views = {}
            for name, shape in layer.parameter_shapes().items():
                end = begin + int(np.prod(shape))
                views[name] = vector[begin:end].reshape(shape)
                begin = end
            yield views

    def initialize(self, initializer: Initializer, rng: np.random.Generator) -> None:
        """Start anew: random weights, zero biases."""
        self.params[:] = 0
        for layer in self.layers:
            if isinstance(layer, Linear):
                layer.weight[:] = initializer(rng, layer.inputs, layer.outputs)

    def forward(self, x: Array, work: Workspace, rng: np.random.Generator | None = None) -> Array:
        """Run the layers in order and return the logits (B, C), in memory of `work`.

        Args:
            x: a batch of images, (B, 28, 28) or (B, 784), B at most the workspace's.
            work: memory for the activations; keeps what `backward` needs.
            rng: drives dropout while training; None when evaluating.
        """
        work.values[0] = x
        for i, layer in enumerate(self.layers):
            out = work.outputs[i]
            out = None if out is None else out[: len(x)]
            x = layer.forward(x, out, rng) if isinstance(layer, Dropout) else layer.forward(x, out)
            work.values[i + 1] = x
        return x

    def backward(self, dlogits: Array, work: Workspace) -> None:
        """Run the layers in reverse order and fill `grads`, given the gradient of the loss by the logits (B, C).

        The first layer with parameters is the last to be asked: nobody needs the gradient of the pixels.
        """
        dy = dlogits
        for i in reversed(range(self._first_trained, len(self.layers))):
            layer, x, y = self.layers[i], work.values[i], work.values[i + 1]
            layer.backward_params(dy, x)
            if i > self._first_trained:
                dx = work.gradients[i]
                dy = layer.backward(dy, x, y, out=None if dx is None else dx[: len(dy)])


class Workspace:
    """Memory for the activations and gradients of one batch, allocated once and reused every step.

    Args:
        network: whose layers need the memory.
        batch_size: B, the largest batch that will come; a shorter one uses the first rows.

    Attributes:
        outputs: for each layer its y (B, O), or None where it returns a view; a layer that can work in place
            overwrites the y of a linear layer before it.
        gradients: for each layer its dx (B, I), or None where nobody asks for it.
        values: the network's input and each layer's output, as the last forward pass left them.
        probs: (B, C) for the loss.
    """

    def __init__(self, network: Network, batch_size: int) -> None:
        def rows(shape: tuple[int, ...]) -> Array:
            if shape == network.shapes[-1]:  # the loss looks for the largest class, and adds them up, thrice as fast
                return np.empty((*shape, batch_size), network.dtype).T  # with the numbers of a class side by side
            return np.empty((batch_size, *shape), network.dtype)

        self.outputs: list[Array | None] = []
        self.gradients: list[Array | None] = []
        for i, layer in enumerate(network.layers):
            x_shape, y_shape = network.shapes[i], network.shapes[i + 1]
            if layer.in_place and i and isinstance(network.layers[i - 1], Linear):
                self.outputs.append(self.outputs[-1])  # a linear layer's backward never looks at its y
            else:
                self.outputs.append(None if isinstance(layer, Flatten) else rows(y_shape))
            self.gradients.append(rows(x_shape) if i > network._first_trained else None)
        self.values: list[Array] = [np.empty(0, network.dtype)] * (len(network.layers) + 1)
        self.probs = rows(network.shapes[-1])
