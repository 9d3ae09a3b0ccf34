"""Turn a configuration into the objects it names; the only room that sees both sides."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from nnctl.checkpoint import Checkpoint
from nnctl.data.augment import Deformation
from nnctl.errors import CheckpointError, ConfigError
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

AUGMENTATIONS: dict[str, Callable[[Any], Deformation | None]] = {
    "affine": lambda c: Deformation(c.rotation, c.scale, c.shear, c.shift),
    "elastic": lambda c: Deformation(c.rotation, c.scale, c.shear, c.shift, c.alpha, c.sigma),
    "none": lambda c: None,  # noqa: ARG005
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
        layers["output_sigmoid"] = Sigmoid()
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
            restore(built.named(built.params), checkpoint.params)
            return built, LOSSES[config["loss"]]()
    except (KeyError, TypeError, ValueError, IndexError):
        pass  # whatever the entry was, it is not one that describes the arrays
    raise CheckpointError(f"{name}: its configuration does not fit its arrays", "use another checkpoint")


def restore(arrays: Mapping[str, Array], saved: Mapping[str, Array]) -> None:
    """Copy what was saved into arrays; raises ValueError unless names and shapes are the same."""
    if {name: array.shape for name, array in arrays.items()} != {name: array.shape for name, array in saved.items()}:
        raise ValueError("the saved arrays are those of something else")
    for name, array in arrays.items():
        array[:] = saved[name]


def sizes(hidden: Sequence[int]) -> str:
    """The layer sizes as people write them: 784-128-10."""
    return "-".join(map(str, (math.prod(IMAGE_SHAPE), *hidden, CLASSES)))


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that a training needs, as objects and numbers: what the loop calls instead of reading a configuration.

    Attributes:
        network: with its random first weights.
        criterion, optimizer, schedule: what their names say.
        deformation: of the training images; None leaves them as they are.
        seed: of every random stream.
        epochs, batch_size, steps_per_epoch: how long, how many images a step, how many steps an epoch.
        patience: epochs to wait for a better validation; None waits for ever.
        checkpoint_every: steps between saves within an epoch; None saves after each epoch only.
        config: the configuration as plain values, to be kept with the results.
    """

    network: Network
    criterion: Loss
    optimizer: Optimizer
    schedule: Schedule
    deformation: Deformation | None
    seed: int
    epochs: int
    batch_size: int
    steps_per_epoch: int
    patience: int | None
    checkpoint_every: int | None
    config: dict[str, Any]


def plan(config: Config, images: int) -> Plan:
    """Build what the configuration describes, for a training set of so many images.

    Raises:
        ConfigError: early stopping is asked for without validation images to decide it.
    """
    if config.train.patience is not None and not config.data.validation:
        raise ConfigError(
            "train.patience: waits for a better validation, but data.validation is 0", "hold some images back for it"
        )
    built = network(config.network.hidden, config.network.activation, config.loss, config.network.dropout)
    built.initialize(INITIALIZERS[config.network.init], stream(config.seed, Purpose.WEIGHTS))
    return Plan(
        network=built,
        criterion=LOSSES[config.loss](),
        optimizer=OPTIMIZERS[config.optimizer.name](config.optimizer, built.params),
        schedule=schedule(config, images),
        deformation=AUGMENTATIONS[config.data.augment.name](config.data.augment),
        seed=config.seed,
        epochs=config.train.epochs,
        batch_size=config.train.batch_size,
        steps_per_epoch=steps_per_epoch(config, images),
        patience=config.train.patience,
        checkpoint_every=config.train.checkpoint_every,
        config=config.model_dump(mode="json"),
    )


def steps_per_epoch(config: Config, images: int) -> int:
    """How many batches all images make, the last of which may be shorter."""
    return math.ceil(images / config.train.batch_size)


def schedule(config: Config, images: int) -> Schedule:
    """The learning rate by step, for a training set of so many images."""
    steps = steps_per_epoch(config, images)
    rate = config.optimizer.learning_rate
    built = SCHEDULES[config.schedule.name](config.schedule, rate, steps, steps * config.train.epochs)
    warmup = round(getattr(config.schedule, "warmup_epochs", 0) * steps)
    return schedules.WarmUp(built, warmup) if warmup else built
