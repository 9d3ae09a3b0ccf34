"""The random weights: as wide as their formulas say, and the same for the same seed."""

import numpy as np
import pytest

from nnctl.nn.initializers import Initializer, he, normal, xavier

SIZES = [(784, 128), (128, 784), (300, 300)]
EVERY = pytest.mark.parametrize("initializer", [normal, xavier, he])


@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        (normal, lambda _inputs, _outputs: 0.01),
        (xavier, lambda inputs, outputs: (2 / (inputs + outputs)) ** 0.5),
        (he, lambda inputs, _outputs: (2 / inputs) ** 0.5),
    ],
)
def test_initializers_scatter_weights_around_zero_as_widely_as_the_formula_says(
    initializer, deviation, inputs, outputs
) -> None:
    weight = initializer(np.random.default_rng(0), inputs, outputs)
    expected = deviation(inputs, outputs)
    assert weight.mean() == pytest.approx(0, abs=5 * expected / weight.size**0.5)
    assert weight.std() == pytest.approx(expected, rel=5 / (2 * weight.size) ** 0.5)


@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_xavier_fills_its_interval_and_never_leaves_it(inputs: int, outputs: int) -> None:
    weight = xavier(np.random.default_rng(0), inputs, outputs)
    limit = (6 / (inputs + outputs)) ** 0.5
    assert -limit <= weight.min() < -0.999 * limit
    assert 0.999 * limit < weight.max() <= limit


@pytest.mark.parametrize("initializer", [normal, he])
def test_normal_and_he_are_bell_curves(initializer: Initializer) -> None:
    weight = initializer(np.random.default_rng(0), 784, 128)
    within_one_sigma = np.mean(np.abs(weight) < weight.std())
    assert within_one_sigma == pytest.approx(0.6827, abs=0.01)


@EVERY
def test_initializers_draw_every_weight_by_the_seed(initializer: Initializer) -> None:
    first, again, other = (initializer(np.random.default_rng(seed), 20, 30) for seed in (1, 1, 2))
    assert first.shape == (20, 30)
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)
