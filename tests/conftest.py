"""What every test may ask for: real MNIST, drawn digits, a trained network, and nnctl as users run it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nnctl.data import datasets
from nnctl.model import Model
from tests.support.files import ROOT, made_once
from tests.support.process import Nnctl, run_nnctl

# a test is right or wrong however busy the machine is
settings.register_profile("nnctl", deadline=None)
settings.load_profile("nnctl")


@pytest.fixture(autouse=True)
def _no_nnctl_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's NNCTL_* settings must not reach a test."""
    for name in list(os.environ):
        if name.startswith("NNCTL_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def _usual_signals() -> None:
    """Programs inherit what is ignored: they must handle signals even if the tests run behind nohup, or by `&`."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            signal.signal(getattr(signal, name), signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take ten times longer."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def nnctl(tmp_path: Path) -> Nnctl:
    """`nnctl("train", "--quiet")` in an empty folder of the test."""

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_nnctl(*arguments, cwd=tmp_path, **variables)

    return run


@pytest.fixture(scope="session")
def mnist_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the real MNIST: fetched from $MNIST_MIRROR, or else copied from data/."""

    def gather(folder: Path) -> None:
        if mirror:
            datasets.fetch("mnist", folder, [mirror])
            return
        (folder / "mnist").mkdir()
        data = ROOT / "data"
        reports = datasets.verify("mnist", data) if data.is_dir() else []
        if {report.status for report in reports} != {"ok"}:
            pytest.skip("needs the real MNIST: run `nnctl data fetch`, or set MNIST_MIRROR to the URL of a mirror")
        for report in reports:  # wherever they lie there
            shutil.copy(report.path, folder / "mnist")

    mirror = os.environ.get("MNIST_MIRROR")  # a variable of the tests, not of nnctl, whose variables are removed
    return made_once(tmp_path_factory, "real", gather)


@pytest.fixture(scope="session")
def mnist_files(mnist_dir: Path) -> Path:
    """The folder of the real MNIST's four files as they are published, which is gzipped."""
    if len(list((mnist_dir / "mnist").glob("*.gz"))) < 4:
        pytest.skip("needs the real MNIST as it is published: run `nnctl data fetch --force`")
    return mnist_dir / "mnist"


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, so that a relative path leads to nothing else."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def drawn_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the synthetic digits, drawn once for all tests."""
    return made_once(tmp_path_factory, "drawn", lambda folder: datasets.fetch("synthetic", folder))


@pytest.fixture(scope="session")
def default_run(mnist_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a network trained on the real MNIST with the default configuration."""

    def train(folder: Path) -> None:
        done = run_nnctl("train", "--run-dir", "run", "--data-dir", mnist_dir, cwd=folder)
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "default", train) / "run"


@pytest.fixture(scope="session")
def default_model(default_run: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.intp]]:
    """What the default network reads: pixels (N, 28, 28) uint8 -> labels (N,)."""
    model = Model.load(default_run)

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
        predictions: NDArray[np.intp] = model.predict(pixels / np.float32(255)).argmax(axis=1)
        return predictions

    return predict
