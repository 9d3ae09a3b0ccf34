"""What an old nnctl saved can be read and resumed; what a later one saves is refused by its number."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.faults import digits_of_version_1
from tests.faults.faulty import SMALL, assert_spoken, digests
from tests.faults.forgeries import DIGEST, FORMAT_1
from tests.support.checkpoints import forged
from tests.support.files import contents
from tests.support.process import run_nnctl

SHA256 = {
    "format-1.npz": "7df824b6e233073709dd1a61e00658b84d8ab1114de12233221973735dd9a55b",
    "format-1-run/config.yaml": "7c74bed01bd6dbaf08ea9f90bf8b5a88210e2433b5ab8daeb5df77b7ef2b7eba",
    "format-1-run/metrics.jsonl": "988d1588c4b793b29cf486041713a206795d05a9633e3c4fa272223aaae3e69f",
    "format-1-run/checkpoints/best.npz": "43b302395ca78cb5aa833c0dd18bc2bc2edf0a00d1fa1eae1ce57964e326e436",
    "format-1-run/checkpoints/last.npz": "1f90558fe720b44ef881002d408b5df0ab5f5f8dd4ec391a6528d4828e579423",
    "format-2.npz": "ec453b4082db24bf681a3e4b3effbb6e7435033d58dacfdbb1b56dae52c3b547",
}
FORMAT_2 = FORMAT_1.with_name("format-2.npz")
DIGEST_2 = "5eb269c621771589f86bffdb53f4ca7eac01ef35006eca9b134222958069bf1a"
RUN_DIGESTS = {
    "best.npz": "225a0f2395ae6eb565fb9aa3a699e9d8fccb74881e1f4f15ea8e68173fc11f51",
    "last.npz": "63d657b0282c1b36f802f871919018a85a334c1a0e80bb246e943ddc8a20bba8",
}
HISTORY = [  # of the same run, as nnctl 0.1.0 finished it: loss and accuracy of training, then of validation
    (2.3004513502120973, 0.15, 2.125546569824219, 0.17),
    (2.154110538959503, 0.175, 2.0964776611328126, 0.16),
    (2.110823702812195, 0.153125, 2.0936737060546875, 0.145),
]


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


@pytest.fixture(scope="module")
def drawn_then_dir(drawn_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the synthetic digits of version 1, which nnctl takes for those that it draws today."""
    today, then = drawn_dir / "synthetic", tmp_path_factory.mktemp("then") / "synthetic"
    then.mkdir()
    for part, count, seed in (("train", 60_000, 0), ("t10k", 10_000, 1)):
        for name, array in zip(("images-idx3", "labels-idx1"), digits_of_version_1.draw(count, seed), strict=True):
            file = f"{part}-{name}-ubyte"
            content = (today / file).read_bytes()
            (then / file).write_bytes(content[: len(content) - array.nbytes] + array.tobytes())
    manifest = json.loads((today / "synthetic.json").read_text())
    for file in manifest["sha256"]:
        manifest["sha256"][file] = hashlib.sha256((then / file).read_bytes()).hexdigest()
    (then / "synthetic.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return then.parent


def test_files_of_each_format_are_those_that_were_written():
    folder = FORMAT_1.parent
    files = {name: data for name, data in contents(folder).items() if data is not None and name != "README.md"}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == SHA256


def test_checkpoint_of_format_1_can_be_looked_into(tmp_path):
    verified = json.loads(succeeded(run_nnctl("checkpoint", "verify", FORMAT_1, "--json", cwd=tmp_path)))
    assert (verified["ok"], verified["digest"]) == (True, DIGEST)
    assert succeeded(run_nnctl("checkpoint", "digest", FORMAT_1, cwd=tmp_path)).strip() == DIGEST
    info = json.loads(succeeded(run_nnctl("checkpoint", "info", FORMAT_1, "--json", cwd=tmp_path)))
    assert (info["digest"], info["format_version"], info["epoch"], info["step"]) == (DIGEST, 1, 3, 96)
    assert info["best"]["accuracy"] == 0.44
    assert len(info["history"]) == 3
    assert info["arrays"]["param/hidden1.weight"] == [784, 2]
    assert info["config"]["network"]["hidden"] == [2]


def test_network_of_format_1_reads(drawn_dir, digit, tmp_path):
    evaluated = run_nnctl("eval", FORMAT_1, "--json", "--offline", "--data-dir", drawn_dir, cwd=tmp_path)
    assert json.loads(succeeded(evaluated))["accuracy"] > 0.3  # 0.407 of the digits as they were drawn then
    answer = json.loads(succeeded(run_nnctl("predict", digit, "--checkpoint", FORMAT_1, "--json", cwd=tmp_path)))
    assert answer["prediction"] == int(np.argmax(answer["probabilities"]))
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_checkpoint_of_format_2_can_be_looked_into(tmp_path):
    verified = json.loads(succeeded(run_nnctl("checkpoint", "verify", FORMAT_2, "--json", cwd=tmp_path)))
    assert (verified["ok"], verified["digest"]) == (True, DIGEST_2)
    info = json.loads(succeeded(run_nnctl("checkpoint", "info", FORMAT_2, "--json", cwd=tmp_path)))
    assert (info["digest"], info["format_version"], info["epoch"]) == (DIGEST_2, 2, 3)
    assert info["reading"] == {"temperature": 0.7901368108326056}


def test_network_of_format_2_reads_with_its_temperature_and_its_judge(digit, tmp_path):
    flatter, judged = tmp_path / "flatter.npz", tmp_path / "judged.npz"
    flatter.write_bytes(forged(FORMAT_2.read_bytes(), reading={"temperature": 1.5}))
    shapes = {"hidden.weight": (784, 256), "hidden.bias": 256, "output.weight": (256, 11), "output.bias": 11}
    judge = {f"judge/{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    judge["judge/output.bias"][10] = 20  # no picture shows a digit
    judged.write_bytes(forged(FORMAT_2.read_bytes(), judge))
    answers = []
    for path in (FORMAT_2, flatter):
        done = run_nnctl("predict", digit, "--checkpoint", path, "--json", cwd=tmp_path)
        answers.append(json.loads(succeeded(done)))
    assert answers[0]["prediction"] == answers[1]["prediction"]
    assert max(answers[0]["probabilities"]) > max(answers[1]["probabilities"]) + 0.01
    assert_spoken(run_nnctl("predict", digit, "--checkpoint", judged, cwd=tmp_path), 5)


def test_run_of_format_1_that_was_stopped_within_an_epoch_goes_on_as_it_would_have_gone_on_then(
    drawn_then_dir, tmp_path
):
    run = Path(shutil.copytree(FORMAT_1.parent / "format-1-run", tmp_path / "run"))
    assert digests(run) == [RUN_DIGESTS]
    before = (run / "metrics.jsonl").read_bytes()
    command = ("train", "--resume", "--run-dir", run, "--data-dir", drawn_then_dir, "--offline", "--quiet", "--json")
    answer = json.loads(succeeded(run_nnctl(*command, cwd=tmp_path)))
    assert (answer["status"], answer["epochs"], answer["steps"], answer["best"]["epoch"]) == ("finished", 3, 30, 1)
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    told = [tuple(entry[name] for name in names) for entry in answer["history"]]
    assert told[0] == HISTORY[0]
    for now, then in zip(told, HISTORY, strict=True):
        assert now[::2] == pytest.approx(then[::2], rel=1e-4)  # another processor gives other last bits
        assert now[1::2] == pytest.approx(then[1::2], abs=0.02)
    assert (run / "metrics.jsonl").read_bytes().startswith(before)
    assert digests(run) == [{"best.npz": RUN_DIGESTS["best.npz"], "last.npz": answer["digest"]}]


def test_run_that_was_begun_with_digits_of_version_1_does_not_go_on_with_those_of_today(drawn_dir, tmp_path):
    run = Path(shutil.copytree(FORMAT_1.parent / "format-1-run", tmp_path / "run"))
    done = run_nnctl("train", "--resume", f"--run-dir={run}", f"--data-dir={drawn_dir}", "--offline", cwd=tmp_path)
    assert_spoken(done, 2)
    assert "was begun with other data" in done.stderr
    assert digests(run) == [RUN_DIGESTS]


@pytest.mark.parametrize("version", [0, 3])
def test_checkpoint_of_another_format_is_refused_by_its_number(version, tmp_path):
    path = tmp_path / "other.npz"
    path.write_bytes(forged(FORMAT_1.read_bytes(), format_version=version))
    for command in ("verify", "digest", "info"):
        done = run_nnctl("checkpoint", command, path, cwd=tmp_path)
        assert_spoken(done, 4)
        assert f"is of format version {version}; this nnctl reads versions 1 and 2" in done.stdout + done.stderr


def test_checkpoint_of_a_later_format_is_refused_wherever_a_network_is_needed(drawn_dir, digit, tmp_path):
    run = tmp_path / "run"
    succeeded(run_nnctl("train", f"--run-dir={run}", f"--data-dir={drawn_dir}", *SMALL, cwd=tmp_path))
    last = run / "checkpoints" / "last.npz"
    for later in (last, tmp_path / "later.npz"):
        later.write_bytes(forged(last.read_bytes(), format_version=3))
    for command in (
        ("train", "--resume", f"--run-dir={run}", "--offline", "--set=train.epochs=4"),
        ("eval", tmp_path / "later.npz", "--offline", f"--data-dir={drawn_dir}"),
        ("predict", digit, "--checkpoint", tmp_path / "later.npz"),
    ):
        before = last.read_bytes()
        done = run_nnctl(*command, cwd=tmp_path)
        assert_spoken(done, 4)
        assert "is of format version 3; this nnctl reads versions 1 and 2" in done.stderr
        assert last.read_bytes() == before
    respelled = tmp_path / "respelled.npz"  # what refused the others was their number alone
    respelled.write_bytes(forged(FORMAT_1.read_bytes(), format_version=1))
    assert succeeded(run_nnctl("checkpoint", "digest", respelled, cwd=tmp_path)).strip() == DIGEST
