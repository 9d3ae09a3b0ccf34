"""Each layer by itself: where it writes, what it remembers (nothing), and what it does at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnctl.errors import ArgumentError
from nnctl.nn.activations import Identity, ReLU, Sigmoid, Softmax, Tanh
from nnctl.nn.arrays import Array
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear
from tests.support.recipes import forward, linear

IN_PLACE: list[Layer] = [ReLU(), Sigmoid(), Tanh(), Softmax()]
DTYPES = [np.float32, np.float64]


def every_layer(dtype: type[np.floating]) -> list[Layer]:
    return [Flatten(), linear(dtype), *IN_PLACE, Identity(), Dropout(0.5)]


def normal(shape: tuple[int, ...], dtype: type[np.floating] = np.float32, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def name(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, Layer) else None


# Where a layer writes


@pytest.mark.parametrize("layer", [linear(), *IN_PLACE, Identity(), Dropout(0.5)], ids=name)
def test_layers_fill_and_return_out(layer: Layer) -> None:
    x, dy = normal((5, 12)), normal((5, 12), seed=1)
    x.setflags(write=False)
    dy.setflags(write=False)
    out = np.full((5, 12), np.nan, np.float32)
    y = forward(layer, x)
    assert forward(layer, x, out) is out
    np.testing.assert_array_equal(out, y)

    dx_out = np.full((5, 12), np.nan, np.float32)
    dx = layer.backward(dy, x, y)
    assert layer.backward(dy, x, y, out=dx_out) is dx_out
    np.testing.assert_array_equal(dx_out, dx)


@pytest.mark.parametrize("layer", IN_PLACE, ids=name)
@given(
    x=hnp.arrays(np.float32, (4, 3), elements=st.floats(-50, 50, width=32)),
    dy=hnp.arrays(np.float32, (4, 3), elements=st.floats(-9, 9, width=32)),
)
def test_layers_give_in_place_what_they_give_in_fresh_memory(layer: Layer, x: Array, dy: Array) -> None:
    assert layer.in_place
    y = layer.forward(x)
    dx = layer.backward(dy, x, y)
    overwritten = x.copy()
    assert layer.forward(overwritten, out=overwritten) is overwritten
    np.testing.assert_array_equal(overwritten, y)
    out = np.empty_like(dy)
    assert layer.backward(dy, overwritten, overwritten, out=out) is out
    np.testing.assert_array_equal(out, dx)


def test_flatten_is_a_view_of_the_pictures() -> None:
    x = normal((3, 28, 28))
    y = Flatten().forward(x)
    assert y.shape == (3, 784)
    assert np.shares_memory(x, y)
    dx = Flatten().backward(y, x, y)
    assert dx.shape == (3, 28, 28)
    assert np.shares_memory(y, dx)


def test_identity_returns_what_it_is_given() -> None:
    x, dy = normal((3, 4)), normal((3, 4), seed=1)
    y = Identity().forward(x)
    assert y is x
    assert Identity().forward(x, x) is x
    assert Identity().backward(dy, x, y) is dy
    assert Identity().backward(dy, x, y, dy) is dy


# What a layer remembers


@pytest.mark.parametrize("layer", every_layer(np.float32), ids=name)
def test_layers_keep_nothing_of_a_forward_pass(layer: Layer) -> None:
    x1, x2, dy = normal((5, 12), seed=1), normal((5, 12), seed=2), normal((5, 12), seed=3)
    y1 = forward(layer, x1)
    alone = layer.backward(dy, x1, y1).copy()
    attributes = {key: np.copy(value) for key, value in vars(layer).items()}

    forward(layer, x2)
    np.testing.assert_array_equal(layer.backward(dy, x1, y1), alone)
    assert vars(layer).keys() == attributes.keys()
    for key, value in attributes.items():
        np.testing.assert_array_equal(vars(layer)[key], value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_keep_the_precision(dtype: type[np.floating]) -> None:
    for layer in every_layer(dtype):
        x = normal((5, 12), dtype)
        y = forward(layer, x)
        dx = layer.backward(np.ones_like(y), x, y)
        layer.backward_params(np.ones_like(y), x)
        assert (y.dtype, dx.dtype) == (dtype, dtype), layer
        if isinstance(layer, Linear):
            assert {a.dtype for a in (layer.weight, layer.bias, layer.dweight, layer.dbias)} == {np.dtype(dtype)}


# What a layer computes


def test_linear_adds_up_its_inputs_and_a_bias() -> None:
    layer = linear(np.float64, 3, 2)
    layer.weight[:] = [[1, 2], [3, 4], [5, 6]]
    layer.bias[:] = [10, 20]
    y = layer.forward(np.array([[1.0, 1, 1], [1, 0, -1]]))
    np.testing.assert_array_equal(y, [[19, 32], [6, 16]])


@given(x=hnp.arrays(np.float64, 20, elements=st.floats(-700, 700)))
def test_activations_follow_their_formulas(x: Array) -> None:
    np.testing.assert_array_equal(ReLU().forward(x), [max(value, 0) for value in x])
    np.testing.assert_allclose(Sigmoid().forward(x), 1 / (1 + np.exp(-x)), rtol=1e-14)
    np.testing.assert_allclose(Tanh().forward(x), 1 - 2 / (np.exp(2 * x.clip(-20, 20)) + 1), atol=1e-14)


@given(x=hnp.arrays(np.float64, (4, 10), elements=st.floats(-30, 30)), shift=st.floats(-1000, 1000))
def test_softmax_gives_probabilities_that_a_shift_does_not_change(x: Array, shift: float) -> None:
    probs = Softmax().forward(x)
    np.testing.assert_allclose(probs, np.exp(x) / np.exp(x).sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(Softmax().forward(x + shift), probs, rtol=1e-11)


def test_relu_stops_the_gradient_at_exactly_zero() -> None:
    x = np.array([[-1.0, -0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(ReLU().backward(np.ones((1, 4)), x, ReLU().forward(x)), [[0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_and_tanh_saturate_without_a_warning(dtype: type[np.floating]) -> None:
    x = np.array([-1e4, 1e4], dtype)
    np.testing.assert_array_equal(Sigmoid().forward(x), [0, 1])
    np.testing.assert_array_equal(Tanh().forward(x), [-1, 1])
    for layer in (Sigmoid(), Tanh()):
        np.testing.assert_array_equal(layer.backward(np.ones_like(x), x, layer.forward(x)), [0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_stays_finite_without_a_warning_however_far_apart_the_scores_are(dtype: type[np.floating]) -> None:
    x = np.array([[-1e4, 0, 1e4], [1e30, 1e30, -1e30]], dtype)
    y = Softmax().forward(x)
    np.testing.assert_array_equal(y, [[0, 0, 1], [0.5, 0.5, 0]])
    np.testing.assert_array_equal(Softmax().backward(np.ones_like(x), x, y), np.zeros_like(x))


@pytest.mark.parametrize(("inputs", "outputs"), [(0, 10), (784, -1), (784.0, 10), ("784", 10), (None, 10)])
def test_linear_refuses_sizes_that_are_not_whole_numbers_from_1(inputs, outputs) -> None:
    with pytest.raises(ArgumentError, match="Linear takes two whole numbers from 1, inputs and outputs, not"):
        Linear(inputs, outputs)


@pytest.mark.parametrize("layer", [*every_layer(np.float32), Linear(2, 3)], ids=name)
def test_layers_show_how_to_make_them(layer: Layer) -> None:
    shown = repr(layer)
    assert shown.startswith(f"{type(layer).__name__}(")
    assert repr(eval(shown)) == shown


# Dropout


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_dropout_refuses_a_rate_that_is_no_share(rate: float) -> None:
    with pytest.raises(ArgumentError, match="a rate of at least 0 and below 1, not"):
        Dropout(rate)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(rate: float) -> None:
    size = 200_000
    y = Dropout(rate).forward(np.ones(size, np.float32), None, np.random.default_rng(0))
    five_sigma = 5 * np.sqrt(rate * (1 - rate) / size)
    assert np.mean(y == 0) == pytest.approx(rate, abs=five_sigma)
    assert np.mean(y, dtype=np.float64) == pytest.approx(1, abs=five_sigma / (1 - rate))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_does_nothing_while_evaluating() -> None:
    x = normal((5, 12))
    assert Dropout(0.5).forward(x) is x
    assert Dropout(0.5).forward(x, np.empty_like(x)) is x


def test_dropout_at_a_rate_of_zero_drops_nothing() -> None:
    x = normal((5, 12))
    np.testing.assert_array_equal(forward(Dropout(0.0), x), x)


def test_dropout_lets_the_gradient_through_exactly_where_it_let_the_input_through() -> None:
    layer, ones = Dropout(0.3), np.ones((50, 40), np.float32)
    y = forward(layer, ones)
    np.testing.assert_array_equal(layer.backward(ones, ones, y), y)


def test_dropout_draws_a_new_mask_from_the_generator_each_time() -> None:
    layer, ones = Dropout(0.5), np.ones((8, 16), np.float32)
    rng, same = np.random.default_rng(1), np.random.default_rng(1)
    first, second = layer.forward(ones, None, rng), layer.forward(ones, None, rng)
    assert np.any(first != second)
    np.testing.assert_array_equal(first, layer.forward(ones, None, same))
    np.testing.assert_array_equal(second, layer.forward(ones, None, same))
