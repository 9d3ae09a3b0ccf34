"""The losses against their plain formulas, at ordinary and at extreme scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnctl.nn.arrays import Array, Labels
from nnctl.nn.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tests.support.recipes import LOSSES

EVERY = pytest.mark.parametrize("loss", LOSSES.values())
SCORES = hnp.arrays(np.float64, (6, 10), elements=st.floats(-30, 30))
LABELS = hnp.arrays(np.int64, 6, elements=st.integers(0, 9))


def batch(dtype: type[np.floating] = np.float32, size: int = 6) -> tuple[Array, Labels]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(size, 10)).astype(dtype), rng.integers(0, 10, size)


@given(logits=SCORES, labels=LABELS)
def test_cross_entropy_is_the_surprise_of_the_right_answer(logits: Array, labels: Labels) -> None:
    criterion = SoftmaxCrossEntropy()
    loss, probs = criterion.forward(logits, labels)
    naive = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probs, naive, rtol=1e-12)
    surprise = [-np.log(naive[row, label]) for row, label in enumerate(labels)]
    assert loss == pytest.approx(sum(surprise) / 6, rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(criterion.backward(probs, labels), (naive - np.eye(10)[labels]) / 6, atol=1e-15)


@given(outputs=hnp.arrays(np.float64, (6, 10), elements=st.floats(-3, 3)), labels=LABELS)
def test_mean_squared_error_is_the_squared_distance_from_one_hot(outputs: Array, labels: Labels) -> None:
    criterion = MeanSquaredError()
    loss, probs = criterion.forward(outputs, labels)
    np.testing.assert_array_equal(probs, outputs)
    distance = outputs - np.eye(10)[labels]
    assert loss == pytest.approx(sum(float(d) ** 2 for d in distance.ravel()) / 6, rel=1e-12)
    np.testing.assert_allclose(criterion.backward(probs, labels), 2 * distance / 6, atol=1e-15)


def test_a_network_that_knows_nothing_is_surprised_by_log_ten() -> None:
    loss, probs = SoftmaxCrossEntropy().forward(np.zeros((4, 10), np.float32), np.arange(4))
    assert loss == pytest.approx(np.log(10), rel=1e-6)
    np.testing.assert_allclose(probs, 0.1, rtol=1e-6)


@given(logits=SCORES, labels=LABELS)
def test_probabilities_add_up_to_one_and_their_gradient_to_zero(logits: Array, labels: Labels) -> None:
    criterion = SoftmaxCrossEntropy()
    _, probs = criterion.forward(logits, labels)
    assert np.all(probs >= 0)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(criterion.backward(probs, labels).sum(axis=1), 0, atol=1e-15)


@given(logits=SCORES, labels=LABELS, shift=st.floats(-1000, 1000))
def test_softmax_is_unchanged_by_a_shift(logits: Array, labels: Labels, shift: float) -> None:
    loss, probs = SoftmaxCrossEntropy().forward(logits, labels)
    shifted_loss, shifted_probs = SoftmaxCrossEntropy().forward(logits + shift, labels)
    np.testing.assert_allclose(shifted_probs, probs, rtol=1e-11)
    assert shifted_loss == pytest.approx(loss, rel=1e-11, abs=1e-12)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_stay_finite_without_a_warning(loss: type[Loss], dtype: type[np.floating]) -> None:
    logits = np.where(np.eye(10, dtype=bool), 1e4, -1e4).astype(dtype)
    for labels in (np.arange(10), np.arange(10)[::-1]):  # all right, all wrong
        value, probs = loss().forward(logits, labels)
        assert np.isfinite(value)
        assert np.isfinite(probs).all()
        assert np.isfinite(loss().backward(probs, labels)).all()


def test_being_wrong_with_certainty_costs_as_much_as_the_scores_differ() -> None:
    logits = np.full((1, 10), -1e4, np.float32)
    logits[0, 3] = 1e4
    assert SoftmaxCrossEntropy().forward(logits, np.array([3]))[0] == 0
    assert SoftmaxCrossEntropy().forward(logits, np.array([4]))[0] == 2e4


@EVERY
def test_results_may_take_the_memory_of_what_they_are_made_from(loss: type[Loss]) -> None:
    logits, labels = batch()
    value, probs = loss().forward(logits, labels)
    dlogits = loss().backward(probs, labels)

    memory = logits.copy()
    value_again, probs_again = loss().forward(memory, labels, out=memory)
    assert probs_again is memory
    assert value_again == value
    np.testing.assert_array_equal(probs_again, probs)
    assert loss().backward(memory, labels, out=memory) is memory
    np.testing.assert_array_equal(memory, dlogits)


@EVERY
def test_without_out_the_scores_are_left_alone(loss: type[Loss]) -> None:
    logits, labels = batch()
    logits.setflags(write=False)
    _, probs = loss().forward(logits, labels)
    probs.setflags(write=False)
    loss().backward(probs, labels)


@EVERY
@given(times=st.integers(1, 40))
def test_the_mean_does_not_depend_on_how_often_a_batch_is_repeated(loss: type[Loss], times: int) -> None:
    logits, labels = batch(np.float64)
    value, probs = loss().forward(logits, labels)
    repeated, repeated_probs = loss().forward(np.tile(logits, (times, 1)), np.tile(labels, times))
    assert repeated == pytest.approx(value, rel=1e-12)
    share = loss().backward(repeated_probs, np.tile(labels, times))[: len(labels)]
    np.testing.assert_allclose(share * times, loss().backward(probs, labels), rtol=1e-12, atol=1e-15)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64])
def test_no_loss_changes_the_precision(loss: type[Loss], dtype: type[np.floating], label_dtype: type) -> None:
    logits, labels = batch(dtype)
    value, probs = loss().forward(logits, labels.astype(label_dtype))
    assert type(value) is float
    assert probs.dtype == dtype
    assert loss().backward(probs, labels.astype(label_dtype)).dtype == dtype
