"""Every key of a configuration: its type, its bounds, its default and what it is for."""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PIXELS, CLASSES = 784, 10  # of every dataset

MAX_PARAMETERS = 250_000_000  # with their gradients and what an optimizer remembers, some gigabytes

OUTPUTS_OF = {"cross_entropy": ("softmax", "sigmoid"), "mse": ("sigmoid", "softmax", "linear")}
"""Each loss -> the outputs of the network that it can compare, first the one that it has where none is given."""

Count = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0, description="size of a step; the peak, where a schedule varies it")]
WeightDecay = Annotated[float, Field(ge=0, le=10, description="pull of the weights and biases towards zero")]
Beta1 = Annotated[float, Field(ge=0, lt=1, description="decay rate of the running mean of the gradient")]
Beta2 = Annotated[float, Field(ge=0, lt=1, description="decay rate of the running mean of its square")]
# less is zero in float32, at the latest once Adam has scaled it
Epsilon = Annotated[float, Field(ge=1e-30, le=1, description="keeps the division by the gradient's size finite")]
WarmUp = Annotated[float, Field(ge=0, le=100_000, description="epochs over which the rate climbs from 0 at the start")]
Rotation = Annotated[float, Field(ge=0, le=180, description="degrees to either side, at most")]
Scale = Annotated[float, Field(ge=0, lt=1, description="share by which width and height change, at most")]
Shear = Annotated[float, Field(ge=0, le=2, description="pixels of slant for each pixel of height, at most")]
Shift = Annotated[float, Field(ge=0, le=28, description="pixels in each direction, at most")]
Pen = Annotated[
    float, Field(ge=0, lt=0.5, description="how much thinner, broader and less soft strokes may be, at most")
]
FinalFraction = Annotated[float, Field(ge=0, le=1, description="share of the learning rate left at the end")]


