"""The network: layers in a row, run forwards for a prediction and backwards for the gradients."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from nnctl.errors import ArgumentError
from nnctl.nn.activations import Softmax
from nnctl.nn.arrays import Array
from nnctl.nn.checks import checked_images, copy_arrays
from nnctl.nn.initializers import Initializer, he
from nnctl.nn.layers import Layer, Shape
from nnctl.nn.streams import Purpose, stream
from nnctl.nn.workspace import Workspace

PREDICTED_AT_ONCE = 1000  # images, so that the memory for their activations stays small


class Network:
    """Layers in a row, with all their parameters in one flat vector and all gradients in another.

    Args:
        layers: in forward order, by name or as a sequence, whose layers are named after their class: linear1, relu1.
        seed: of the random first weights; None leaves every parameter zero until `initialize` or `load`.
        input_shape: the shape of one image, such as (28, 28); by default what the first layer asks for.
        initializer: draws the first weights, where there is a seed.
        output: turns the logits into what `predict` returns.
        dtype: float32 to train, float64 to check gradients.

    Attributes:
        params: (P,) every weight and bias.
        grads: (P,) the gradients, overwritten by each `backward`.
        first_trained: the place of the first layer that has parameters.
        state: the layers' own state beside their parameters, in one vector; mostly empty.

    Raises:
        ArgumentError: a layer's inputs do not fit the outputs of the one before, no layer has parameters, or one that
            has them comes twice.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer] | Sequence[Layer],
        *,
        seed: int | None = None,
        input_shape: Shape | None = None,
        initializer: Initializer = he,
        output: Layer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        named = _named(layers)
        self.names = tuple(named)
        self.layers = tuple(named.values())
        self.output = Softmax() if output is None else output
        self._output_given = output is not None
        self.dtype = np.dtype(dtype)
        self.shapes = [_input_shape(input_shape, self.layers)]  # of one image before the first layer and after each
        for layer in self.layers:
            self.shapes.append(layer.output_shape(self.shapes[-1]))
        self._image_shape = list(self.shapes[0])
        inputs = list(zip(self.layers, self.shapes, strict=False))
        self._parameters = [layer.parameter_shapes(shape) for layer, shape in inputs]
        self._states = [layer.state_shapes(shape) for layer, shape in inputs]
        self.params = np.zeros(_size(self._parameters), self.dtype)
        self.grads = np.zeros_like(self.params)
        self.state = np.zeros(_size(self._states), self.dtype)
        if not self.params.size:
            raise ArgumentError("a network without parameters has nothing to learn", "give it a Linear layer")
        owned = zip(self.layers, self._parameters, self._states, strict=True)
        owners = [id(layer) for layer, parameters, state in owned if parameters or state]
        if len(set(owners)) < len(owners):
            raise ArgumentError("a layer with parameters has one place in a network", "make a layer for each place")
        views = (_views(self.params, self._parameters), _views(self.grads, self._parameters))
        for layer, params, grads, state in zip(self.layers, *views, _views(self.state, self._states), strict=True):
            layer.bind(params, grads, state)
        self.first_trained = next(i for i, shapes in enumerate(self._parameters) if shapes)
        if seed is not None:
            self.initialize(initializer, stream(seed, Purpose.WEIGHTS))

    @property
    def pixels(self) -> int:
        """I of the first layer, the number of pixels of an image."""
        return int(np.prod(self.shapes[0]))

    @property
    def classes(self) -> int:
        """C, the number of outputs."""
        return int(np.prod(self.shapes[-1]))

    def largest_product(self, batch_size: int) -> tuple[int, int, int]:
        """B, I and O of the largest matrix product of a step, (B, I) @ (I, O)."""
        matrices = [shape for shapes in self._parameters for shape in shapes.values() if len(shape) == 2]
        inputs, outputs = max(matrices, key=np.prod, default=(1, 1))
        return batch_size, inputs, outputs

    def named(self, vector: Array) -> dict[str, Array]:
        """View a flat (P,) vector as arrays named `<layer>.<parameter>`, such as `hidden1.weight`."""
        return self._named_views(vector, self._parameters)

    def arrays(self) -> dict[str, Array]:
        """Views of all that a network has learned, its parameters and the layers' own state, by name."""
        return self.named(self.params) | self._named_views(self.state, self._states)

    def _named_views(self, vector: Array, shapes: Sequence[Mapping[str, Shape]]) -> dict[str, Array]:
        layers = zip(self.names, _views(vector, shapes), strict=True)
        return {f"{layer}.{name}": view for layer, views in layers for name, view in views.items()}

    def load(self, arrays: Mapping[str, ArrayLike]) -> None:
        """Copy saved arrays, such as `arrays()` gives, into the network.

        Raises:
            ArgumentError: they are not those of this network; it says which are missing, extra or of another shape.
        """
        copy_arrays(arrays, self.arrays(), "this network")

    def predict_by(self, output: Layer) -> None:
        """Let `predict` turn the logits into what a loss compares with the targets.

        Raises:
            ArgumentError: the network was given another output.
        """
        if self._output_given and type(output) is not type(self.output):
            raise ArgumentError(
                f"the network's output is {self.output!r}, but the loss compares that of {output!r}",
                "give both the same, or the network none",
            )
        self.output = output

    def initialize(self, initializer: Initializer, rng: np.random.Generator) -> None:
        """Start anew: random weights, zero biases, and the layers' own state as it was at first."""
        self.params[:] = 0
        self.state[:] = 0
        for layer in self.layers:
            layer.initialize(rng, initializer)

    def forward(self, x: Array, work: Workspace, rng: np.random.Generator | None = None) -> Array:
        """Run the layers in order and return the logits (B, C), in memory of `work`.

        Args:
            x: a batch of images, (B, 28, 28) or (B, 784), B at most the workspace's.
            work: memory for the activations; keeps what `backward` needs.
            rng: drives dropout while training; None when evaluating.
        """
        count, *shape = x.shape
        if count > work.batch_size:
            raise ArgumentError(f"a batch of {count} images is too large for a workspace of {work.batch_size}")
        if shape != self._image_shape:
            x = self._reshaped(x)
        work.values[0] = x
        for i, layer in enumerate(self.layers):
            out = work.outputs[i]
            x = layer.forward(x, None if out is None else out[:count], rng)
            work.values[i + 1] = x
        return x

    def _reshaped(self, x: Array) -> Array:
        """View images as the first layer wants them: rows of pixels as pictures, or the other way round."""
        try:
            return x.reshape(len(x), *self._image_shape)
        except ValueError as error:
            raise ArgumentError(f"the network takes images of shape {self.shapes[0]}, not {x.shape[1:]}") from error

    def backward(self, dlogits: Array, work: Workspace) -> None:
        """Run the layers in reverse order and fill `grads`, given the gradient of the loss by the logits (B, C).

        The first layer with parameters is the last to be asked: nobody needs the gradient of the pixels.
        """
        dy = dlogits
        for i in reversed(range(self.first_trained, len(self.layers))):
            layer, x, y = self.layers[i], work.values[i], work.values[i + 1]
            layer.backward_params(dy, x)
            if i > self.first_trained:
                dx = work.gradients[i]
                dy = layer.backward(dy, x, y, out=None if dx is None else dx[: len(dy)])

    @np.errstate(all="ignore")  # what overflows shows in outputs that are not finite
    def predict(self, images: ArrayLike) -> Array:
        """What the network makes of images: with softmax the probability of each class.

        Args:
            images: pixels between 0 (black) and 1 (white), one image (28, 28) or (784,), or a batch of them.

        Returns:
            (C,) for one image, (N, C) for a batch.

        Raises:
            ArgumentError: they are no such images.
        """
        x = checked_images(images, self.shapes[0], self.dtype)
        work = Workspace(self, min(len(x), PREDICTED_AT_ONCE))
        probs = np.empty((len(x), self.classes), self.dtype)
        for begin in range(0, len(x), PREDICTED_AT_ONCE):
            part = x[begin : begin + PREDICTED_AT_ONCE]
            self.output.forward(self.forward(part, work), out=probs[begin : begin + len(part)])
        return probs if x.shape == np.shape(images) else probs[0]

    def __repr__(self) -> str:
        trained = (after for after, own in zip(self.shapes[1:], self._parameters, strict=True) if own)
        sizes = "-".join(str(int(np.prod(shape))) for shape in (self.shapes[0], *trained))
        lines = [f"Network {sizes}, {self.params.size:,} parameters"]
        rows = zip(self.names, self.layers, self.shapes[:-1], self.shapes[1:], self._parameters, strict=True)
        width = max(map(len, self.names))
        for name, layer, before, after, shapes in rows:
            count = _size([shapes])
            line = f"  {name:<{width}}  {layer!r:<18}  {_shown(before)} -> {_shown(after)}"
            lines.append(line + (f", {count:,} parameters" if count else ""))
        return "\n".join(lines)


