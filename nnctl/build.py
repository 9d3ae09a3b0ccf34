"""Turn a configuration into the objects it names; the only room that sees both sides."""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from nnctl.checkpoint import Checkpoint
from nnctl.errors import CheckpointError
from nnctl.nn import Array, schedules
from nnctl.nn.initializers import Initializer, he, normal, xavier
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear, ReLU, Sigmoid, Tanh
from nnctl.nn.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from nnctl.nn.network import Network
from nnctl.nn.optimizers import SGD, Adam, AdamW, Optimizer
from nnctl.nn.schedules import Schedule

if TYPE_CHECKING:
    from nnctl.config import Config

IMAGE_SHAPE = (28, 28)
CLASSES = 10

ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}
INITIALIZERS: dict[str, Initializer] = {"he": he, "xavier": xavier, "normal": normal}
LOSSES: dict[str, type[Loss]] = {"cross_entropy": SoftmaxCrossEntropy, "mse": MeanSquaredError}

OPTIMIZERS: dict[str, Callable[[Any, Array], Optimizer]] = {
    "sgd": lambda c, params: SGD(params, c.momentum, nesterov=c.nesterov, weight_decay=c.weight_decay),
    "adam": lambda c, params: Adam(params, c.beta1, c.beta2, c.epsilon, c.weight_decay),
    "adamw": lambda c, params: AdamW(params, c.beta1, c.beta2, c.epsilon, c.weight_decay),
}

# (section `schedule`, learning rate, steps of an epoch, steps of the run)
SCHEDULES: dict[str, Callable[[Any, float, int, int], Schedule]] = {
    "constant": lambda c, rate, epoch, total: schedules.Constant(rate),  # noqa: ARG005
    "step": lambda c, rate, epoch, total: schedules.StepDecay(rate, math.ceil(c.every_epochs * epoch), c.factor),  # noqa: ARG005
    "cosine": lambda c, rate, epoch, total: schedules.Cosine(rate, total, rate * c.final_fraction),  # noqa: ARG005
    "one_cycle": lambda c, rate, epoch, total: schedules.OneCycle(  # noqa: ARG005
        rate, total, round(total * c.peak_at), rate * c.start_fraction, rate * c.final_fraction
    ),
}


class Purpose(enum.IntEnum):
    """What a stream of random numbers is for; each has its own, so that none disturbs another."""

    WEIGHTS = 0
    ORDER = 1
    DROPOUT = 2
    DEFORMATION = 3


def stream(seed: int, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
    """The random numbers of one purpose in one epoch: any of them can be replayed without those before."""
    return np.random.default_rng(np.random.SeedSequence((seed, purpose, epoch)))


def network(
    hidden: Sequence[int], activation: str, loss: str, dropout: float = 0.0, dtype: DTypeLike = np.float32
) -> Network:
    """A network of 28x28 pixels, hidden layers and ten outputs; its parameters are zero.

    Args:
        hidden: the number of neurons of each hidden layer; none connects the pixels to the outputs.
        activation: what follows each hidden layer, a name in ACTIVATIONS.
        loss: what it will be trained with; for mse the outputs pass through a sigmoid.
        dropout: the share of hidden neurons silenced while training.
        dtype: float32 to train, float64 to check gradients.
    """
    layers: dict[str, Layer] = {"flatten": Flatten()}
    inputs = math.prod(IMAGE_SHAPE)
    for i, outputs in enumerate(hidden, start=1):
        layers[f"hidden{i}"] = Linear(inputs, outputs)
        layers[f"{activation}{i}"] = ACTIVATIONS[activation]()
        if dropout:
            layers[f"dropout{i}"] = Dropout(dropout)
        inputs = outputs
    layers["output"] = Linear(inputs, CLASSES)
    if loss == "mse":
        layers["brightness"] = Sigmoid()
    return Network(layers, IMAGE_SHAPE, dtype)


def trained_network(checkpoint: Checkpoint, name: str) -> tuple[Network, Loss]:
    """The network of a checkpoint with its parameters, and the loss it was trained with.

    Raises:
        CheckpointError: the configuration and the arrays of the checkpoint `name` do not fit together.
    """
    config = checkpoint.meta.config
    try:
        hidden = config["network"]["hidden"]
        widths = (math.prod(IMAGE_SHAPE), *hidden, CLASSES)
        size = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(widths))
        if size == sum(array.size for array in checkpoint.params.values()):
            built = network(hidden, config["network"]["activation"], config["loss"])
            restore(built, checkpoint.params)
            return built, LOSSES[config["loss"]]()
    except (KeyError, TypeError, ValueError, IndexError):
        pass  # whatever the entry was, it is not one that describes the arrays
    raise CheckpointError(f"{name}: its configuration does not fit its arrays", "use another checkpoint")


def restore(network: Network, params: Mapping[str, Array]) -> None:
    """Copy saved parameters into a network; raises ValueError unless names and shapes are the same."""
    views = network.named(network.params)
    if {key: view.shape for key, view in views.items()} != {key: array.shape for key, array in params.items()}:
        raise ValueError("the parameters are those of another network")
    for key, view in views.items():
        view[:] = params[key]


def sizes(hidden: Sequence[int]) -> str:
    """The layer sizes as people write them: 784-128-10."""
    return "-".join(map(str, (math.prod(IMAGE_SHAPE), *hidden, CLASSES)))


def initialize(network: Network, config: Config) -> None:
    """Give the network the random start that the configuration asks for."""
    network.initialize(INITIALIZERS[config.network.init], stream(config.seed, Purpose.WEIGHTS))


def criterion(config: Config) -> Loss:
    """The loss."""
    return LOSSES[config.loss]()


def optimizer(config: Config, params: Array) -> Optimizer:
    """The optimizer of the flat vector params (P,)."""
    return OPTIMIZERS[config.optimizer.name](config.optimizer, params)


def schedule(config: Config, images: int) -> Schedule:
    """The learning rate by step, for a training set of so many images."""
    steps = math.ceil(images / config.train.batch_size)
    rate = config.optimizer.learning_rate
    built = SCHEDULES[config.schedule.name](config.schedule, rate, steps, steps * config.train.epochs)
    warmup = round(getattr(config.schedule, "warmup_epochs", 0) * steps)
    return schedules.WarmUp(built, warmup) if warmup else built
