"""Train nnctl's network and its twin side by side, for a hundred steps and in many ways."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from nnctl.nn.arrays import Array
from nnctl.nn.initializers import Initializer, he, normal, xavier
from nnctl.nn.losses import LOSSES
from nnctl.nn.optimizers import SGD, Adam, AdamW, Optimizer
from nnctl.nn.schedules import Constant, Cosine, OneCycle, Schedule, StepDecay, WarmUp
from nnctl.nn.workspace import Workspace
from tests.support import twin
from tests.support.recipes import backpropagate, digits, each_criterion, network_of
from tests.support.twin import TwinAdam, TwinSGD, twin_of


@dataclass(frozen=True)
class Recipe:
    """One way to train, for nnctl and for its twin."""

    sizes: list[int]
    optimizer: Callable[[Array], Optimizer]
    rule: Callable[[], twin.Rule]
    schedule: Schedule
    rate: Callable[[int], float]
    activation: str = "relu"
    loss: str = "cross_entropy"
    output: str | None = None  # the first that the loss knows
    initializer: Initializer = he
    batch_size: int = 64


# Adam divides by the gradient's own size, so that float32's rounding of a gradient near 1e-8 moves a weight visibly,
# in any program. Its recipes have few enough weights that none is so unlucky, or a larger epsilon.
RECIPES = {
    "no hidden layer": Recipe([784, 10], SGD, TwinSGD, Constant(0.5), lambda _: 0.5, initializer=xavier, batch_size=32),
    "plain descent": Recipe([784, 128, 10], SGD, TwinSGD, Constant(0.1), lambda _: 0.1),
    "momentum, falling in steps": Recipe(
        [784, 128, 10],
        lambda p: SGD(p, momentum=0.9),
        lambda: TwinSGD(0.9),
        StepDecay(0.05, every_epochs=3, factor=0.5, steps_per_epoch=10),
        lambda t: twin.step_decay(t, 0.05, 30, 0.5),
    ),
    "nesterov with decay in one cycle": Recipe(
        [784, 128, 10],
        lambda p: SGD(p, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda: TwinSGD(0.9, nesterov=True, weight_decay=1e-3),
        OneCycle(0.1, 100, peak_at=0.3, start_fraction=0.1, final_fraction=1e-3),
        lambda t: twin.one_cycle(t, 0.1, total=100, peak=30, start=0.01, final=1e-4),
        activation="tanh",
        initializer=xavier,
        batch_size=50,
    ),
    "two sigmoid layers with squared error": Recipe(
        [784, 16, 16, 10],
        SGD,
        TwinSGD,
        Constant(3.0),
        lambda _: 3.0,
        activation="sigmoid",
        loss="mse",
        initializer=xavier,
        batch_size=32,
    ),
    "relu with squared error and momentum": Recipe(
        [784, 32, 10],
        lambda p: SGD(p, momentum=0.5),
        lambda: TwinSGD(0.5),
        Constant(0.1),
        lambda _: 0.1,
        loss="mse",
    ),
    "sigmoids with a cross-entropy each": Recipe(
        [784, 30, 10],
        SGD,
        TwinSGD,
        Constant(0.5),
        lambda _: 0.5,
        activation="sigmoid",
        output="sigmoid",
        initializer=xavier,
        batch_size=32,
    ),
    "squared error of probabilities": Recipe(
        [784, 32, 10], SGD, TwinSGD, Constant(0.3), lambda _: 0.3, loss="mse", output="softmax"
    ),
    "squared error of the logits themselves": Recipe(
        [784, 32, 10], SGD, TwinSGD, Constant(0.01), lambda _: 0.01, loss="mse", output="linear"
    ),
    "narrow weights and decay": Recipe(
        [784, 30, 10],
        lambda p: SGD(p, weight_decay=0.01),
        lambda: TwinSGD(weight_decay=0.01),
        WarmUp(Constant(0.3), 20),
        lambda t: twin.warm_up(t, 0.3, 20),
        activation="sigmoid",
        initializer=normal,
        batch_size=48,
    ),
    "adam, warmed up": Recipe(
        [784, 32, 10],
        Adam,
        TwinAdam,
        WarmUp(Cosine(2e-3, 90), 10),
        lambda t: twin.warm_up(t, twin.cosine(t, 2e-3, 90, 0.0), 10),
    ),
    "adam with decay at full size": Recipe(
        [784, 128, 10],
        lambda p: Adam(p, beta1=0.8, beta2=0.99, epsilon=1e-4, weight_decay=0.01),
        lambda: TwinAdam(0.8, 0.99, 1e-4, weight_decay=0.01),
        Constant(1e-3),
        lambda _: 1e-3,
    ),
    "adamw on three tanh layers": Recipe(
        [784, 32, 32, 16, 10],
        lambda p: AdamW(p, weight_decay=0.1),
        lambda: TwinAdam(weight_decay=0.1, decoupled=True),
        Cosine(1e-3, 100, final_fraction=0.1),
        lambda t: twin.cosine(t, 1e-3, 100, 1e-4),
        activation="tanh",
        initializer=xavier,
        batch_size=48,
    ),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_training_in_float32_stays_beside_the_float64_twin(recipe: Recipe) -> None:
    network = network_of(recipe.sizes, recipe.activation, initializer=recipe.initializer)
    output = recipe.output or next(iter(LOSSES[recipe.loss]))
    other = twin_of(
        network.params, recipe.sizes, recipe.activation, loss=recipe.loss, output=output, rule=recipe.rule()
    )
    images, labels = digits(3 * recipe.batch_size + 17)  # the last batch of an epoch is short
    batches = [slice(begin, begin + recipe.batch_size) for begin in range(0, len(images), recipe.batch_size)]
    work, optimizer = Workspace(network, recipe.batch_size), recipe.optimizer(network.params)

    distances = {}
    for step in range(100):
        batch = batches[step % len(batches)]
        loss = backpropagate(network, work, images[batch], labels[batch], loss=recipe.loss, output=recipe.output)
        optimizer.step(network.params, network.grads, lr=recipe.schedule(step))
        expected_loss = other.step(images[batch], labels[batch], recipe.rate(step))
        distances[step + 1] = np.abs(network.params - other.flat()).max() / np.abs(other.flat()).max()
    assert network.params.dtype == np.float32
    assert loss == pytest.approx(expected_loss, rel=1e-3)
    assert distances[1] <= 1e-6
    assert distances[10] <= 1e-5
    assert distances[100] <= 1e-4


@each_criterion
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_gradients_in_float64_equal_the_twins_to_rounding(activation: str, loss: str, output: str) -> None:
    sizes = [784, 24, 12, 10]
    network = network_of(sizes, activation, dtype=np.float64)
    other = twin_of(network.params, sizes, activation, loss=loss, output=output, rule=TwinSGD())
    images, labels = digits(20, np.float64)
    value = backpropagate(network, Workspace(network, 20), images, labels, loss=loss, output=output)
    expected_value, gradients = other.gradients(images, labels)
    assert value == pytest.approx(expected_value, rel=1e-12)
    expected = np.concatenate([gradient.T.ravel() for gradient in gradients])
    np.testing.assert_allclose(network.grads, expected, atol=1e-13 * np.abs(expected).max())
