"""Files that somebody, or a bad disk, has made out of a checkpoint: refused with exit 4, soon and in little memory."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.faulty import FULL, SMALL, amount, assert_spoken, chosen, on_linux, processor_seconds
from tests.faults.forgeries import (
    CAGE,
    CONTENTS,
    DIGEST,
    END,
    GONE,
    GOOD,
    MUTATIONS,
    SEED,
    canaries,
    edited,
    mutated,
    no_finite_number,
    of_version_2,
    other_npy_header,
    recompress,
    respell,
    wrong_field,
)
from tests.faults.measure import BYTES, SECONDS
from tests.faults.odd_things import ODD_THINGS
from tests.support.process import environment, run_nnctl

pytestmark = on_linux  # memory and processor time are read from /proc

MEASURED = """
import runpy, sys
try:
    runpy.run_module("nnctl", run_name="__main__", alter_sys=True)
finally:
    with open("/proc/self/status") as status:
        print(next(line for line in status if line.startswith("VmHWM")).split()[1], file=sys.stderr)
"""
"""Runs nnctl and tells its peak memory in kB at the end; rusage would count what this process holds as well."""


def make_hole(path: Path) -> None:
    """8 GB that take no space, and claim to be 4 GB of directory."""
    with path.open("wb") as file:
        file.seek(2**33)
        file.write(struct.pack("<4s4H2LH", END, 0, 0, 999, 999, 2**32 - 2, 0, 0))


THINGS: dict[str, Callable[[Path], None]] = {
    **{name: make for name, make in ODD_THINGS.items() if name != "folder"},  # any folder is a run
    "run of a folder": lambda path: (path / "checkpoints" / "best.npz").mkdir(parents=True),
    "hole": make_hole,
}


def verified(paths: Sequence[Path], cwd: Path) -> list[dict[str, Any]]:
    """Let one process look at all files; what it says of each, once it is clear that none cost too much."""
    command = [sys.executable, "-c", MEASURED, "checkpoint", "verify", "--json", *map(str, paths)]
    answers: list[dict[str, Any]] = []
    before = 0.0
    with (
        (cwd / "stderr").open("w+", encoding="utf-8") as stderr,
        subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        watchdog = threading.Timer(60 + SECONDS * len(paths), process.kill)
        watchdog.start()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                answers.append(json.loads(line))
                spent = processor_seconds(process.pid)  # the first line waits for all imports
                assert spent - before < SECONDS + 2 * (len(answers) == 1), f"{answers[-1]} took {spent - before} s"
                before = spent
            code = process.wait()
        finally:
            watchdog.cancel()
        stderr.seek(0)
        said = stderr.read()
    assert len(answers) == len(paths), f"stuck or broken at {paths[len(answers)]}: {said}"
    assert "Traceback" not in said, said
    assert code == (0 if all(answer["ok"] for answer in answers) else 4), said
    assert int(said.split()[-1]) * 1000 < BYTES, f"{said.split()[-1]} kB for one of {paths[0]}..."
    return answers


def test_checkpoint_that_all_others_are_made_of_is_accepted(tmp_path):
    (tmp_path / "good.npz").write_bytes(GOOD)
    (tmp_path / "respelled.npz").write_bytes(respell(random.Random(SEED)))
    (tmp_path / "ready.npz").write_bytes(of_version_2())
    answers = verified([tmp_path / f"{name}.npz" for name in ("good", "respelled", "ready")], tmp_path)
    assert [answer.get("digest") for answer in answers] == [DIGEST, DIGEST, DIGEST]


def test_checkpoint_mutated_is_refused_or_still_the_same(tmp_path):
    cases, batch = amount(300, 10_000), 500
    accepted: list[int] = []
    for first in range(0, cases, batch):
        numbers = range(first, min(first + batch, cases))
        paths = [tmp_path / f"{number}.npz" for number in numbers]
        for number, path in zip(numbers, paths, strict=True):
            path.write_bytes(mutated(number))
        for number, answer in zip(numbers, verified(paths, tmp_path), strict=True):
            what = f"mutated({number}), {MUTATIONS[number % len(MUTATIONS)].__name__}: {answer}"
            assert answer.get("digest") == (DIGEST if answer["ok"] else None), what
            accepted += [number] if answer["ok"] else []
        for path in paths:
            path.unlink()
    kinds = {MUTATIONS[number % len(MUTATIONS)] for number in accepted}
    assert respell in kinds, "nothing reaches the reader"
    assert not kinds & {no_finite_number, recompress, wrong_field, other_npy_header}
    assert len(accepted) < 0.3 * cases


def test_checkpoint_made_hostile_by_hand_is_refused(tmp_path):
    assert len(CONTENTS) + len(THINGS) >= 60
    folder = tmp_path / "made"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content())
    for name, make in THINGS.items():
        make(folder / name)
    names = [*CONTENTS, *THINGS]
    large = [name for name in CONTENTS if (folder / name).stat().st_size > 10**7]  # alone, lest their memory add up
    small = [folder / name for name in names if name not in large]
    answers = verified(small, tmp_path) + [verified([folder / name], tmp_path)[0] for name in large]
    for answer in answers:
        name = Path(answer["path"]).relative_to(folder).parts[0]
        assert not answer["ok"], name
        assert answer["error"].isprintable(), name
        assert len(answer["error"]) < len(answer["path"]) + 250, name
    if FULL:
        for name in names:
            verified([folder / name], tmp_path)
            assert_spoken(run_nnctl("checkpoint", "digest", folder / name, cwd=tmp_path), 4)
            assert_spoken(run_nnctl("checkpoint", "info", folder / name, cwd=tmp_path), 4)
    assert not (tmp_path / CAGE).exists()
    shutil.rmtree(folder)


def test_canary_is_a_real_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.load(io.BytesIO(canaries()), allow_pickle=True)
    assert (tmp_path / CAGE).exists()


@pytest.fixture(scope="module")
def run(drawn_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    done = run_nnctl("train", "--run-dir=run", f"--data-dir={drawn_dir}", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def resumed(run: Path, data: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    """Go on with a copy of a run whose last checkpoint is this."""
    shutil.copytree(run, folder)
    (folder / "checkpoints" / "last.npz").write_bytes(data)
    return run_nnctl(
        "train", "--resume", "--run-dir", folder, "--offline", "--quiet", "--set=train.epochs=4", cwd=folder
    )


def test_commands_that_need_a_network_refuse_hostile_checkpoints(run, drawn_dir, tmp_path):
    path = tmp_path / "hostile.npz"
    for name in random.Random(SEED).sample(list(CONTENTS), amount(1, 25)):
        path.write_bytes(CONTENTS[name]())
        evaluated = run_nnctl("eval", path, "--offline", "--data-dir", drawn_dir, cwd=tmp_path)
        assert_spoken(evaluated, 4)
        predicted = run_nnctl("predict", "digit.png", "--checkpoint", path, cwd=tmp_path)
        assert_spoken(predicted, 4)
        assert_spoken(resumed(run, path.read_bytes(), tmp_path / name), 4)
    assert not list(tmp_path.rglob(CAGE))


CONTRADICTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "state of another generator": (("generators", "dropout", "bit_generator"), "MT19937"),
    "no state": (("generators", "deformation"), GONE),
    "state of nothing": (("generators", "dropout"), None),
    "state below zero": (("generators", "dropout", "state", "state"), -1),
    "state beyond 128 bits": (("generators", "dropout", "state", "state"), 2**130),
    "state in words": (("generators", "dropout", "state", "inc"), "1"),
    "state in a list": (("generators", "dropout", "state"), [1]),
    "half a state": (("generators", "dropout", "uinteger"), 2**40),
    "batch beyond the epoch": (("batch",), 10**6),
    "steps that do not add up": (("step",), 5),
    "unknown sums": (("totals",), {"x": 1}),
}


def test_train_resume_refuses_a_state_that_training_cannot_go_on_from(run, tmp_path):
    good = (run / "checkpoints" / "last.npz").read_bytes()
    assert resumed(run, good, tmp_path / "good").returncode == 0
    for name in chosen(CONTRADICTIONS, 6):
        path, value = CONTRADICTIONS[name]
        assert_spoken(resumed(run, edited(*path, to=value, of=good), tmp_path / name), 4)


@pytest.mark.parametrize(("path", "value"), [(("about", "blas"), []), (("config", "train", "epochs"), GONE)])
def test_train_resume_goes_on_whatever_is_said_of_no_consequence(run, tmp_path, path, value):
    good = (run / "checkpoints" / "last.npz").read_bytes()
    done = resumed(run, edited(*path, to=value, of=good), tmp_path / "odd")
    assert done.returncode == 0, done.stderr


def test_checkpoint_info_shows_a_version_harmless_that_would_command_the_terminal(tmp_path):
    (tmp_path / "loud.npz").write_bytes(edited("about", to={"nnctl": "\x1b[2J" + "9" * 10**6}))
    done = run_nnctl("checkpoint", "info", "loud.npz", cwd=tmp_path)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert len(done.stdout) < 2000
