"""Hostile pictures: each is read or refused in one line, by exit code 0 or 5, within 2 s and 200 MB."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.faulty import SMALL, amount, chosen, on_linux
from tests.faults.measure import SECONDS, Outcome, assert_in_bounds, assert_refused, measured
from tests.faults.odd_things import ODD_NAMES, ODD_THINGS
from tests.faults.pictures import PICTURES, READABLE, mutant
from tests.support.process import start_nnctl

BATCH = 50


def rubbish(path: Path) -> None:
    path.write_bytes(b"rubbish")


PLACES: dict[str, Callable[[Path], None]] = {
    **{f"{name}.png": make for name, make in ODD_THINGS.items()},
    **{f"{name}.png": rubbish for name in ODD_NAMES},
    "turned \u202egnp.png": rubbish,
    "n" * 251 + ".png": rubbish,
    "n" * 300 + ".png": lambda _: None,
    "not there.png": lambda _: None,
}


@pytest.fixture(scope="session")
def run(drawn_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was trained for a moment."""
    folder = tmp_path_factory.mktemp("trained")
    training = start_nnctl("train", *SMALL, "--data-dir", drawn_dir, "--run-dir", "run", cwd=folder)
    _, err = training.communicate(timeout=120)
    assert training.returncode == 0, err
    return folder / "run"


def predicted(outcome: Outcome, case: str, *, may_be_read: bool) -> None:
    """Either a digit or an error, in JSON and in words."""
    assert_in_bounds(outcome, case)
    assert len(outcome.out) == 1, f"{case}: {outcome}"
    answer = json.loads(outcome.out[0])
    if may_be_read and outcome.code == 0:
        assert answer["prediction"] in range(10), case
    else:
        assert_refused(outcome, 5, case)
        assert len(outcome.err.splitlines()) == 2, f"{case}: {outcome.err}"
        assert answer["error"], case
        assert answer["hint"], case


@on_linux
@pytest.mark.parametrize("name", chosen(PICTURES, 32, "9,999 pixels a side of nothing.jpg"))
def test_hostile_picture_is_read_or_refused_in_one_line(name: str, run: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PICTURES[name]())
    outcome = measured("predict", name, "--json", "--checkpoint", run, cwd=tmp_path)
    predicted(outcome, name, may_be_read=name in READABLE)


@on_linux
@pytest.mark.parametrize("name", chosen(PLACES, 6), ids=lambda name: ascii(name)[:40])
def test_odd_files_and_names_are_refused_in_one_line(name: str, run: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    PLACES[name](tmp_path / "pictures" / name)
    outcome = measured("predict", f"pictures/{name}", "--json", "--checkpoint", run, cwd=tmp_path)
    predicted(outcome, ascii(name), may_be_read=False)
    if "there" not in name and len(name) < 256:
        outcome = measured("predict", "pictures", "--json", "--checkpoint", run, cwd=tmp_path)
        predicted(outcome, f"a folder with {name!a}", may_be_read=False)


@on_linux
@pytest.mark.parametrize("source", ["/dev/null", "/dev/zero", "/proc/self/mem", sys.executable])
def test_standard_input_that_is_no_picture_is_refused_in_one_line(source: str, run: Path, tmp_path: Path) -> None:
    outcome = measured("predict", "-", "--json", "--checkpoint", run, cwd=tmp_path, stdin=source)
    predicted(outcome, source, may_be_read=False)


@on_linux
@pytest.mark.parametrize("first", range(0, amount(100, 5000), BATCH))
def test_damaged_pictures_are_read_or_refused_one_by_one(first: int, run: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name, data in map(mutant, range(first, first + BATCH)):
        (tmp_path / "pictures" / name).write_bytes(data)
    outcome = measured("predict", "pictures", "--json", "--checkpoint", run, cwd=tmp_path)
    if outcome.seconds > SECONDS:  # for all: which of them does not matter as long as none does alone
        for picture in sorted((tmp_path / "pictures").iterdir()):
            assert_in_bounds(measured("predict", picture, "--checkpoint", run, cwd=tmp_path), picture.name)
        outcome = replace(outcome, seconds=0.0)
    assert_in_bounds(outcome, f"seeds from {first}")
    answers = list(map(json.loads, outcome.out))
    assert [int(Path(answer["image"]).stem) for answer in answers] == list(range(first, first + BATCH))
    errors = [answer["error"] for answer in answers if "error" in answer]
    assert errors, "a batch without a single damaged picture damages nothing"
    assert_refused_all(outcome, errors)
    assert all(answer["prediction"] in range(10) for answer in answers if "error" not in answer)


def assert_refused_all(outcome: Outcome, errors: list[str]) -> None:
    """Two lines for each picture that could not be read, in order, and two for all of them."""
    assert outcome.code == 5, outcome.err
    lines = outcome.err.splitlines()
    assert lines[:-2:2] == [f"nnctl: error: {error}" for error in errors]
    assert lines[-2].startswith(f"nnctl: error: {len(errors)} of {BATCH} pictures"), outcome.err
    assert all(line.startswith("hint: ") and len(line) > 6 for line in lines[1::2]), outcome.err
