"""Trainings that diverge, numbers near the largest floats, and a training so long that any leak would show."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nnctl.nn.activations import Sigmoid
from nnctl.nn.losses import SoftmaxCrossEntropy
from tests.faults.faulty import SMALL, amount, on_linux
from tests.support.process import run_nnctl, start_nnctl
from tests.support.runs import info

# Runaways

RUNAWAYS = (
    # those of the quick part: the loss is infinite, or none; a weight goes first; one learns well for two epochs
    "optimizer.learning_rate=1e38",
    "network.hidden=[] optimizer.learning_rate=1e38",
    "loss=mse optimizer.learning_rate=1e38",
    "optimizer.learning_rate=1e300",
    "schedule.name=cosine schedule.warmup_epochs=4 optimizer.weight_decay=10 optimizer.learning_rate=2",
    "network.hidden=[64,64,64] optimizer.learning_rate=1e6",
    "network.hidden=[16,16] optimizer.learning_rate=1e10",
    "network.activation=tanh network.init=xavier optimizer.learning_rate=1e38",
    "network.activation=sigmoid optimizer.learning_rate=1e38",
    "loss=mse schedule.name=constant optimizer.weight_decay=10 optimizer.learning_rate=1e3",
    "loss=mse network.activation=sigmoid optimizer.weight_decay=10 optimizer.learning_rate=1e38",
    "optimizer.name=adam network.hidden=[64,64,64] optimizer.learning_rate=1e10",
    "optimizer.name=adam optimizer.weight_decay=10 optimizer.learning_rate=1e20",
    "optimizer.name=adamw optimizer.learning_rate=1e6",
    "optimizer.name=adamw schedule.name=constant optimizer.weight_decay=10 optimizer.learning_rate=0.5",
    "optimizer.momentum=0.99 schedule.name=constant network.hidden=[32,32] optimizer.learning_rate=1e6",
    "optimizer.nesterov=true optimizer.learning_rate=1e15",
    "network.init=normal network.hidden=[64,64,64,64,64,64,64,64] optimizer.learning_rate=1e15",
    "network.dropout=0.5 network.hidden=[64,64] optimizer.learning_rate=1e6",
    "network.hidden=[] schedule.name=constant optimizer.momentum=0 optimizer.weight_decay=10 "
    "optimizer.learning_rate=0.5",
)

PLENTY = (*SMALL, "--set=data.train_limit=640", "--set=train.epochs=4")  # 20 steps an epoch, to run away in

STEP = re.compile(r"nnctl: error: training diverged: (.*) \(step ([0-9]+), epoch ([0-9]+)\)\nhint: .*learning_rate")


def test_runaways_are_as_many_as_promised() -> None:
    assert len(set(RUNAWAYS)) == 20


@pytest.mark.parametrize("settings", RUNAWAYS[: amount(5, 20)])
def test_runaway_is_stopped_and_leaves_the_last_finite_state(settings: str, drawn_dir: Path, tmp_path: Path) -> None:
    common = (*PLENTY, "--data-dir", drawn_dir, *(f"--set={setting}" for setting in settings.split()))

    def diverged(run: str, every: str) -> tuple[str, int]:
        done = run_nnctl("train", *common, f"--set=train.checkpoint_every={every}", "--run-dir", run, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (7, ""), done
        said = STEP.search(done.stderr)
        assert said, done.stderr
        assert (int(said[2]) - 1) // 20 + 1 == int(said[3]), done.stderr
        assert info(tmp_path / run)["status"] == "diverged"
        return said[1], int(said[2])

    # without saves within an epoch nothing but a loss can stop it
    reason, first = diverged("unsaved", "null")
    assert re.fullmatch("the (validation )?loss is (nan|inf)", reason), reason
    reason, step = diverged("saved", "1")
    assert abs(step - first) <= 1

    report = run_nnctl("checkpoint", "info", "saved/checkpoints/last.npz", "--json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    # weights that are not finite are seen on saving them, before the loss of the next step can tell
    assert json.loads(report.stdout)["step"] == step - (2 if "weight" in reason else 1)

    names = {path.name for path in (tmp_path / "saved" / "checkpoints").iterdir()}
    assert names == ({"last.npz", "best.npz"} if step > 21 else {"last.npz"})
    for name in names:
        with np.load(tmp_path / "saved" / "checkpoints" / name) as arrays:
            assert all(np.isfinite(arrays[key]).all() for key in arrays.files)
    for run in ("saved", "unsaved"):
        verified = run_nnctl("checkpoint", "verify", run, cwd=tmp_path)
        assert verified.returncode == 0, verified
        assert verified.stdout.count(": ok\n") >= 1


# Numbers

LARGE = (1e4, -1e4, 3e38, -3e38)
EVERY_TYPE = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture
def strict() -> Iterator[None]:
    """Whatever overflows or is no number raises; what is too small to tell from zero is zero."""
    with np.errstate(over="raise", divide="raise", invalid="raise", under="ignore"):
        yield


@EVERY_TYPE
@pytest.mark.usefixtures("strict")
def test_sigmoid_of_huge_inputs_is_zero_or_one_and_flat(dtype: type[np.floating]) -> None:
    x = np.array([LARGE], dtype)
    y = Sigmoid().forward(x.copy())
    np.testing.assert_array_equal(y, [[1, 0, 1, 0]])
    np.testing.assert_array_equal(Sigmoid().backward(np.ones_like(x), x, y), np.zeros_like(x))


@EVERY_TYPE
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("logit", LARGE)
@pytest.mark.parametrize("label", [3, 5])
def test_cross_entropy_of_huge_logits_is_finite(dtype: type[np.floating], logit: float, label: int) -> None:
    criterion, labels = SoftmaxCrossEntropy(), np.array([label])
    alone = np.zeros((1, 10), dtype)
    alone[0, 3] = logit
    probabilities = np.eye(10)[[3]] if logit > 0 else (1 - np.eye(10)[[3]]) / 9
    its_loss = {(True, 3): 0, (True, 5): logit, (False, 3): np.log(9) - logit, (False, 5): np.log(9)}[logit > 0, label]
    for logits, expected_probs, expected_loss in (
        (alone, probabilities, its_loss),
        (np.full((1, 10), logit, dtype), np.full((1, 10), 0.1), np.log(10)),
    ):
        loss, probs = criterion.forward(logits, labels)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        np.testing.assert_allclose(probs, expected_probs, rtol=1e-6)
        gradient = criterion.backward(probs, labels)
        np.testing.assert_allclose(gradient, expected_probs - np.eye(10)[[label]], rtol=1e-6, atol=1e-7)


@EVERY_TYPE
@pytest.mark.parametrize("size", [1e4, 3e38])
@pytest.mark.parametrize("label", [0, 1])
def test_cross_entropy_of_logits_at_both_ends_has_finite_probabilities_and_gradient(
    dtype: type[np.floating], size: float, label: int
) -> None:
    logits, labels = np.array([[size, -size]], dtype), np.array([label])
    too_far = dtype is np.float32 and size > 1e38  # the distance of the two is no float32, and so no loss
    with np.errstate(over="ignore" if too_far else "raise", divide="raise", invalid="raise", under="ignore"):
        loss, probs = SoftmaxCrossEntropy().forward(logits, labels)
        gradient = SoftmaxCrossEntropy().backward(probs, labels)
    assert loss == (0 if label == 0 else np.inf if too_far else pytest.approx(2 * size, rel=1e-6))
    np.testing.assert_array_equal(gradient, [[0, 0]] if label == 0 else [[1, -1]])


# Endurance

EPOCHS = amount(300, 5000)
MOST_GROWTH = 5 * 2**20  # bytes
LIMIT = amount(60, 1200)  # seconds


@on_linux
def test_long_training_leaks_neither_memory_nor_files(drawn_dir: Path, tmp_path: Path) -> None:
    settings = (
        "data.dataset=synthetic data.train_limit=1 data.validation=1 data.augment=none network.hidden=[1] "
        f"train.batch_size=1 train.epochs={EPOCHS}"
    )
    process = start_nnctl(
        "train",
        *(f"--set={setting}" for setting in settings.split()),
        "--data-dir",
        drawn_dir,
        "--offline",
        "--quiet",
        "--run-dir",
        "run",
        cwd=tmp_path,
    )
    try:
        early = observed(process, tmp_path / "run", since=100, until=140)
        late = observed(process, tmp_path / "run", since=EPOCHS - 40, until=EPOCHS)
        output, errors = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert output.startswith("test accuracy ")
    # files come and go with every save, and so does memory; the fewest files are those open between saves
    for what, level, growth in (("memory", statistics.median_low, MOST_GROWTH), ("files", min, 0)):
        before, after = (level([sample[what] for sample in samples]) for samples in (early, late))
        assert after - before <= growth, f"{what}: {before:,} at epoch 100, {after:,} after {EPOCHS}"


def observed(process: subprocess.Popen[str], run: Path, *, since: int, until: int) -> list[dict[str, int]]:
    """Bytes in memory and open files of a training, again and again while it is between two epochs."""
    samples = []
    began = time.monotonic()
    while process.poll() is None and (epoch := lines(run / "metrics.jsonl")) < until:
        assert time.monotonic() - began < LIMIT, f"only {epoch} epochs in {LIMIT} s"
        if epoch >= since:
            samples.append(state(process.pid))
        time.sleep(0.002)
    assert len(samples) >= 20, f"seen {len(samples)} times from epoch {since} to {until}"
    return samples


def lines(path: Path) -> int:
    """How many lines a file has; none if there is no file yet."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def state(pid: int) -> dict[str, int]:
    """Bytes in memory and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+([0-9]+) kB", status)
    assert found
    return {"memory": int(found[1]) * 1024, "files": len(list(Path(f"/proc/{pid}/fd").iterdir()))}
