"""The optimizers against the twin, and what each one promises by itself."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnctl.errors import ArgumentError
from nnctl.nn.arrays import Array
from nnctl.nn.optimizers import SGD, Adam, AdamW, Optimizer
from tests.support.twin import Rule, TwinAdam, TwinSGD

P = 7
EVERY: dict[str, Callable[[Array], Optimizer]] = {
    "sgd": SGD,
    "momentum": lambda params: SGD(params, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda params: SGD(params, momentum=0.9, nesterov=True),
    "adam": lambda params: Adam(params, weight_decay=0.01),
    "adamw": lambda params: AdamW(params, weight_decay=0.01),
}
each_optimizer = pytest.mark.parametrize("optimizer_of", EVERY.values(), ids=EVERY)


def start(dtype: type[np.floating] = np.float64) -> Array:
    return np.linspace(-1, 1, P).astype(dtype)


def gradients(count: int, dtype: type[np.floating] = np.float64, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(count, P)).astype(dtype)


def walk(optimizer: Optimizer, params: Array, steps: Array, lr: float = 0.1) -> Array:
    for grads in steps:
        optimizer.step(params, grads.copy(), lr)
    return params


def assert_same_walk(optimizer_of: Callable[[Array], Optimizer], twin: Rule, seed: int, rates: list[float]) -> None:
    params, expected = start(), start().astype(np.float64)
    optimizer = optimizer_of(params)
    for grads, lr in zip(gradients(len(rates), seed=seed), rates, strict=True):
        expected = twin.moved("w", expected, grads.astype(np.float64), lr)
        optimizer.step(params, grads.copy(), lr)
        np.testing.assert_allclose(params, expected, rtol=1e-11, atol=1e-13)


SHARE = st.floats(0, 0.99)
RATES = st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=12)
SEEDS = st.integers(0, 99)


@settings(max_examples=50)
@given(momentum=SHARE, nesterov=st.booleans(), weight_decay=SHARE, seed=SEEDS, rates=RATES)
def test_sgd_moves_like_its_twin(*, momentum, nesterov, weight_decay, seed, rates) -> None:
    assert_same_walk(
        lambda params: SGD(params, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay),
        TwinSGD(momentum, nesterov and momentum > 0, weight_decay),
        seed,
        rates,
    )


@settings(max_examples=50)
@given(decoupled=st.booleans(), beta1=SHARE, beta2=SHARE, weight_decay=SHARE, seed=SEEDS, rates=RATES)
def test_adam_and_adamw_move_like_their_twin(*, decoupled, beta1, beta2, weight_decay, seed, rates) -> None:
    kind = AdamW if decoupled else Adam
    assert_same_walk(
        lambda params: kind(params, beta1=beta1, beta2=beta2, epsilon=1e-6, weight_decay=weight_decay),
        TwinAdam(beta1, beta2, 1e-6, weight_decay, decoupled),
        seed,
        rates,
    )


def test_nesterov_looks_ahead_along_the_velocity() -> None:
    """Sutskever's form: v = mu v - lr f'(w + mu v), w += v; nnctl's vector is the point w + mu v that is looked at."""
    mu, lr, curvature = 0.9, 0.05, np.linspace(0.1, 4, P)
    w, v, params = start(), np.zeros(P), start()
    optimizer = SGD(params, momentum=mu, nesterov=True)
    for _ in range(30):
        v = mu * v - lr * curvature * (w + mu * v)
        w = w + v
        optimizer.step(params, curvature * params, lr)
        np.testing.assert_allclose(params, w + mu * v, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_adam_makes_up_for_its_start_at_zero(kind: type[Adam]) -> None:
    """Under a constant gradient both corrected means equal it and its square, from the first step on."""
    grads, params = np.linspace(-3, 3, P), start()
    optimizer = kind(params, epsilon=0.5)
    for t in range(1, 20):
        optimizer.step(params, grads.copy(), 0.1)
        np.testing.assert_allclose(params, start() - t * 0.1 * grads / (np.abs(grads) + 0.5), rtol=1e-12, atol=1e-14)


def test_optimizers_remember_what_their_formulas_name() -> None:
    params = start(np.float32)
    assert SGD(params).state == {}
    assert list(SGD(params, momentum=0.9).state) == ["velocity"]
    assert list(Adam(params).state) == list(AdamW(params).state) == ["first_moment", "second_moment"]
    for optimizer_of in EVERY.values():
        for array in optimizer_of(params).state.values():
            assert array.shape == params.shape
            assert not array.any()


@each_optimizer
def test_optimizers_move_the_given_vector_itself_and_count_the_steps(optimizer_of) -> None:
    params = start()
    optimizer, view = optimizer_of(params), params[2:4]
    for count in range(1, 4):
        before = view.copy()
        optimizer.step(params, np.ones(P), 0.1)
        assert optimizer.steps == count
        assert np.all(view < before)


@each_optimizer
def test_optimizers_keep_the_precision(optimizer_of) -> None:
    for dtype in (np.float32, np.float64):
        params, grads = start(dtype), np.ones(P, dtype)
        optimizer = optimizer_of(params)
        optimizer.step(params, grads, 0.1)
        assert {array.dtype for array in (params, grads, *optimizer.state.values())} == {np.dtype(dtype)}


@each_optimizer
def test_optimizers_move_nothing_at_a_learning_rate_of_zero(optimizer_of) -> None:
    params = start()
    np.testing.assert_array_equal(walk(optimizer_of(params), params, gradients(5), lr=0.0), start())


@pytest.mark.parametrize("optimizer_of", [SGD, lambda params: SGD(params, momentum=0.9, nesterov=True), Adam, AdamW])
def test_optimizers_at_rest_stay_where_they_are_without_a_gradient(optimizer_of) -> None:
    params = start()
    np.testing.assert_array_equal(walk(optimizer_of(params), params, np.zeros((5, P))), start())


def test_momentum_moves_on_ever_more_slowly_without_a_gradient() -> None:
    params = start()
    optimizer = SGD(params, momentum=0.5)
    optimizer.step(params, np.ones(P), 0.1)
    for expected in (0.05, 0.025, 0.0125):
        before = params.copy()
        optimizer.step(params, np.zeros(P), 0.1)
        np.testing.assert_allclose(before - params, expected, rtol=1e-12)


def test_weight_decay_shrinks_each_parameter_by_its_share_without_a_gradient() -> None:
    for optimizer_of in (lambda p: SGD(p, weight_decay=0.2), lambda p: AdamW(p, weight_decay=0.2)):
        params = start()
        np.testing.assert_allclose(walk(optimizer_of(params), params, np.zeros((1, P))), 0.98 * start(), rtol=1e-12)


def test_adamw_without_decay_is_adam() -> None:
    one, other = start(), start()
    np.testing.assert_array_equal(walk(Adam(one), one, gradients(9)), walk(AdamW(other), other, gradients(9)))


@each_optimizer
def test_optimizers_continue_from_their_state_and_step_count_alone(optimizer_of) -> None:
    steps, whole = gradients(12, np.float32), start(np.float32)
    walk(optimizer_of(whole), whole, steps)

    params = start(np.float32)
    first = optimizer_of(params)
    walk(first, params, steps[:5])
    second = optimizer_of(params)
    second.steps = first.steps
    for name, array in first.state.items():
        second.state[name][:] = array
    np.testing.assert_array_equal(walk(second, params, steps[5:]), whole)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
@pytest.mark.parametrize(
    ("params", "shown"),
    [
        (0.1, "a float"),
        ("x", "a str"),
        (None, "a NoneType"),
        ([1.0, 2.0], "a list"),
        (np.ones((2, 1)), "(2, 1) of float64"),
        (np.ones(3, int), "(3,) of int64"),
    ],
    ids=["a rate", "a text", "nothing", "a list", "a matrix", "integers"],
)
def test_optimizers_refuse_what_is_no_vector_of_parameters(kind: type[Adam], params, shown: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        kind(params)
    assert caught.value.message == f"{kind.__name__} moves a vector of parameters, not {shown}"
    assert caught.value.hint == f"write {kind.__name__}(network.params); the learning rate belongs to the schedule"
