"""Damaged files of MNIST: each is named and refused by exit code 3, within 2 s and 200 MB, whichever command meets it.

Every file lies under a name and in a place where nnctl looks for MNIST; the published SHA-256 leave no doubt about it.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnctl.data import idx
from nnctl.errors import DataError
from tests.faults.faulty import SMALL, amount, chosen, on_linux
from tests.faults.measure import Outcome, assert_in_bounds, assert_refused, measured
from tests.faults.odd_things import ODD_THINGS

FILES = {  # bytes unpacked, and packed as they are published
    "train-images-idx3-ubyte": (47_040_016, 9_912_422),
    "train-labels-idx1-ubyte": (60_008, 28_881),
    "t10k-images-idx3-ubyte": (7_840_016, 1_648_877),
    "t10k-labels-idx1-ubyte": (10_008, 4_542),
}
FOLDERS = ("mnist", ".", "MNIST/raw")
PLACES = [f"{folder}/{name}{end}" for folder in FOLDERS for name in FILES for end in ("", ".gz")]
COMMANDS = (
    ("data", "verify", "mnist", "--json"),
    ("data", "export", "test:7", "digit.png", "--dataset", "mnist", "--offline"),
    ("train", *SMALL, "--set=data.dataset=mnist", "--run-dir", "run"),
)


def assert_named(data: Path, expected: set[str], case: object, *, commands: int = len(COMMANDS)) -> None:
    """Each of the commands refuses the data folder, names these files and leaves nothing behind."""
    for command in COMMANDS[:commands]:
        outcome = measured(*command, "--data-dir", data.name, cwd=data.parent)
        assert_in_bounds(outcome, case)
        assert_refused(outcome, 3, case)
        words = outcome.err if command[1] != "verify" else "\n".join(damaged(outcome))
        missing = {name for name in expected if f"{data.name}/{name.removeprefix('./')}" not in words}
        assert not missing, f"{case}: {command[:2]} does not name {missing}: {outcome.err}"
    assert not [path for path in data.parent.rglob("*") if path.suffix in (".png", ".npz", ".yaml")], case


def damaged(outcome: Outcome) -> list[str]:
    """The paths that `data verify --json` calls damaged."""
    reports = [json.loads(line) for line in outcome.out]
    assert all(report["status"] in ("ok", "missing", "damaged") and report["detail"] for report in reports)
    return [report["path"] for report in reports if report["status"] == "damaged"]


def labels(count: int) -> bytes:
    return idx.encode((np.arange(count) % 10).astype(np.uint8))


def images(count: int) -> bytes:
    return idx.encode((np.arange(count * 784) % 251).astype(np.uint8).reshape(count, 28, 28))


def great(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def holding(content: Callable[[], bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content())

    return make


HOSTILE: dict[str, Callable[[Path], None]] = {
    "empty": holding(lambda: b""),
    "one byte": holding(lambda: b"\0"),
    "right header, wrong labels": holding(lambda: labels(60_000)),
    "right header, few labels": holding(lambda: labels(60_000)[:5000]),
    "wrong images": holding(lambda: images(10_000)),
    "4 billion images": holding(lambda: struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)),
    "255 dimensions": holding(lambda: bytes([0, 0, 8, 255]) + b"\xff" * 1020),
    "values of 8 bytes": holding(lambda: bytes([0, 0, 14, 1]) + bytes(8)),
    "gzip of wrong labels": holding(lambda: gzip.compress(labels(60_000))),
    "gzip bomb": holding(lambda: gzip.compress(bytes(500_000_000), 1)),
    "gzip bomb of the right size": holding(lambda: gzip.compress(bytes(20_000_000)).ljust(28_881, b"\0")),
    "gzip of gzip": holding(lambda: gzip.compress(gzip.compress(labels(60_000)))),
    "gzip and rubbish": holding(lambda: gzip.compress(labels(60_000)) + b"rubbish" * 100),
    "two gzip members": holding(lambda: gzip.compress(labels(30_000)) + gzip.compress(labels(30_000))),
    "100,000 gzip members": holding(lambda: gzip.compress(b"") * 100_000),
    "half a gzip": holding(lambda: gzip.compress(images(500))[:5000]),
    "gzip of a wrong checksum": holding(lambda: gzip.compress(labels(60_000))[:-8] + bytes(8)),
    "gzip with a long name": holding(lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 10**6),
    "zlib": holding(lambda: zlib.compress(labels(60_000))),
    "web page": holding(lambda: b"<!DOCTYPE html><html><body>404</body></html>"),
    "Git LFS pointer": holding(lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9912422\n"),
    "ZIP": holding(lambda: b"PK\3\4" + bytes(1000)),
    "60 MB of zeros": great(60_000_000),
    "5 GB of zeros": great(5_000_000_000),
    **{name: make for name, make in ODD_THINGS.items() if name != "link to nothing"},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with all the folders in which nnctl looks."""
    for folder in FOLDERS:
        (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
    return tmp_path / "data"


@on_linux
@pytest.mark.parametrize("name", chosen(HOSTILE, 16))
def test_hostile_file_is_refused_by_its_name(name: str, data: Path) -> None:
    for place in ("mnist/train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"):
        HOSTILE[name](data / place)
    assert_named(data, {"mnist/train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"}, name)


@on_linux
@pytest.mark.parametrize("name", ["empty", "pipe", "link to zeros", "link to itself", "socket"][: amount(1, 5)])
def test_data_folder_that_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    HOSTILE[name](tmp_path / "data")
    for command in COMMANDS:
        outcome = measured(*command, "--data-dir", "data", cwd=tmp_path)
        assert_in_bounds(outcome, name)
        assert_refused(outcome, 3, name)


@on_linux
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("n" * 300, 6),
        ("two\nlines", 3),
        ("\x1b[31m", 3),
        ("not UTF-8 \udcff", 2),
    ],  # no configuration key can hold the last one
    ids=["too long", "two lines", "red", "not UTF-8"],
)
def test_data_folder_of_an_odd_name_is_refused_in_one_message(name: str, code: int, tmp_path: Path) -> None:
    outcome = measured(*COMMANDS[1], "--data-dir", name, cwd=tmp_path)
    assert_in_bounds(outcome, ascii(name))
    assert_refused(outcome, code, ascii(name))


