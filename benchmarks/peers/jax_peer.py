"""JAX: a whole epoch is one compiled call, a scan over its batches, whose parameters are donated from call to call."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.task import MOMENTUM, Task, load, main, rates

State = dict[str, list[jax.Array]]
"""The parameters (W1, b1, W2, b2), and for each of the optimizer's names as many arrays of the same shapes."""

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def loss(params: list[jax.Array], x: jax.Array, labels: jax.Array) -> jax.Array:
    log_probs = jax.nn.log_softmax(forward(params, x))
    return -jnp.mean(jnp.take_along_axis(log_probs, labels[:, None], axis=1))


def forward(params: list[jax.Array], x: jax.Array) -> jax.Array:
    w1, b1, w2, b2 = params
    return jax.nn.relu(x @ w1 + b1) @ w2 + b2


def sgd(state: State, grads: list[jax.Array], lr: jax.Array, t: jax.Array) -> State:  # noqa: ARG001
    return {"params": [p - lr * g for p, g in zip(state["params"], grads, strict=True)]}


def momentum(state: State, grads: list[jax.Array], lr: jax.Array, t: jax.Array) -> State:  # noqa: ARG001
    velocity = [MOMENTUM * v + g for v, g in zip(state["velocity"], grads, strict=True)]
    return {"params": [p - lr * v for p, v in zip(state["params"], velocity, strict=True)], "velocity": velocity}


def adam(state: State, grads: list[jax.Array], lr: jax.Array, t: jax.Array) -> State:
    mean = [BETA1 * m + (1 - BETA1) * g for m, g in zip(state["mean"], grads, strict=True)]
    square = [BETA2 * s + (1 - BETA2) * g * g for s, g in zip(state["square"], grads, strict=True)]
    rate, root = lr / (1 - BETA1**t), 1 / jnp.sqrt(1 - BETA2**t)
    moments = zip(state["params"], mean, square, strict=True)
    params = [p - rate * m / (jnp.sqrt(s) * root + EPSILON) for p, m, s in moments]
    return {"params": params, "mean": mean, "square": square}


OPTIMIZERS = {"sgd": (sgd, ()), "momentum": (momentum, ("velocity",)), "adam": (adam, ("mean", "square"))}


@functools.partial(jax.jit, static_argnames=("batch", "optimizer"), donate_argnums=0)
def run_epoch(
    state: State,
    steps: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    order: jax.Array,
    *,
    rates: jax.Array,
    batch: int,
    optimizer: str,
) -> tuple[State, jax.Array]:
    """All batches of an epoch in one call; the last, if it is shorter, follows the scan."""
    update = OPTIMIZERS[optimizer][0]

    def step(carry: tuple[State, jax.Array], chosen: jax.Array) -> tuple[tuple[State, jax.Array], None]:
        state, t = carry
        grads = jax.grad(loss)(state["params"], images[chosen], labels[chosen])
        lr = rates[jnp.minimum(t, len(rates) - 1)]
        return (update(state, grads, lr, t + 1), t + 1), None

    whole = len(order) // batch * batch
    carry, _ = jax.lax.scan(step, (state, steps), order[:whole].reshape(-1, batch))
    if whole < len(order):
        carry, _ = step(carry, order[whole:])
    return carry


class Jax:
    """A network of JAX."""

    version = f"JAX {jax.__version__}"

    def __init__(self, task: Task) -> None:
        images, labels, test_images, test_labels = load(task)
        self.images, self.labels = jnp.asarray(images), jnp.asarray(labels, jnp.int32)
        self.test_images, self.test_labels = jnp.asarray(test_images), test_labels
        self.rng = np.random.default_rng(task.seed)
        params = []
        for inputs, outputs in ((784, task.hidden), (task.hidden, 10)):
            weight = self.rng.standard_normal((inputs, outputs), np.float32) * np.sqrt(2 / inputs, dtype=np.float32)
            params += [jnp.asarray(weight), jnp.zeros(outputs)]
        self.state: State = {"params": params}
        for name in OPTIMIZERS[task.optimizer][1]:
            self.state[name] = [jnp.zeros_like(p) for p in params]
        self.steps = jnp.zeros((), jnp.int32)
        self.run = functools.partial(run_epoch, batch=task.batch, optimizer=task.optimizer)
        self.rates = jnp.asarray(rates(task), jnp.float32)

    def epoch(self) -> None:
        order = jnp.asarray(self.rng.permutation(len(self.images)), jnp.int32)
        self.state, self.steps = self.run(self.state, self.steps, self.images, self.labels, order, rates=self.rates)
        jax.block_until_ready(self.state)

    def accuracy(self) -> float:
        answers = np.asarray(forward(self.state["params"], self.test_images)).argmax(1)
        return float(np.mean(answers == self.test_labels))


if __name__ == "__main__":
    main(Jax)
