"""Turn a configuration into the objects it names.

What only training needs is imported where it is built: a prediction does not wait for it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from nnctl.errors import ConfigError
from nnctl.nn.activations import ACTIVATIONS
from nnctl.nn.initializers import INITIALIZERS
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear
from nnctl.nn.losses import LOSSES, Loss
from nnctl.nn.network import Network
from nnctl.nn.optimizers import OPTIMIZERS
from nnctl.nn.schedules import SCHEDULES, Schedule, WarmUp
from nnctl.nn.streams import Purpose, stream

if TYPE_CHECKING:
    from nnctl.config.models import Config, Section
    from nnctl.data.augment import Augmentation
    from nnctl.train import Trainer

IMAGE_SHAPE = (28, 28)
CLASSES = 10


def network(described: Mapping[str, Any], output: Layer, dtype: DTypeLike = np.float32) -> Network:
    """A network of 28x28 pixels, hidden layers and ten outputs; its parameters are zero.

    Args:
        described: the section `network` of a configuration, as plain values; an older one may lack newer keys.
        output: turns the logits into what the network predicts.
        dtype: float32 to train, float64 to check gradients.
    """
    layers: dict[str, Layer] = {"flatten": Flatten()}
    inputs = math.prod(IMAGE_SHAPE)
    activation, dropout = described["activation"], described.get("dropout")
    for i, outputs in enumerate(described["hidden"], start=1):
        layers[f"hidden{i}"] = Linear(inputs, outputs)
        layers[f"{activation}{i}"] = ACTIVATIONS[activation]()
        if dropout:
            layers[f"dropout{i}"] = Dropout(dropout)
        inputs = outputs
    layers["output"] = Linear(inputs, CLASSES)
    return Network(layers, input_shape=IMAGE_SHAPE, output=output, dtype=dtype)


def sizes(hidden: Sequence[int]) -> str:
    """The layer sizes as people write them: 784-128-10."""
    return "-".join(map(str, (math.prod(IMAGE_SHAPE), *hidden, CLASSES)))


def criterion(loss: str, output: str | None) -> Loss:
    """The loss of a network with this output, the first that the loss knows by default."""
    losses = LOSSES[loss]
    return losses[output or next(iter(losses))]()


def trainer(config: Config, images: int) -> Trainer:
    """Build what the configuration describes, with its random first weights, for a training set of so many images.

    Raises:
        ConfigError: parts of the configuration do not go together.
    """
    from nnctl.train import Trainer

    if conflicts := [f"{path}: {what}" for path, what in config.conflicts()]:
        raise ConfigError(conflicts[0], "change one of the two", conflicts[1:])
    chosen = criterion(config.loss, config.network.output)
    built = network(config.network.model_dump(), chosen.output)
    built.initialize(INITIALIZERS[config.network.init], stream(config.seed, Purpose.WEIGHTS))
    return Trainer(
        built,
        OPTIMIZERS[config.optimizer.name](built.params, **_settings(config.optimizer, "learning_rate")),
        schedule(config, images),
        chosen,
        batch_size=config.train.batch_size,
        augmentation=augmentation(config),
        patience=config.train.patience,
        seed=config.seed,
        threads=config.train.threads,
    )


def augmentation(config: Config) -> Augmentation | None:
    """How training images are distorted; None leaves them as they are."""
    from nnctl.data.augment import Augmentation

    settings = _settings(config.data.augment)
    return Augmentation(**settings) if settings else None


def schedule(config: Config, images: int) -> Schedule:
    """The learning rate by step, for a training set of so many images."""
    steps_per_epoch = math.ceil(images / config.train.batch_size)
    lengths = {"steps_per_epoch": steps_per_epoch, "total_steps": steps_per_epoch * config.train.epochs}
    kind = SCHEDULES[config.schedule.name]
    wanted = {field.name for field in dataclasses.fields(kind)}
    settings = _settings(config.schedule, "warmup_epochs") | {k: v for k, v in lengths.items() if k in wanted}
    built = kind(config.optimizer.learning_rate, **settings)
    warm_up = round(getattr(config.schedule, "warmup_epochs", 0) * steps_per_epoch)
    return WarmUp(built, warm_up) if warm_up else built


def recorded(config: Config) -> dict[str, Any]:
    """The configuration as plain values, as checkpoints have it.

    A key that came later is left out where it means what was done before, as in the checkpoints from then: equal
    trainings have equal digests.
    """
    values = config.model_dump(mode="json")
    if values["network"]["output"] == next(iter(LOSSES[config.loss])):
        del values["network"]["output"]
    if not config.data.mix:
        del values["data"]["mix"]
    if values["data"]["augment"].get("pen") == 0:
        del values["data"]["augment"]["pen"]
    if not config.judge:
        del values["judge"]
    return values


def _settings(section: Section, *others: str) -> dict[str, Any]:
    """The keys of a section, which are the names of the arguments of what it describes; without its name and others."""
    return {key: value for key, value in section if key not in ("name", *others)}