# Files damaged at random


@cache
def bases() -> tuple[bytes, ...]:
    """Files of the right form, some of the right size, packed and not."""
    plain = (labels(10_000), labels(60_000), labels(7), images(3), images(200))
    packed = (*map(gzip.compress, plain), gzip.compress(labels(60_000)).ljust(28_881, b"\0"), bytes(4542))
    return (*plain, *packed)


def bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 8, 64])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def header(data: bytearray, rng: random.Random) -> None:
    data[:16] = bytes([*rng.choices([0, 1, 8, 9, 255], k=4)]) + rng.choice([b"\0", b"\xff", b"\0\0\0\x1c"]) * 12
    del data[rng.choice([4, 8, 12, 16, 10**6]) :]


def longer(data: bytearray, rng: random.Random) -> None:
    data += rng.choice([b"\0", rng.randbytes(20), gzip.compress(b"more"), bytes(data[:1000])]) * rng.choice([1, 2, 100])


def packed(data: bytearray, rng: random.Random) -> None:
    data[:] = gzip.compress(bytes(data), rng.randrange(10))


def mutant(seed: int, source: tuple[bytes, ...]) -> bytes:
    rng = random.Random(seed)
    data = bytearray(rng.choice(source))
    for change in rng.choices([bits, cut, header, longer, packed], k=rng.choice([1, 1, 2])):
        if data:
            change(data, rng)
    return bytes(data)


@on_linux
@pytest.mark.parametrize("first", range(0, amount(24, 2016), len(PLACES)))
def test_damaged_files_are_refused_by_their_names(first: int, data: Path) -> None:
    for seed, place in enumerate(PLACES, start=first):
        (data / place).write_bytes(mutant(seed, bases()))
    assert_named(data, set(PLACES), f"seeds from {first}")
    assert len(list(data.rglob("*ubyte*"))) == len(PLACES)


@on_linux
@pytest.mark.mnist
@pytest.mark.parametrize("name", list(FILES)[-amount(1, 4) :])
def test_damaged_file_among_real_ones_is_refused_by_its_name(name: str, mnist_files: Path, data: Path) -> None:
    originals = {each: mnist_files / f"{each}.gz" for each in FILES}
    for each, original in originals.items():
        if each != name:
            (data / "mnist" / f"{each}.gz").symlink_to(original)
    place = f"mnist/{name}.gz"
    content = originals[name].read_bytes()
    for seed in range(amount(2, 50)):
        (data / place).write_bytes(mutant(seed, (content,)))
        assert_named(data, {place}, f"{name}, seed {seed}", commands=amount(2, 3))
    for other in [each for each in FILES if each != name][: amount(1, 3)]:
        shutil.copy(originals[other], data / place)
        assert_named(data, {place}, f"{name} is {other}", commands=amount(1, 3))
        outcome = measured(*COMMANDS[1], "--data-dir", data.name, cwd=data.parent)
        assert f"holds {other} of MNIST" in outcome.err, outcome.err
    shutil.copy(originals[name], data / place)
    good = measured(*COMMANDS[0], "--data-dir", data.name, cwd=data.parent)
    assert good.code == 0, "only what was done to the file is wrong with it"


@settings(max_examples=amount(200, 20_000))
@given(
    head=st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x08\x03", struct.pack(">HBBI", 0, 8, 1, 5), images(1)[:16]])
    | st.binary(max_size=20),
    tail=st.binary(max_size=40) | st.integers(0, 800).map(bytes),
    view=st.booleans(),
)
@example(head=images(1), tail=b"", view=True)
def test_parse_turns_any_bytes_into_an_array_or_an_error(head: bytes, tail: bytes, view: bool) -> None:
    content = head + tail
    try:
        values = idx.parse(memoryview(content) if view else content, "that/file")
    except DataError as error:
        message, hint = error.message, error.hint
    else:
        assert idx.encode(values) == content
        assert values.shape in ((len(content) - 8,), (values.shape[0], 28, 28))
        return
    assert message.startswith("that/file ")
    assert "\n" not in message
    assert hint


@settings(max_examples=amount(100, 5000))
@given(seed=st.integers(0, 2**32))
def test_parse_turns_any_damage_into_an_array_or_an_error(seed: int) -> None:
    content = mutant(seed, bases()[:5])
    try:
        values = idx.parse(content, "that/file")
    except DataError:
        return
    assert idx.encode(values) == content
