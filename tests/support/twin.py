"""A second implementation of the training step: float64, written from the formulas, with no thought of speed.

It shares nothing with nnctl but the definitions. Images are columns and weights (O, I), as in most textbooks;
derivatives are taken at a unit's input instead of its output; softmax is a plain quotient of exponentials, and its
gradient passes through the derivative of the logarithm; every array is new in every step.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def sigmoid(z: Matrix) -> Matrix:
    return 1 / (1 + np.exp(-z))


ACTIVATIONS: dict[str, tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]]] = {
    "relu": (lambda z: np.where(z > 0, z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "sigmoid": (sigmoid, lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
}
"""Each function and its derivative, both at a unit's input z."""

OUTPUTS: dict[str, Callable[[Matrix], Matrix]] = {
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=0),
    "sigmoid": sigmoid,
    "linear": lambda z: z,
}
"""What the logits (C, B) become."""


class Rule(Protocol):
    """An optimizer: where a parameter stands after one step, given its gradient and the learning rate."""

    def moved(self, name: str, w: Matrix, dw: Matrix, lr: float) -> Matrix: ...


@dataclass
class TwinSGD:
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    velocity: dict[str, Matrix] = field(default_factory=dict)

    def moved(self, name: str, w: Matrix, dw: Matrix, lr: float) -> Matrix:
        dw = dw + self.weight_decay * w
        velocity = self.momentum * self.velocity.get(name, np.zeros_like(w)) + dw
        self.velocity[name] = velocity
        return w - lr * (dw + self.momentum * velocity) if self.nesterov else w - lr * velocity


@dataclass
class TwinAdam:
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False  # AdamW
    history: dict[str, tuple[int, Matrix, Matrix]] = field(default_factory=dict)

    def moved(self, name: str, w: Matrix, dw: Matrix, lr: float) -> Matrix:
        pull = self.weight_decay * w
        if not self.decoupled:
            dw = dw + pull
        t, m, v = self.history.get(name, (0, np.zeros_like(w), np.zeros_like(w)))
        t = t + 1
        m = self.beta1 * m + (1 - self.beta1) * dw
        v = self.beta2 * v + (1 - self.beta2) * dw**2
        self.history[name] = (t, m, v)
        moved = w - lr * (m / (1 - self.beta1**t)) / (np.sqrt(v / (1 - self.beta2**t)) + self.epsilon)
        return moved - lr * pull if self.decoupled else moved


@dataclass
class Twin:
    """A network of fully connected layers with its loss and its optimizer.

    Args:
        weights: for each layer a matrix (O, I).
        biases: for each layer a column (O, 1).
        activation: of the hidden layers.
        loss: "cross_entropy" or "mse".
        output: what turns the logits into what the loss compares: "softmax", "sigmoid" or "linear".
        rule: the optimizer.
    """

    weights: list[Matrix]
    biases: list[Matrix]
    activation: str
    loss: str
    output: str
    rule: Rule

    def gradients(self, images: NDArray[np.floating], labels: NDArray[np.integer]) -> tuple[float, list[Matrix]]:
        """Return the mean loss of a batch (B, 784), (B,), and for each layer its gradients by weight and by bias."""
        batch, last = len(images), len(self.weights) - 1
        f, slope = ACTIVATIONS[self.activation]
        target = np.eye(self.weights[-1].shape[0])[labels].T  # (C, B)

        inputs, sums = [], []
        a = images.astype(np.float64).reshape(batch, -1).T
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = w @ a + b
            inputs.append(a)
            sums.append(z)
            a = f(z) if i < last else z

        p = OUTPUTS[self.output](z)
        if self.loss == "mse":
            loss = ((p - target) ** 2).sum() / batch
            dp = 2 * (p - target) / batch
        elif self.output == "softmax":
            loss = -(target * np.log(p)).sum() / batch
            dp = -target / p / batch
        else:  # each output by itself: its class, or not
            loss = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum() / batch
            dp = ((1 - target) / (1 - p) - target / p) / batch
        if self.output == "softmax":
            dz = p * (dp - (dp * p).sum(axis=0))
        else:
            dz = dp * ACTIVATIONS["sigmoid"][1](z) if self.output == "sigmoid" else dp

        gradients: list[Matrix] = []
        for i in range(last, -1, -1):
            gradients = [dz @ inputs[i].T, dz.sum(axis=1, keepdims=True), *gradients]
            if i > 0:
                dz = (self.weights[i].T @ dz) * slope(sums[i - 1])
        return float(loss), gradients

    def step(self, images: NDArray[np.floating], labels: NDArray[np.integer], lr: float) -> float:
        """Take one training step and return the loss before it."""
        loss, gradients = self.gradients(images, labels)
        for i in range(len(self.weights)):
            self.weights[i] = self.rule.moved(f"weight {i}", self.weights[i], gradients[2 * i], lr)
            self.biases[i] = self.rule.moved(f"bias {i}", self.biases[i], gradients[2 * i + 1], lr)
        return loss

    def flat(self) -> Matrix:
        """All parameters in the order of nnctl's flat vector: weight (I, O) row by row, then bias, layer by layer."""
        return np.concatenate(
            [part.ravel() for w, b in zip(self.weights, self.biases, strict=True) for part in (w.T, b)]
        )


def twin_of(
    params: NDArray[np.floating], sizes: list[int], activation: str, *, loss: str, output: str, rule: Rule
) -> Twin:
    """Start a twin from a copy of nnctl's flat vector."""
    weights, biases, rest = [], [], params.astype(np.float64)
    for inputs, outputs in itertools.pairwise(sizes):
        weight, bias, rest = np.split(rest, [inputs * outputs, (inputs + 1) * outputs])
        weights.append(weight.reshape(inputs, outputs).T.copy())
        biases.append(bias.reshape(outputs, 1).copy())
    return Twin(weights, biases, activation, loss, output, rule)


def step_decay(step: int, learning_rate: float, every: int, factor: float) -> float:
    for i in range(1, step + 1):
        if i % every == 0:
            learning_rate = learning_rate * factor
    return learning_rate


def cosine(step: int, learning_rate: float, total: int, final: float) -> float:
    """With cos(x / 2) ** 2 in place of (1 + cos(x)) / 2."""
    if step >= total:
        return final
    share = math.cos(math.pi / 2 * step / total) ** 2
    return share * learning_rate + (1 - share) * final


def one_cycle(step: int, learning_rate: float, *, total: int, peak: int, start: float, final: float) -> float:
    """A cosine that falls after the peak; before it, the same backwards in time."""
    if step < peak:
        return cosine(peak - step, learning_rate, peak, start)
    return cosine(step - peak, learning_rate, total - peak, final)


def warm_up(step: int, rate: float, steps: int) -> float:
    return rate * (step + 1) / steps if step < steps else rate
