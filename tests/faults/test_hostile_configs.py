"""Hostile configurations: each is accepted or refused by file and place, within 2 s and 200 MB.

Code 0 is for what a configuration may hold, 2 for all else. Any text gives a Config or a ConfigError.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnctl import config
from nnctl.errors import ConfigError
from tests.faults.configurations import CASES, TOKENS, VALID, mutant, written
from tests.faults.faulty import amount, chosen, on_linux
from tests.faults.measure import Outcome, assert_in_bounds, assert_refused, measured
from tests.faults.odd_things import ODD_NAMES, ODD_THINGS

BATCH = 50  # files for one process, which together may take as long as one


def great(path: Path) -> None:
    path.touch()
    os.truncate(path, 100_000_000)


def harmless(path: Path) -> None:
    path.write_text("sead: 1\n")


PLACES: dict[str, Callable[[Path], None]] = {
    **{f"{name}.yaml": make for name, make in ODD_THINGS.items()},
    "pipe.toml": os.mkfifo,
    "100 MB.yaml": great,
    "100 MB.toml": great,
    "config.json": harmless,
    "config.ini": harmless,
    "config": harmless,
    ".yaml": harmless,
    "config.yaml.gz": harmless,
    **{f"{name}.yaml": harmless for name in ODD_NAMES},
    "turned \u202elmay.yaml": harmless,
    "spaces  .yaml": harmless,
    "n" * 250 + ".yaml": harmless,
    "n" * 300 + ".yaml": lambda _: None,
    "not there.yaml": lambda _: None,
    "not/there.yaml": lambda _: None,
}


@on_linux
@pytest.mark.parametrize("name", chosen(CASES, 40, "same key twice.yaml"))
def test_hostile_config_is_accepted_or_refused_by_its_name(name: str, tmp_path: Path) -> None:
    file = written(tmp_path / f"case{Path(name).suffix}", CASES[name])
    for command in ("show", "check")[: amount(1, 2)]:
        outcome = measured("config", command, file.name, cwd=tmp_path)
        assert_in_bounds(outcome, name)
        if name in VALID:
            assert (outcome.code, outcome.err) == (0, ""), name
        else:
            assert_refused(outcome, 2, name)
            assert outcome.out == [], name
            assert file.name in outcome.err, f"{name}: {outcome.err}"
            assert len(outcome.err) < 6000, f"{name}: {len(outcome.err)} characters are no clear line"


@on_linux
def test_hostile_configs_are_told_apart_in_one_call(tmp_path: Path) -> None:
    names = chosen(CASES, 9)
    for begin in range(0, len(names), 20):
        some = names[begin : begin + 20]
        files = [written(tmp_path / f"{n}{Path(name).suffix}", CASES[name]) for n, name in enumerate(some)]
        outcome = measured("config", "check", *(file.name for file in files), cwd=tmp_path)
        refused = told_apart(outcome, files)
        accepted = {name for file, name in zip(files, some, strict=True) if file.name not in refused}
        assert accepted == VALID.keys() & {*some}


@on_linux
@pytest.mark.parametrize("name", chosen(PLACES, 6), ids=lambda name: ascii(name)[:40])
def test_odd_files_and_names_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    PLACES[name](tmp_path / name)
    for command in ("show", "check")[: amount(1, 2)]:
        outcome = measured("config", command, name, cwd=tmp_path)
        assert_in_bounds(outcome, ascii(name))
        assert_refused(outcome, 2, ascii(name))
        assert len(outcome.err.splitlines()) == 2, outcome.err


def told_apart(outcome: Outcome, files: list[Path]) -> set[str]:
    """The names of the refused ones; each file is either valid or refused, and is named as such."""
    assert "Traceback" not in outcome.err, outcome.err
    valid = {line.removesuffix(": ok") for line in outcome.out}
    refused = {file.name for file in files if re.search(rf"(^|[ ']){re.escape(file.name)}['\\:]", outcome.err, re.M)}
    assert valid | refused == {file.name for file in files}, f"{outcome.out} {outcome.err}"
    assert not valid & refused, f"{outcome.out} {outcome.err}"
    assert outcome.code == (2 if refused else 0), outcome.err
    assert ("nnctl: error: " in outcome.err and "\nhint: " in outcome.err) == bool(refused), outcome.err
    return refused


@on_linux
@pytest.mark.parametrize("first", range(0, amount(150, 5000), BATCH))
def test_damaged_configs_are_told_apart(first: int, tmp_path: Path) -> None:
    files = [mutant(seed, tmp_path) for seed in range(first, first + BATCH)]
    outcome = measured("config", "check", *(file.name for file in files), cwd=tmp_path)
    assert_in_bounds(outcome, f"seeds from {first}")
    assert told_apart(outcome, files), "a batch without a single damaged file damages nothing"


ANY_TEXT = st.lists(st.sampled_from(TOKENS) | st.text(max_size=8), max_size=40).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


def accepted_or_refused(file: Path) -> None:
    try:
        resolved = config.load(file, environ={})
    except ConfigError as error:
        refusal = error
    else:
        assert isinstance(resolved.config, config.Config)
        assert config.from_mapping(config.to_mapping(resolved.config)) == resolved.config
        return
    assert file.name in refusal.message
    assert refusal.hint
    assert "\n" not in refusal.hint


@settings(max_examples=amount(200, 20_000))
@given(text=ANY_TEXT, end=st.sampled_from([".yaml", ".toml"]))
@example(text="seed: *a", end=".yaml")
@example(text="[[", end=".toml")
def test_load_turns_any_text_into_a_config_or_a_config_error(text: str, end: str, folder: Path) -> None:
    accepted_or_refused(written(folder / f"any{end}", text.encode("utf-8", "surrogatepass")))


@settings(max_examples=amount(100, 5000))
@given(data=st.binary(max_size=200), end=st.sampled_from([".yaml", ".toml"]))
def test_load_turns_any_bytes_into_a_config_or_a_config_error(data: bytes, end: str, folder: Path) -> None:
    accepted_or_refused(written(folder / f"bytes{end}", data))


@settings(max_examples=amount(200, 5000))
@given(text=ANY_TEXT)
def test_load_turns_any_override_into_a_config_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(config.load(None, [text], environ={}).config, config.Config)
    with contextlib.suppress(ConfigError):
        assert isinstance(config.load(None, [f"optimizer.learning_rate={text}"], environ={}).config, config.Config)