def _named(layers: Mapping[str, Layer] | Sequence[Layer]) -> dict[str, Layer]:
    if isinstance(layers, Mapping):
        named = dict(layers)
    elif isinstance(layers, Sequence) and not isinstance(layers, str):
        counts: collections.Counter[str] = collections.Counter()
        named = {}
        for place, layer in enumerate(layers, start=1):
            if not isinstance(layer, Layer):
                raise _no_layer(f"layer {place}", layer)
            kind = type(layer).__name__.lower()
            counts[kind] += 1
            named[f"{kind}{counts[kind]}"] = layer
    else:
        raise ArgumentError(f"a network takes layers, as a list or by name, not a {type(layers).__name__}")
    for name, layer in named.items():
        if not isinstance(layer, Layer):
            raise _no_layer(name, layer)
    return named


def _no_layer(name: str, found: object) -> ArgumentError:
    hint = f"write {found.__name__}()" if isinstance(found, type) else "Linear(784, 128) is one"
    return ArgumentError(f"{name} of the network is not a layer, but {found!r:.60}", hint)


def _input_shape(given: Shape | None, layers: Sequence[Layer]) -> Shape:
    shape = given or next((layer.input_shape for layer in layers if layer.input_shape), None)
    if shape is None:
        raise ArgumentError("a network without parameters has nothing to learn", "give it a Linear layer")
    return tuple(shape)


def _size(shapes: Sequence[Mapping[str, Shape]]) -> int:
    return sum(int(np.prod(shape)) for of_layer in shapes for shape in of_layer.values())


def _views(vector: Array, shapes: Sequence[Mapping[str, Shape]]) -> Iterator[dict[str, Array]]:
    """For each layer, its part of a flat vector as reshaped views by name."""
    begin = 0
    for of_layer in shapes:
        views = {}
        for name, shape in of_layer.items():
            end = begin + int(np.prod(shape))
            views[name] = vector[begin:end].reshape(shape)
            begin = end
        yield views


def _shown(shape: Shape) -> str:
    return "x".join(map(str, shape))
