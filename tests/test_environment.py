"""What a run records about where it ran."""

import json
import platform

import numpy as np

from nnctl import __version__, blas, environment


def test_describe_names_versions_processor_and_blas_ready_for_json():
    described = environment.describe()
    assert json.loads(json.dumps(described)) == described
    assert described == {
        "nnctl": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": environment.processor(),
        "blas": blas.report(),
    }


def test_processor_has_a_name():
    assert environment.processor().strip()


def test_processor_is_the_model_that_linux_names_or_what_python_knows(monkeypatch):
    monkeypatch.setattr(blas, "cpuinfo", {"model name": "EPYC"}.get)
    assert environment.processor() == "EPYC"
    monkeypatch.setattr(blas, "cpuinfo", lambda _: "")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert environment.processor() == platform.machine()


class Wrong(np.ndarray):
    """A matrix whose products are wrong in one number."""

    def __matmul__(self, other):
        product = np.asarray(self) @ other
        product[-1, -1] += 0.01
        return product


def test_products_are_right_compares_a_product_with_a_plain_loop(monkeypatch):
    assert environment.products_are_right()
    linspace = np.linspace
    monkeypatch.setattr(np, "linspace", lambda *args, **settings: linspace(*args, **settings).view(Wrong))
    assert not environment.products_are_right()