class Section(BaseModel):
    """A group of keys: frozen, and strict, so that "10" and true are no numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NoAugmentConfig(Section):
    """The images as they are."""

    name: Literal["none"] = Field(default="none", description="how the training images are distorted")


class AffineConfig(Section):
    """Each time an image comes by it is turned, stretched, slanted and moved a little."""

    name: Literal["affine"] = Field(default="affine", description="how the training images are distorted")
    rotation: Rotation = 8.0
    scale: Scale = 0.08
    shear: Shear = 0.1
    shift: Shift = 1.0
    pen: Pen = 0.0


class ElasticConfig(Section):
    """Affine, and bent like rubber as well."""

    name: Literal["elastic"] = Field(default="elastic", description="how the training images are distorted")
    rotation: Rotation = 8.0
    scale: Scale = 0.08
    shear: Shear = 0.1
    shift: Shift = 1.0
    pen: Pen = 0.0
    alpha: float = Field(default=1.0, ge=0, le=28, description="root mean square of the elastic displacement, pixels")
    sigma: float = Field(default=4.0, gt=0.1, le=28, description="width of the Gaussian that smooths it, pixels")


class DataConfig(Section):
    """Which digits, and where their files lie."""

    dataset: Literal["auto", "mnist", "fashion-mnist", "kmnist", "synthetic"] = Field(
        default="auto", description="which images; auto is mnist or, failing that, synthetic"
    )
    dir: str = Field(default="data", min_length=1, pattern=r"^[^\x00]*$", description="folder of the dataset files")
    offline: bool = Field(default=False, description="never use the network")
    validation: int = Field(default=5000, ge=0, le=59_999, description="images held out for validation, the last ones")
    train_limit: Count | None = Field(
        default=None, description="train on the first so many images only, for quick trials"
    )
    mix: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="drawn digits added to MNIST's training images, as a share of them; other datasets get none",
    )
    augment: AffineConfig | ElasticConfig | NoAugmentConfig = Field(
        default=AffineConfig(), discriminator="name", description="how training images are distorted, anew each epoch"
    )


class NetworkConfig(Section):
    """What lies between the 784 pixels and the 10 classes."""

    hidden: tuple[Annotated[int, Field(ge=1, le=65_536, strict=True)], ...] = Field(
        default=(128,),
        max_length=64,
        strict=False,  # a list is what files hold, and a strict tuple would refuse it
        description="units of each hidden layer; [] is none",
    )
    activation: Literal["relu", "sigmoid", "tanh"] = Field(
        default="relu", description="activation function of the hidden layers"
    )
    init: Literal["he", "xavier", "normal"] = Field(default="he", description="how the first weights are drawn")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of hidden units dropped in each step")
    output: Literal["softmax", "sigmoid", "linear"] | None = Field(
        default=None, description="what turns the ten scores into predictions; null: softmax, or sigmoid for mse"
    )


class SGDConfig(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = Field(default="sgd", description="which optimizer")
    learning_rate: LearningRate = 0.1
    momentum: float = Field(default=0.9, ge=0, lt=1, description="share of the last step that carries over")
    nesterov: bool = Field(default=False, description="look ahead along the momentum")
    weight_decay: WeightDecay = 0.0


class AdamConfig(Section):
    """Adam: each parameter has its own step size."""

    name: Literal["adam"] = Field(default="adam", description="which optimizer")
    learning_rate: LearningRate = 1e-3
    beta1: Beta1 = 0.9
    beta2: Beta2 = 0.999
    epsilon: Epsilon = 1e-8
    weight_decay: WeightDecay = 0.0


class AdamWConfig(Section):
    """AdamW: Adam with its weight decay apart from the gradient."""

    name: Literal["adamw"] = Field(default="adamw", description="which optimizer")
    learning_rate: LearningRate = 1e-3
    beta1: Beta1 = 0.9
    beta2: Beta2 = 0.999
    epsilon: Epsilon = 1e-8
    weight_decay: WeightDecay = 0.01


class OneCycleConfig(Section):
    """A learning rate that climbs to its peak and then falls."""

    name: Literal["one_cycle"] = Field(default="one_cycle", description="which schedule")
    peak_at: float = Field(default=0.3, gt=0, lt=1, description="share of the training at which the peak is reached")
    start_fraction: float = Field(default=0.04, gt=0, le=1, description="share of the learning rate to begin with")
    final_fraction: FinalFraction = 0.0001


class CosineConfig(Section):
    """A learning rate that falls along half a cosine."""

    name: Literal["cosine"] = Field(default="cosine", description="which schedule")
    final_fraction: FinalFraction = 0.0
    warmup_epochs: WarmUp = 0.0


class StepConfig(Section):
    """A learning rate that falls in steps."""

    name: Literal["step"] = Field(default="step", description="which schedule")
    every_epochs: float = Field(default=5.0, gt=0, le=100_000, description="epochs from one fall to the next")
    factor: float = Field(default=0.5, gt=0, le=1, description="what each fall multiplies the learning rate by")
    warmup_epochs: WarmUp = 0.0


class ConstantConfig(Section):
    """The same learning rate throughout."""

    name: Literal["constant"] = Field(default="constant", description="which schedule")
    warmup_epochs: WarmUp = 0.0


class TrainConfig(Section):
    """How long to train, and in which portions."""

    epochs: int = Field(default=15, ge=1, le=100_000, description="times each training image is seen")
    batch_size: int = Field(default=64, ge=1, le=60_000, description="images in each step")
    patience: Count | None = Field(
        default=None, description="stop after this many epochs without a better validation; null: never"
    )
    checkpoint_every: Count | None = Field(
        default=None, description="steps between saves within an epoch; the end of an epoch is always saved"
    )
    keep: int = Field(default=1, ge=1, le=1000, description="newest checkpoints to retain, besides the best one")
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        default="auto", description="threads for matrix products; auto: one, or for large ones as many as are idle"
    )


class Config(Section):
    """Everything that decides the outcome of a run."""

    seed: int = Field(
        default=0, ge=0, le=2**63 - 1, description="the start of all randomness; the same seed gives the same run"
    )
    data: DataConfig = Field(default=DataConfig(), description="which digits, and where their files lie")
    network: NetworkConfig = Field(
        default=NetworkConfig(), description="what lies between the 784 pixels and the 10 classes"
    )
    loss: Literal["cross_entropy", "mse"] = Field(
        default="cross_entropy",
        description="how far the outputs are from their targets; mse: the squared error, summed over outputs",
    )
    judge: bool = Field(
        default=True,
        description="train a second network that tells digits from everything else; only where there are digits",
    )
    optimizer: SGDConfig | AdamConfig | AdamWConfig = Field(
        default=SGDConfig(), discriminator="name", description="how gradients change the parameters"
    )
    schedule: OneCycleConfig | CosineConfig | StepConfig | ConstantConfig = Field(
        default=OneCycleConfig(), discriminator="name", description="how the learning rate changes as training goes on"
    )
    train: TrainConfig = Field(default=TrainConfig(), description="how long to train, and in which portions")

    @model_validator(mode="before")
    @classmethod
    def _output_of_loss(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Say which output it is where that was left to the loss."""
        network = values.get("network", {})
        if isinstance(network, NetworkConfig):
            network = network.model_dump()
        if not isinstance(network, dict) or network.get("output") is not None:
            return values
        loss = str(values.get("loss", cls.model_fields["loss"].default))
        return {**values, "network": {**network, "output": next(iter(OUTPUTS_OF.get(loss, ())), None)}}

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Keys that do not go together: the dotted path of one, and what is wrong."""
        if self.network.output not in OUTPUTS_OF[self.loss]:
            outputs = " or ".join(OUTPUTS_OF[self.loss])
            yield "network.output", f"{self.network.output} does not go with loss {self.loss}, which wants {outputs}"
        widths = (PIXELS, *self.network.hidden, CLASSES)
        parameters = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(widths))
        if parameters > MAX_PARAMETERS:
            yield "network.hidden", f"makes {parameters:,} parameters; {MAX_PARAMETERS:,} are the limit"
        if self.train.patience is not None and not self.data.validation:
            yield "train.patience", "waits for a better validation, but data.validation is 0"

    @property
    def largest_product(self) -> tuple[int, int, int]:
        """B, I and O of the largest matrix product of a step, (B, I) @ (I, O)."""
        widths = (PIXELS, *self.network.hidden, CLASSES)
        inputs, outputs = max(itertools.pairwise(widths), key=math.prod)
        return self.train.batch_size, inputs, outputs


def models_of(annotation: object) -> list[type[Section]]:
    """The models of a section: one, or one for each of its variants, the default first; none for a plain value."""
    members = typing.get_args(annotation) or (annotation,)
    return [member for member in members if isinstance(member, type) and issubclass(member, Section)]


def _fields(models: list[type[Section]], prefix: str = "") -> dict[str, dict[str, type[Section]]]:
    fields: dict[str, dict[str, type[Section]]] = {}
    for model in models:
        variant = model.model_fields["name"].default if "name" in model.model_fields else ""
        for name, info in model.model_fields.items():
            if inner := models_of(info.annotation):
                fields |= _fields(inner, f"{prefix}{name}.")
            else:
                fields.setdefault(f"{prefix}{name}", {})[variant] = model
    return fields


FIELDS = _fields([Config])
"""Each dotted path -> the models that have it, by variant ("sgd", ...; "" where a section has only one)."""

SECTIONS = tuple(dict.fromkeys(path[:end] for path in FIELDS for end, character in enumerate(path) if character == "."))
"""Keys that hold keys."""

VARIANTS = {path.removesuffix(".name"): tuple(models) for path, models in FIELDS.items() if path.endswith(".name")}
"""Each section that has a name -> its variants, the default first."""

LATER = {"network.output": None, "data.mix": 0.0, "data.augment.pen": 0.0, "judge": False}
"""Keys that are younger than saved configurations -> the value that means what was done before they came."""
