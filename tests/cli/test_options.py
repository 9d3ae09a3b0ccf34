"""What several commands share: the kernel that NumPy was given is checked before anything is computed."""

import os

import pytest

from nnctl import blas
from nnctl.cli import options
from tests.test_blas import in_a_fresh_process


def test_check_kernel_lets_right_products_pass_and_starts_nothing_again(monkeypatch):
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    options.check_kernel()


def test_check_kernel_starts_the_program_again_without_a_forced_kernel_whose_products_are_wrong():
    statements = """
import numpy as np
from nnctl.cli import options
blas.AVX512_KERNEL = "Sandybridge"  # which every processor with AVX2 can run, and the true one only some
if os.environ["OPENBLAS_CORETYPE"] == "Sandybridge":
    np.allclose = lambda *_, **__: False
options.check_kernel()
print(json.dumps(os.environ["OPENBLAS_CORETYPE"]))
"""
    assert in_a_fresh_process(statements, **{blas.KERNEL_VARIABLE: "Sandybridge"}) == "Haswell"


def test_check_kernel_calls_wrong_products_without_a_forced_kernel_an_error(monkeypatch):
    monkeypatch.delenv(blas.KERNEL_VARIABLE, raising=False)
    monkeypatch.setattr("numpy.allclose", lambda *_, **__: False)
    with pytest.raises(RuntimeError, match="products"):
        options.check_kernel()
