"""What every test may ask for: real MNIST, a small dataset, and an environment free of nnctl's own variables."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_nnctl_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own NNCTL_* settings must not reach a test."""
    for name in list(os.environ):
        if name.startswith("NNCTL_"):
            monkeypatch.delenv(name)
