"""Calibration: one temperature for all probabilities, found where the cross-entropy is lowest."""

import numpy as np
import pytest

from nnctl.nn.arrays import Array, Labels
from nnctl.nn.calibration import HIGHEST, LOWEST, fit_temperature, tempered


def cross_entropy(probs: Array, labels: Labels) -> float:
    return float(-np.log(probs[np.arange(len(labels)), labels]).mean())


def predictions(count: int, temperature: float) -> tuple[Array, Labels]:
    """Probabilities of ten classes (N, 10), and labels that are right as often as they say at this temperature."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(count, 10))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chances = tempered(probs, temperature).cumsum(axis=1)
    labels = (rng.random((count, 1)) > chances / chances[:, -1:]).sum(axis=1)
    return probs.astype(np.float32), labels


def test_tempered_is_softmax_of_logarithms_divided_by_the_temperature() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])
    np.testing.assert_allclose(tempered(probs, 1.0), probs)
    for temperature in (0.5, 2.0):
        powers = probs ** (1 / temperature)
        np.testing.assert_allclose(tempered(probs, temperature), powers / powers.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(tempered(probs[0], 2.0), tempered(probs, 2.0)[0])  # one image alone


def test_tempered_takes_probabilities_of_zero_and_any_temperature() -> None:
    probs = np.array([[1, 0, 0], [0.5, 0.5, 0]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        for temperature in (5e-324, 1e-3, LOWEST, 1.0, HIGHEST, 1e300):
            found = tempered(probs, temperature)
            assert np.isfinite(found).all()
            np.testing.assert_allclose(found.sum(axis=1), 1)
            assert found[0].argmax() == 0


def test_tempered_makes_a_distribution_of_outputs_that_do_not_add_up() -> None:
    np.testing.assert_allclose(tempered(np.array([0.9, 0.9, 0.2]), 1.0), [0.45, 0.45, 0.1])  # of three sigmoids


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 4.0])
def test_fit_temperature_finds_the_one_at_which_the_labels_were_drawn(temperature: float) -> None:
    assert fit_temperature(*predictions(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_finds_the_lowest_cross_entropy() -> None:
    probs, labels = predictions(500, 1.7)
    best = fit_temperature(probs, labels)
    lowest = cross_entropy(tempered(probs, best), labels)
    for factor in (0.9, 0.999, 1.001, 1.1):
        assert cross_entropy(tempered(probs, factor * best), labels) > lowest


def test_fit_temperature_stays_within_its_bounds() -> None:
    probs = np.full((10, 10), 0.05, np.float32) + 0.5 * np.eye(10, dtype=np.float32)
    assert fit_temperature(probs, np.arange(10)) == pytest.approx(LOWEST)  # all are right
    assert fit_temperature(probs, (np.arange(10) + 1) % 10) == pytest.approx(HIGHEST)  # all are wrong


def test_fit_temperature_takes_labels_of_probability_zero() -> None:
    probs = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
    assert LOWEST < fit_temperature(probs, np.array([0, 1, 0, 0])) <= HIGHEST
