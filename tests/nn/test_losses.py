"""The losses against their plain formulas, at ordinary and at extreme scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnctl.nn.activations import Identity
from nnctl.nn.arrays import Array, Labels
from nnctl.nn.losses import LOSSES, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from tests.support.recipes import CRITERIA

EVERY = pytest.mark.parametrize(
    "criterion", [LOSSES[loss][output]() for loss, output in CRITERIA], ids=map(str, CRITERIA)
)
SCORES = hnp.arrays(np.float64, (6, 10), elements=st.floats(-30, 30))
LABELS = hnp.arrays(np.int64, 6, elements=st.integers(0, 9))


def batch(dtype: type[np.floating] = np.float32, size: int = 6) -> tuple[Array, Labels]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(size, 10)).astype(dtype), rng.integers(0, 10, size)


@given(logits=SCORES, labels=LABELS)
def test_softmax_cross_entropy_is_the_surprise_of_the_target(logits: Array, labels: Labels) -> None:
    criterion = SoftmaxCrossEntropy()
    loss, probs = criterion.forward(logits, labels)
    naive = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probs, naive, rtol=1e-12)
    surprise = [-np.log(naive[row, label]) for row, label in enumerate(labels)]
    assert loss == pytest.approx(sum(surprise) / 6, rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(criterion.backward(probs, labels), (naive - np.eye(10)[labels]) / 6, atol=1e-15)


@given(logits=SCORES, labels=LABELS)
def test_sigmoid_cross_entropy_is_the_surprise_of_every_output_by_itself(logits: Array, labels: Labels) -> None:
    criterion = SigmoidCrossEntropy()
    loss, probs = criterion.forward(logits, labels)
    naive = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(probs, naive, rtol=1e-12)
    # -log(sigmoid(z)) and -log(1 - sigmoid(z)), each without a difference of nearly equal numbers
    surprise = np.where(np.eye(10)[labels] == 1, np.log1p(np.exp(-logits)), np.log1p(np.exp(logits)))
    assert loss == pytest.approx(surprise.sum() / 6, rel=1e-12)
    np.testing.assert_allclose(criterion.backward(probs, labels), (naive - np.eye(10)[labels]) / 6, atol=1e-15)


@given(logits=hnp.arrays(np.float64, (6, 10), elements=st.floats(-3, 3)), labels=LABELS)
def test_squared_error_is_the_squared_distance_from_one_hot(logits: Array, labels: Labels) -> None:
    criterion = SquaredError(Identity())
    loss, probs = criterion.forward(logits, labels)
    np.testing.assert_array_equal(probs, logits)
    distance = logits - np.eye(10)[labels]
    assert loss == pytest.approx(sum(float(d) ** 2 for d in distance.ravel()) / 6, rel=1e-12)
    np.testing.assert_allclose(criterion.backward(probs, labels), 2 * distance / 6, atol=1e-15)


@given(logits=SCORES, labels=LABELS)
def test_squared_error_compares_sigmoids_by_default(logits: Array, labels: Labels) -> None:
    loss, probs = SquaredError().forward(logits, labels)
    naive = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(probs, naive, rtol=1e-12)
    distance = naive - np.eye(10)[labels]
    assert loss == pytest.approx((distance**2).sum() / 6, rel=1e-12)
    dlogits = 2 / 6 * distance * naive * (1 - naive)
    np.testing.assert_allclose(SquaredError().backward(probs, labels), dlogits, rtol=1e-9, atol=1e-15)


def test_softmax_cross_entropy_of_equal_scores_is_log_ten() -> None:
    loss, probs = SoftmaxCrossEntropy().forward(np.zeros((4, 10), np.float32), np.arange(4))
    assert loss == pytest.approx(np.log(10), rel=1e-6)
    np.testing.assert_allclose(probs, 0.1, rtol=1e-6)


@given(logits=SCORES, labels=LABELS)
def test_softmax_cross_entropy_has_probabilities_that_add_up_to_one_and_a_gradient_that_adds_up_to_zero(
    logits: Array, labels: Labels
) -> None:
    criterion = SoftmaxCrossEntropy()
    _, probs = criterion.forward(logits, labels)
    assert np.all(probs >= 0)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(criterion.backward(probs, labels).sum(axis=1), 0, atol=1e-15)


@given(logits=SCORES, labels=LABELS, shift=st.floats(-1000, 1000))
def test_softmax_cross_entropy_is_unchanged_by_a_shift(logits: Array, labels: Labels, shift: float) -> None:
    loss, probs = SoftmaxCrossEntropy().forward(logits, labels)
    shifted_loss, shifted_probs = SoftmaxCrossEntropy().forward(logits + shift, labels)
    np.testing.assert_allclose(shifted_probs, probs, rtol=1e-11)
    assert shifted_loss == pytest.approx(loss, rel=1e-11, abs=1e-12)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_of_extreme_scores_stay_finite_without_a_warning(criterion: Loss, dtype: type[np.floating]) -> None:
    logits = np.where(np.eye(10, dtype=bool), 1e4, -1e4).astype(dtype)
    for labels in (np.arange(10), np.arange(10)[::-1]):  # all right, all wrong
        value, probs = criterion.forward(logits, labels)
        assert np.isfinite(value)
        assert np.isfinite(probs).all()
        assert np.isfinite(criterion.backward(probs, labels)).all()


def test_softmax_cross_entropy_of_a_certain_error_is_the_difference_of_the_scores() -> None:
    logits = np.full((1, 10), -1e4, np.float32)
    logits[0, 3] = 1e4
    assert SoftmaxCrossEntropy().forward(logits, np.array([3]))[0] == 0
    assert SoftmaxCrossEntropy().forward(logits, np.array([4]))[0] == 2e4


@EVERY
def test_losses_may_write_the_outputs_to_the_memory_of_the_scores(criterion: Loss) -> None:
    logits, labels = batch()
    value, probs = criterion.forward(logits, labels)

    memory = logits.copy()
    value_again, probs_again = criterion.forward(memory, labels, out=memory)
    assert probs_again is memory
    assert value_again == value
    np.testing.assert_array_equal(probs_again, probs)


@EVERY
def test_losses_fill_and_return_out_and_leave_the_outputs_alone(criterion: Loss) -> None:
    logits, labels = batch()
    value, probs = criterion.forward(logits.copy(), labels)
    dlogits = criterion.backward(probs, labels)

    probs_out, dlogits_out = np.full((2, 6, 10), np.nan, np.float32)
    value_again, probs_again = criterion.forward(logits, labels, out=probs_out)
    assert probs_again is probs_out
    assert value_again == value
    assert criterion.backward(probs_again, labels, out=dlogits_out) is dlogits_out
    np.testing.assert_array_equal(dlogits_out, dlogits)
    np.testing.assert_array_equal(probs_again, probs)  # they are counted after the step


@pytest.mark.parametrize("criterion", [SoftmaxCrossEntropy(), SigmoidCrossEntropy()])
def test_cross_entropies_may_write_the_gradient_to_the_memory_of_the_outputs(criterion: Loss) -> None:
    logits, labels = batch()
    _, memory = criterion.forward(logits, labels)
    dlogits = criterion.backward(memory, labels)
    assert criterion.backward(memory, labels, out=memory) is memory
    np.testing.assert_array_equal(memory, dlogits)


@EVERY
def test_losses_without_out_leave_the_scores_alone(criterion: Loss) -> None:
    logits, labels = batch()
    logits.setflags(write=False)
    _, probs = criterion.forward(logits, labels)
    probs.setflags(write=False)
    criterion.backward(probs, labels)


@EVERY
def test_losses_apply_their_own_output_to_the_scores(criterion: Loss) -> None:
    logits, labels = batch(np.float64)
    _, probs = criterion.forward(logits, labels)
    np.testing.assert_allclose(probs, criterion.output.forward(logits), rtol=1e-15)


@EVERY
@given(times=st.integers(1, 40))
def test_losses_do_not_depend_on_how_often_a_batch_is_repeated(criterion: Loss, times: int) -> None:
    logits, labels = batch(np.float64)
    value, probs = criterion.forward(logits, labels)
    repeated, repeated_probs = criterion.forward(np.tile(logits, (times, 1)), np.tile(labels, times))
    assert repeated == pytest.approx(value, rel=1e-12)
    share = criterion.backward(repeated_probs, np.tile(labels, times))[: len(labels)]
    np.testing.assert_allclose(share * times, criterion.backward(probs, labels), rtol=1e-12, atol=1e-15)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64])
def test_losses_keep_the_precision(criterion: Loss, dtype: type[np.floating], label_dtype: type) -> None:
    logits, labels = batch(dtype)
    value, probs = criterion.forward(logits, labels.astype(label_dtype))
    assert type(value) is float
    assert probs.dtype == dtype
    assert criterion.backward(probs, labels.astype(label_dtype)).dtype == dtype
