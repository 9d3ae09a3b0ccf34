"""Every gradient against central differences in float64, along random directions at the size of 784-128-10.

A central difference with step h errs by h ** 2 times the third derivative and by 1e-16 / h of rounding; the steps
below balance the two, and leave 1e-12 to 1e-7 of relative error.
"""

from collections.abc import Callable

import numpy as np
import pytest

from nnctl.nn.activations import Identity, ReLU, Sigmoid, Softmax, Tanh
from nnctl.nn.arrays import Array, Labels
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear
from nnctl.nn.losses import LOSSES, Loss, SoftmaxCrossEntropy
from nnctl.nn.network import Network
from nnctl.nn.workspace import Workspace
from tests.support.recipes import digits, each_criterion, forward, linear, network_of

B = 16
TOLERANCE = 1e-6


def central_difference(function: Callable[[Array], float], at: Array, direction: Array, h: float) -> float:
    return (function(at + h * direction) - function(at - h * direction)) / (2 * h)


class Objective:
    """The loss and its gradient as functions of a network's flat vector, for one batch and one dropout mask."""

    def __init__(self, network: Network, loss: Loss, x: Array, labels: Labels) -> None:
        self.network, self.criterion, self.x, self.labels = network, loss, x, labels
        self.work = Workspace(network, len(x))
        self.active: set[bytes] = set()  # every pattern of active neurons that was met

    def loss(self, params: Array) -> float:
        self.network.params[:] = params
        logits = self.network.forward(self.x, self.work, np.random.default_rng(7))
        values = zip(self.network.layers, self.work.values[1:], strict=True)
        self.active.add(b"".join(np.packbits(y > 0).tobytes() for layer, y in values if isinstance(layer, ReLU)))
        loss, _ = self.criterion.forward(logits, self.labels, out=self.work.probs)
        return loss

    def gradient(self, params: Array) -> Array:
        self.loss(params)
        dlogits = self.criterion.backward(self.work.probs, self.labels, out=self.work.dlogits)
        self.network.backward(dlogits, self.work)
        return self.network.grads.copy()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@each_criterion
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_network_backward_equals_central_differences(activation: str, loss: str, output: str, dropout: float) -> None:
    network = network_of([784, 128, 10], activation, dropout=dropout, dtype=np.float64)
    objective = Objective(network, LOSSES[loss][output](), *digits(B, np.float64))
    params = network.params + 0.01  # biases away from zero too
    gradient = objective.gradient(params)

    rng = np.random.default_rng(1)
    masks = [np.ones_like(params) for _ in range(3)]  # three directions through all parameters
    for name in network.named(params):  # and one through each array alone
        mask = np.zeros_like(params)
        network.named(mask)[name][:] = 1
        masks.append(mask)
    for mask in masks:
        direction = rng.normal(size=len(params)) * mask
        direction /= np.linalg.norm(direction)
        measured = central_difference(objective.loss, params, direction, 1e-4)
        assert gradient @ direction == pytest.approx(measured, rel=TOLERANCE, abs=0)
    assert len(objective.active) == 1  # no neuron crossed the kink of ReLU between two evaluations


def test_network_backward_stays_right_when_training_has_made_the_gradient_small() -> None:
    network = network_of([784, 10], dtype=np.float64)
    objective = Objective(network, SoftmaxCrossEntropy(), *digits(B, np.float64))
    params = network.params.copy()
    for _ in range(50):
        params -= 0.1 * objective.gradient(params)
    gradient = objective.gradient(params)
    direction = gradient / np.linalg.norm(gradient)
    measured = central_difference(objective.loss, params, direction, 1e-4)
    assert gradient @ direction == pytest.approx(measured, rel=TOLERANCE, abs=0)


def bound_linear(inputs: int, outputs: int) -> Linear:
    layer = linear(np.float64, inputs, outputs)
    layer.bias[:] = np.linspace(-1, 1, outputs)
    return layer


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Flatten(), (28, 28)),
        (bound_linear(784, 128), (784,)),
        (bound_linear(128, 10), (128,)),
        (ReLU(), (128,)),
        (Sigmoid(), (128,)),
        (Tanh(), (128,)),
        (Softmax(), (128,)),
        (Softmax(), (10,)),
        (Identity(), (128,)),
        (Dropout(0.3), (128,)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Layer) else "x".join(map(str, value)),
)
def test_layer_backward_equals_central_differences(layer: Layer, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(B, *shape))
    y = forward(layer, x)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy, x, y)
    assert dx.shape == x.shape
    for _ in range(3):
        direction = rng.normal(size=x.shape)
        h = 1e-6
        assert not np.any(np.abs(x) < h * np.abs(direction))  # no neuron crosses zero, where ReLU has its kink
        measured = central_difference(lambda x: float(np.vdot(dy, forward(layer, x))), x, direction, h)
        assert np.vdot(dx, direction) == pytest.approx(measured, rel=TOLERANCE, abs=0)


@pytest.mark.parametrize(("inputs", "outputs"), [(784, 128), (128, 10)])
def test_linear_backward_params_equals_central_differences(inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(4)
    layer = bound_linear(inputs, outputs)
    x, dy = rng.normal(size=(B, inputs)), rng.normal(size=(B, outputs))
    layer.dweight[:] = layer.dbias[:] = np.nan  # overwritten, not added to
    layer.backward_params(dy, x)
    for parameter, gradient in ((layer.weight, layer.dweight), (layer.bias, layer.dbias)):
        start, direction = parameter.copy(), rng.normal(size=parameter.shape)

        def output(values: Array, parameter: Array = parameter) -> float:
            parameter[:] = values
            return float(np.vdot(dy, layer.forward(x)))

        measured = central_difference(output, start, direction, 1e-3)
        assert np.vdot(gradient, direction) == pytest.approx(measured, rel=TOLERANCE, abs=0)
        parameter[:] = start


@each_criterion
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_loss_backward_equals_central_differences(loss: str, output: str, scale: float) -> None:
    rng = np.random.default_rng(5)
    criterion = LOSSES[loss][output]()
    logits, labels = scale * rng.normal(size=(B, 10)), rng.integers(0, 10, B)
    dlogits = criterion.backward(criterion.forward(logits, labels)[1], labels)
    for _ in range(5):
        direction = rng.normal(size=logits.shape)
        measured = central_difference(lambda logits: criterion.forward(logits, labels)[0], logits, direction, 1e-5)
        assert np.vdot(dlogits, direction) == pytest.approx(measured, rel=TOLERANCE, abs=0)
