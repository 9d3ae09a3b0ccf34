"""The judge: a small network of its own that says whether a picture shows a digit at all.

The network that reads must name one of ten digits, whatever it is shown. The judge has an eleventh output, for
everything else, and has learned it from pictures of no digit that nnctl draws.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from nnctl.data.examples import Examples
from nnctl.nn.activations import ReLU
from nnctl.nn.arrays import Array
from nnctl.nn.layers import Flatten, Linear
from nnctl.nn.network import Network
from nnctl.nn.optimizers import SGD
from nnctl.nn.schedules import OneCycle
from nnctl.nn.streams import Purpose, new_seed, stream

NO_DIGIT = 10
"""The output that stands for everything that is no digit."""

HIDDEN = 256
MOST_DIGITS = 20_000  # more would take longer and hardly change its judgement
DRAWN = 0.5  # drawn digits for each of these, which show hands that the dataset hardly has
SCRAWLS = 1.0  # pictures of no digit for each digit
EPOCHS, BATCH_SIZE = 4, 128
LEARNING_RATE, MOMENTUM = 0.15, 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Judge:
    """Says whether a picture shows a digit.

    Attributes:
        network: 784-256-11; `train_judge` trains it, `from_params` loads it.
    """

    network: Network

    @classmethod
    def from_params(cls, params: Mapping[str, ArrayLike]) -> Judge:
        """A judge with the arrays that `params` gave; raises ArgumentError where they are not those of a judge."""
        network = _network(None)
        network.load(params)
        return cls(network)

    def params(self) -> dict[str, Array]:
        """Each array of its network by name, such as `hidden.weight` (784, 256)."""
        return self.network.arrays()

    def probabilities(self, images: ArrayLike) -> Array:
        """How probable it is that each image shows a 0, ..., a 9, or no digit.

        Args:
            images: pixels between 0 (black) and 1 (white), one image (28, 28) or (784,), or a batch of them.

        Returns:
            (11,) for one image, (N, 11) for a batch; the last one is that of NO_DIGIT.

        Raises:
            ArgumentError: they are no such images.
        """
        return self.network.predict(images)


def train_judge(digits: Examples, seed: int) -> Judge:
    """Train a judge on digits, at most 20,000 of them, on half as many drawn ones, and on as many pictures of no digit.

    Args:
        digits: N images of the digits 0 to 9, at least one.
        seed: of the run; the same seed and digits give the same judge.
    """
    # a prediction does not wait for what only training needs
    from nnctl.data import scrawls, synthetic
    from nnctl.train import Trainer

    rng = stream(seed, Purpose.JUDGE)
    digits = _some(digits, rng)
    drawn, drawn_labels = synthetic.draw(math.ceil(DRAWN * len(digits)), new_seed(rng))
    others = scrawls.draw_scrawls(math.ceil(SCRAWLS * (len(digits) + len(drawn))), new_seed(rng))
    images = np.concatenate([digits.images, drawn, others])
    labels = np.concatenate([digits.labels, drawn_labels, np.full(len(others), NO_DIGIT)])
    network = _network(new_seed(rng))
    steps = EPOCHS * math.ceil(len(images) / BATCH_SIZE)
    trainer = Trainer(
        network,
        SGD(network.params, momentum=MOMENTUM),
        OneCycle(LEARNING_RATE, steps, peak_at=0.3, start_fraction=0.04, final_fraction=1e-4),
        batch_size=BATCH_SIZE,
        seed=new_seed(rng),
        threads=1,
    )
    for _ in trainer.fit(Examples(images, labels), epochs=EPOCHS):
        pass
    return Judge(network)


def _some(digits: Examples, rng: np.random.Generator) -> Examples:
    """At most MOST_DIGITS of the digits, each as likely as any other, in their order."""
    if len(digits) <= MOST_DIGITS:
        return digits
    chosen = np.sort(rng.choice(len(digits), MOST_DIGITS, replace=False))
    return Examples(digits.images[chosen], digits.labels[chosen])


def _network(seed: int | None) -> Network:
    hidden, output = Linear(28 * 28, HIDDEN), Linear(HIDDEN, NO_DIGIT + 1)
    layers = {"flatten": Flatten(), "hidden": hidden, "relu": ReLU(), "output": output}
    return Network(layers, seed=seed, input_shape=(28, 28))
