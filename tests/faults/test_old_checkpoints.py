"""What was saved once can be read for ever; what a later nnctl saves is refused by its number."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.faults.faulty import SMALL, assert_spoken
from tests.faults.forgeries import DIGEST, FORMAT_1
from tests.support.checkpoints import forged
from tests.support.process import run_nnctl

SHA256 = "7df824b6e233073709dd1a61e00658b84d8ab1114de12233221973735dd9a55b"


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def digit(drawn_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of a digit."""
    path = tmp_path_factory.mktemp("digit") / "digit.png"
    exported = ("data", "export", "test:7", path, "--dataset=synthetic", f"--data-dir={drawn_dir}")
    succeeded(run_nnctl(*exported, cwd=path.parent))
    return path


def test_the_file_of_format_1_is_the_one_that_was_written():
    assert hashlib.sha256(FORMAT_1.read_bytes()).hexdigest() == SHA256


def test_a_checkpoint_of_format_1_is_looked_into(tmp_path):
    verified = json.loads(succeeded(run_nnctl("checkpoint", "verify", FORMAT_1, "--json", cwd=tmp_path)))
    assert (verified["ok"], verified["digest"]) == (True, DIGEST)
    assert succeeded(run_nnctl("checkpoint", "digest", FORMAT_1, cwd=tmp_path)).strip() == DIGEST
    info = json.loads(succeeded(run_nnctl("checkpoint", "info", FORMAT_1, "--json", cwd=tmp_path)))
    assert (info["digest"], info["format_version"], info["epoch"], info["step"]) == (DIGEST, 1, 3, 96)
    assert info["best"]["accuracy"] == 0.44
    assert len(info["history"]) == 3
    assert info["arrays"]["param/hidden1.weight"] == [784, 2]
    assert info["config"]["network"]["hidden"] == [2]


def test_a_network_of_format_1_reads(drawn_dir, digit, tmp_path):
    evaluated = run_nnctl("eval", FORMAT_1, "--json", "--offline", "--data-dir", drawn_dir, cwd=tmp_path)
    assert json.loads(succeeded(evaluated))["accuracy"] > 0.3  # 0.407 of the digits as they were drawn then
    answer = json.loads(succeeded(run_nnctl("predict", digit, "--checkpoint", FORMAT_1, "--json", cwd=tmp_path)))
    assert answer["prediction"] == int(np.argmax(answer["probabilities"]))
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("version", [0, 2])
def test_a_checkpoint_of_another_format_is_refused_by_its_number(version, tmp_path):
    path = tmp_path / "other.npz"
    path.write_bytes(forged(FORMAT_1.read_bytes(), format_version=version))
    for command in ("verify", "digest", "info"):
        done = run_nnctl("checkpoint", command, path, cwd=tmp_path)
        assert_spoken(done, 4)
        assert f"is of format version {version}; this nnctl reads version 1" in done.stdout + done.stderr


def test_a_checkpoint_of_a_later_format_is_refused_wherever_a_network_is_needed(drawn_dir, digit, tmp_path):
    run = tmp_path / "run"
    succeeded(run_nnctl("train", f"--run-dir={run}", f"--data-dir={drawn_dir}", *SMALL, cwd=tmp_path))
    last = run / "checkpoints" / "last.npz"
    for later in (last, tmp_path / "later.npz"):
        later.write_bytes(forged(last.read_bytes(), format_version=2))
    for command in (
        ("train", "--resume", f"--run-dir={run}", "--offline", "--set=train.epochs=4"),
        ("eval", tmp_path / "later.npz", "--offline", f"--data-dir={drawn_dir}"),
        ("predict", digit, "--checkpoint", tmp_path / "later.npz"),
    ):
        before = last.read_bytes()
        done = run_nnctl(*command, cwd=tmp_path)
        assert_spoken(done, 4)
        assert "is of format version 2; this nnctl reads version 1" in done.stderr
        assert last.read_bytes() == before
    respelled = tmp_path / "respelled.npz"  # what refused the others was their number alone
    respelled.write_bytes(forged(FORMAT_1.read_bytes(), format_version=1))
    assert succeeded(run_nnctl("checkpoint", "digest", respelled, cwd=tmp_path)).strip() == DIGEST
