"""The operations where speed hides, beside the plain ones that they stand for; and how many threads they get."""

import numpy as np
import pytest

from nnctl import blas
from nnctl.nn import kernels
from nnctl.nn.arrays import Array


@pytest.fixture
def _asked_anew():
    """Let axpby look for its functions again."""
    for remembered in (kernels._axpby_alone, kernels._axpby_shared):
        remembered.cache_clear()
    yield
    for remembered in (kernels._axpby_alone, kernels._axpby_shared):
        remembered.cache_clear()


@pytest.mark.usefixtures("_asked_anew")
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("b", [0.75, 1])
@pytest.mark.parametrize("threads", [1, 2, None], ids=["one thread", "two threads", "NumPy alone"])
@pytest.mark.parametrize("size", [1003, kernels.WORTH_MOVING + 1])
def test_axpby_is_what_its_name_says(monkeypatch, size, kind, b, threads):
    if threads is None:
        monkeypatch.setattr(blas, "_libraries", list)
    else:
        monkeypatch.setattr(blas, "several_threads", lambda: threads > 1)
    x, y = np.random.default_rng(0).standard_normal((2, size)).astype(kind)
    before = y.copy()
    kernels.axpby(-0.25, x, b, y)
    np.testing.assert_allclose(y, -0.25 * x + b * before, rtol=1e-5, atol=1e-6)
    assert y.dtype == kind


def test_axpby_lets_what_is_not_finite_through():
    y = np.ones(3, np.float32)
    kernels.axpby(1.0, np.array([np.nan, np.inf, -np.inf], np.float32), 1.0, y)
    np.testing.assert_array_equal(y, [np.nan, np.inf, -np.inf])


@pytest.mark.parametrize("shared", [False, True], ids=["one thread", "several threads"])
@pytest.mark.parametrize("size", [1003, kernels.WORTH_MOVING + 1])
@pytest.mark.parametrize("b", [0.75, 1])
def test_axpby_shares_out_long_vectors_and_takes_short_ones_in_the_fewest_passes(shared, size, b):
    called: list[str] = []

    def note(name):
        return lambda *_: called.append(name)

    combine = kernels._combination(note("scal"), note("axpy"), note("axpby"), shared=shared)
    combine(size, -0.25, 0, b, 0)
    one_pass = size < kernels.WORTH_MOVING if shared else b != 1
    assert called == (["axpby"] if one_pass else ["axpy"] if b == 1 else ["scal", "axpy"])


@pytest.mark.parametrize(("rows", "inner", "columns"), [(5, 7, 3), (784, 1, 10), (1, 7, 3), (5, 7, 1), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrix_product_fills_out_with_the_product(rows: int, inner: int, columns: int, dtype: type[np.floating]):
    rng = np.random.default_rng(0)
    a: Array = rng.standard_normal((rows, inner)).astype(dtype)
    b: Array = rng.standard_normal((inner, columns)).astype(dtype)
    out = np.full((rows, columns), np.nan, dtype)
    assert kernels.matrix_product(a, b, out=out) is out
    expected = sum(a[:, k, np.newaxis].astype(float) * b[k] for k in range(inner))
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_zeros_are_a_row_of_zeros_that_is_kept():
    row = kernels.zeros(9, np.dtype(np.float32))
    assert row.dtype == np.float32
    assert row.tolist() == [0] * 9
    assert kernels.zeros(9, np.dtype(np.float32)) is row


SMALL, LARGE = (64, 784, 128), (2**9, 2**8, 2**8)  # B, I, O


@pytest.fixture
def no_variables(monkeypatch):
    for variable in blas.THREAD_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("product", [SMALL, LARGE])
@pytest.mark.parametrize("variables", [{}, {"OMP_NUM_THREADS": "7"}])
@pytest.mark.usefixtures("no_variables")
def test_choose_threads_takes_a_number_as_an_order(monkeypatch, product, variables):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert blas.choose_threads(3, product) == 3


@pytest.mark.parametrize("product", [SMALL, LARGE])
@pytest.mark.parametrize("variable", blas.THREAD_VARIABLES)
@pytest.mark.usefixtures("no_variables")
def test_choose_threads_auto_respects_the_environment(monkeypatch, product, variable):
    monkeypatch.setenv(variable, "7")
    assert blas.choose_threads("auto", product) is None


@pytest.mark.usefixtures("no_variables")
def test_choose_threads_auto_is_one_unless_the_product_is_large(monkeypatch):
    monkeypatch.setattr(blas, "idle_processors", lambda: 7)
    assert blas.choose_threads("auto", SMALL) == 1
    assert blas.choose_threads("auto", (2**9 - 1, 2**8, 2**8)) == 1
    assert np.prod(LARGE) == blas.WORTH_SHARING
    assert blas.choose_threads("auto", LARGE) == 7
