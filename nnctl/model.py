"""A trained network, read from a run or a checkpoint: it predicts, and it can be measured."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnctl import build, checkpoint, reading, rundir
from nnctl.checkpoint import Checkpoint
from nnctl.data.catalog import CATALOG
from nnctl.data.examples import Examples
from nnctl.errors import ArgumentError, CheckpointError, ConfigError
from nnctl.judge import Judge
from nnctl.nn.arrays import Array
from nnctl.nn.calibration import tempered
from nnctl.nn.losses import Loss
from nnctl.nn.network import Network
from nnctl.reading import Reading

if TYPE_CHECKING:
    from nnctl.config.models import DataConfig
    from nnctl.nn.metrics import Evaluation
    from nnctl.picture.raster import Box


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained network as a checkpoint holds it.

    Attributes:
        path: the checkpoint.
        network: with its learned parameters.
        criterion: the loss it was trained with.
        config: the configuration of its run, as plain values.
        epochs: how many it has completed; 0 if it was saved before the end of the first.
        judge: says whether a picture shows a digit at all; None if the run trained none, or has not come to its end.
        temperature: calibrates the probabilities of pictures, see `nn.calibration`; 1 leaves them as they are.
    """

    path: Path
    network: Network
    criterion: Loss
    config: Mapping[str, Any]
    epochs: int
    judge: Judge | None = None
    temperature: float = 1.0

    @classmethod
    def load(cls, source: Path | str | None = None) -> Model:
        """Read a network from a run directory, whose best checkpoint is taken, or from a checkpoint file.

        Args:
            source: the directory or the file; None means the newest run in `runs/` that has finished an epoch.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        path = rundir.find_checkpoint(None if source is None else Path(source))
        return cls.from_checkpoint(checkpoint.load(path), path)

    @classmethod
    def from_checkpoint(cls, saved: Checkpoint, path: Path) -> Model:
        """Build the network of a checkpoint that has been read from `path`.

        Raises:
            CheckpointError: its configuration and its arrays do not fit together.
        """
        try:
            network, criterion = _network(saved)
        except (KeyError, TypeError, ValueError, IndexError, ConfigError) as error:
            # whatever the entry was, it is not one that describes the arrays
            what = f"{path}: its configuration does not fit its arrays"
            raise CheckpointError(what, "use another checkpoint") from error
        try:
            judge = Judge.from_params(saved.judge) if saved.judge else None
        except ArgumentError as error:
            raise CheckpointError(f"{path}: holds a judge of another shape", "use another checkpoint") from error
        temperature = saved.reading.get("temperature", 1.0)
        return cls(path, network, criterion, saved.config, saved.state.epoch, judge, temperature)

    @property
    def dataset(self) -> str:
        """Which images it was trained on, a name in the catalogue; raises CheckpointError if that is not recorded."""
        try:
            name = self.config["data"]["dataset"]
            if isinstance(name, str) and name in CATALOG:
                return name
        except (KeyError, TypeError):
            pass
        raise CheckpointError(f"{self.path}: does not say which images it was trained on", "use another checkpoint")

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its ten outputs stand for."""
        return CATALOG[self.dataset].classes

    @property
    def data(self) -> DataConfig:
        """The section `data` of its configuration; raises CheckpointError if nobody can have trained with that.

        A library checks it that is slow to import, and those who ask for no dataset need not wait for it.
        """
        from nnctl.config import from_mapping

        try:
            return from_mapping(self.config, str(self.path)).data
        except ConfigError as error:
            hint = "use another checkpoint, or the version of nnctl that wrote it"
            raise CheckpointError(error.message, hint, error.details) from error

    def predict(self, images: ArrayLike) -> Array:
        """What the network makes of images: with softmax the probability of each class.

        Args:
            images: pixels between 0 (black) and 1 (white), one image (28, 28) or (784,), or a batch of them.

        Returns:
            (C,) for one image, (N, C) for a batch.

        Raises:
            ArgumentError: they are no such images.
            CheckpointError: the weights are too large to compute with.
        """
        return self._finite(self.network.predict, images)

    def read(self, picture: Path | str | bytes, *, name: str | None = None, force: bool = False) -> Reading:
        """Find the digit in a picture and read it.

        A network of digits looks at all that may be the digit; any other one sees the whole picture.

        Args:
            picture: the path of a PNG, JPEG, BMP, GIF or WebP file, or its bytes.
            name: what to call it in an error; its path by default.
            force: whether to answer even if this is no digit, or not a single one.

        Raises:
            ImageError: there is no such picture, it is damaged or too large, blank, or shows no single digit.
            CheckpointError: the weights are too large to compute with.
        """
        from nnctl.picture import decode

        name = name or ("picture" if isinstance(picture, bytes) else str(picture))
        data = picture if isinstance(picture, bytes) else decode.read_file(Path(picture))
        if CATALOG[self.dataset].of_digits:
            hypotheses = decode.read_hypotheses(data, name)
            judge = functools.partial(self._finite, self.judge.probabilities) if self.judge else None
            with decode.named(name):
                found, shapes = reading.find(hypotheses, self._probabilities, judge)
                warning = None if force else reading.check(found, shapes, judged=judge is not None)
            pixels, box = found.candidate.pixels, found.candidate.box
        else:
            pixels, box, warning = self._whole(data, name)
        probs = self.predict(pixels / np.float32(255))
        calibrated = probs.astype(np.float64) if self.temperature == 1 else tempered(probs, self.temperature)
        return Reading(pixels, calibrated, box, warning)

    def evaluate(self, examples: Examples) -> Evaluation:
        """Let it predict every example; raises CheckpointError where its weights are too large to compute with."""
        from nnctl.train import evaluate

        result = evaluate(self.network, examples, self.criterion)
        if not math.isfinite(result.loss):  # as it is wherever one of the outputs is not
            raise self._not_finite()
        return result

    def _probabilities(self, images: Array) -> Array:
        """What `predict` gives, (N, C), as far as it may be a probability, which a linear output need not be."""
        return self.predict(images).clip(0, 1)

    def _whole(self, data: bytes, name: str) -> tuple[NDArray[np.uint8], Box, str | None]:
        """The pixels of a picture of something else than a digit, where they lie, and what is uncertain about them."""
        from nnctl.picture import decode

        grey, size = decode.read_grey(data, name)
        box = 0, 0, *size
        if grey.shape == build.IMAGE_SHAPE:
            return np.rint(grey).astype(np.uint8), box, None
        warning = f"{self.dataset} wants pictures of 28x28 pixels; this one was prepared in the way made for digits"
        return decode.read_digit(data, name), box, warning

    def __repr__(self) -> str:
        return f"Model of {self.path}\n{self.network}"

    def _finite(self, predict: Callable[[ArrayLike], Array], images: ArrayLike) -> Array:
        outputs = predict(images)
        if not np.isfinite(outputs).all():
            raise self._not_finite()
        return outputs

    def _not_finite(self) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: its outputs are not finite numbers",
            "its weights are too large: use another checkpoint, or train again with a lower learning rate",
        )


def _network(saved: Checkpoint) -> tuple[Network, Loss]:
    """Build the network that a checkpoint describes; memory is only set aside for as many numbers as it holds."""
    described = saved.config["network"]
    widths = (math.prod(build.IMAGE_SHAPE), *described["hidden"], build.CLASSES)
    size = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(widths))
    if size > sum(array.size for array in saved.state.params.values()):
        raise ArgumentError("the arrays are too small")
    criterion = build.criterion(saved.config["loss"], described.get("output"))
    network = build.network({**described, "dropout": 0}, criterion.output)  # nothing is dropped in a prediction
    network.load(saved.state.params)
    return network, criterion
