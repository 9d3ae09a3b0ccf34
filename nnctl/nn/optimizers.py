"""The optimizers: how a gradient moves the parameters.

`step` works in place on the flat vectors of the network and may use `grads` as scratch memory: the next
backward pass overwrites it. What an optimizer remembers lies in `state`, a dict of (P,) arrays.

`axpby(a, x, b, y)` is y = a * x + b * y on whole vectors, the one operation that all of them are made of.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from nnctl.errors import ArgumentError
from nnctl.nn.arrays import Array
from nnctl.nn.kernels import axpby


class Optimizer(Protocol):
    """What every optimizer has."""

    state: dict[str, Array]
    """What it remembers from step to step, each a (P,) array; empty if it remembers nothing."""

    steps: int
    """How many steps it has taken."""

    def step(self, params: Array, grads: Array, lr: float) -> None:
        """Move params (P,) against grads (P,) at the learning rate lr."""


def checked(params: object, optimizer: str) -> Array:
    """Return the vector that an optimizer is to move; raises ArgumentError if it is something else."""
    if isinstance(params, np.ndarray) and params.ndim == 1 and np.issubdtype(params.dtype, np.floating):
        return params
    what = f"{params.shape} of {params.dtype}" if isinstance(params, np.ndarray) else f"a {type(params).__name__}"
    raise ArgumentError(
        f"{optimizer} moves a vector of parameters, not {what}",
        f"write {optimizer}(network.params); the learning rate belongs to the schedule",
    )


def check_share(name: str, value: object) -> None:
    """Raise ArgumentError unless it is a number of at least 0 and below 1."""
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise ArgumentError(f"{name} is a number of at least 0 and below 1, not {value!r:.40}")


def check_decay(weight_decay: object) -> None:
    """Raise ArgumentError unless it is a number from 0."""
    if not isinstance(weight_decay, int | float) or not weight_decay >= 0:
        raise ArgumentError(f"weight_decay is a number from 0, not {weight_decay!r:.40}")


class SGD:
    """Stochastic gradient descent, with or without momentum.

    Args:
        params: (P,) the vector that will be moved; memory of its size and type is set aside.
        momentum: how much of the last step's velocity is kept, 0 <= momentum < 1 (Polyak, 1964).
        nesterov: look ahead along the velocity (Nesterov, 1983, in the form of Sutskever et al., 2013).
        weight_decay: pull every weight and bias towards zero by this share of itself, added to its gradient.
    """

    def __init__(
        self, params: Array, *, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        params = checked(params, type(self).__name__)
        check_share("momentum", momentum)
        check_decay(weight_decay)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.steps = 0
        self.state: dict[str, Array] = {"velocity": np.zeros_like(params)} if momentum else {}

    # without momentum w -= lr * dw; with it, v = momentum * v + dw and w -= lr * v

    def step(self, params: Array, grads: Array, lr: float) -> None:
        """Move params (P,) against grads (P,) at the learning rate lr."""
        self.steps += 1
        direction = grads
        if self.weight_decay:
            axpby(self.weight_decay, params, 1, grads)
        if self.momentum:
            velocity = self.state["velocity"]
            axpby(1, grads, self.momentum, velocity)
            if self.nesterov:
                axpby(self.momentum, velocity, 1, grads)
            else:
                direction = velocity
        axpby(-lr, direction, 1, params)


class Adam:
    """Give every parameter its own size of step, from running means of its gradient and of its square.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.

    Args:
        params: (P,) the vector that will be moved; twice its memory is set aside.
        beta1: how slowly the mean of the gradient forgets, 0 <= beta1 < 1.
        beta2: how slowly the mean of its square forgets, 0 <= beta2 < 1.
        epsilon: keeps the division finite.
        weight_decay: pull every weight and bias towards zero by this share of itself, added to its gradient.
    """

    def __init__(
        self,
        params: Array,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        params = checked(params, type(self).__name__)
        check_share("beta1", beta1)
        check_share("beta2", beta2)
        check_decay(weight_decay)
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.steps = 0
        self.state: dict[str, Array] = {"first_moment": np.zeros_like(params), "second_moment": np.zeros_like(params)}

    # m = beta1 * m + (1 - beta1) * dw,  v = beta2 * v + (1 - beta2) * dw ** 2,  w -= lr * m' / (sqrt(v') + epsilon)
    # where m' = m / (1 - beta1 ** t) and v' = v / (1 - beta2 ** t) make up for the start at zero

    def step(self, params: Array, grads: Array, lr: float) -> None:
        """Move params (P,) against grads (P,) at the learning rate lr."""
        self.steps += 1
        self._decay(params, grads, lr)
        m, v = self.state["first_moment"], self.state["second_moment"]
        axpby(1 - self.beta1, grads, self.beta1, m)
        grads *= grads
        axpby(1 - self.beta2, grads, self.beta2, v)

        # with c = sqrt(1 - beta2 ** t):  m' / (sqrt(v') + epsilon) = m' * c / (sqrt(v) + epsilon * c)
        c = math.sqrt(1 - self.beta2**self.steps)
        np.sqrt(v, out=grads)
        grads += self.epsilon * c
        np.divide(m, grads, out=grads)
        axpby(-lr * c / (1 - self.beta1**self.steps), grads, 1, params)

    def _decay(self, params: Array, grads: Array, lr: float) -> None:  # noqa: ARG002
        if self.weight_decay:
            axpby(self.weight_decay, params, 1, grads)


class AdamW(Adam):
    """Adam with the weight decay taken out of the gradient and applied to the parameters themselves.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    # w -= lr * weight_decay * w, then Adam's step

    def _decay(self, params: Array, grads: Array, lr: float) -> None:  # noqa: ARG002
        params *= 1 - lr * self.weight_decay


OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
"""Each of them by the name that a configuration gives it."""
