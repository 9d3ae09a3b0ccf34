"""The drawn digits are cached on disk; if anything is wrong with them there, they are drawn anew."""

import errno
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from nnctl.data import drawn, synthetic
from nnctl.data.catalog import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from nnctl.data.datasets import Dataset, Warn, load_dataset

PARTS = ((TRAIN_IMAGES, TRAIN_LABELS, 20, 0), (TEST_IMAGES, TEST_LABELS, 10, 1))


@pytest.fixture(autouse=True)
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A few digits only; the list fills with the count and the seed of each drawing."""
    calls: list[tuple[int, int]] = []
    draw = synthetic.draw

    def counted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append((count, seed))
        return draw(count, seed)

    monkeypatch.setattr(drawn, "PARTS", PARTS)
    monkeypatch.setattr(synthetic, "draw", counted)
    return calls


def load(directory: Path, warn: Warn | None = None) -> Dataset:
    return load_dataset("synthetic", directory, validation=0, warn=warn)


def test_drawn_digits_are_drawn_once(drawings, tmp_path):
    first, second = load(tmp_path), load(tmp_path)
    assert drawings == [(20, 0), (10, 1)]
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.test.labels, second.test.labels)
    assert first.sha256 == second.sha256


def test_drawn_digits_are_what_the_generator_draws(tmp_path):
    load(tmp_path)
    dataset = load(tmp_path)
    images, labels = synthetic.draw(10, 1)
    np.testing.assert_array_equal(dataset.test.images, images)
    np.testing.assert_array_equal(dataset.test.labels, labels)
    assert dataset.class_names == tuple("0123456789")


@pytest.mark.parametrize("name", [*drawn.NAMES, drawn.MANIFEST])
@pytest.mark.parametrize("harm", ["removed", "emptied", "changed", "made a folder"])
def test_drawn_digits_are_drawn_anew_if_anything_is_wrong(name, harm, drawings, tmp_path):
    good = load(tmp_path)
    path = tmp_path / "synthetic" / name
    data = bytearray(path.read_bytes())
    path.unlink()
    if harm == "emptied":
        path.touch()
    elif harm == "changed":
        data[-5] ^= 1
        path.write_bytes(data)
    elif harm == "made a folder":
        path.mkdir()
    again = load(tmp_path)
    assert len(drawings) == 4
    np.testing.assert_array_equal(again.train.images, good.train.images)
    if harm != "made a folder":
        load(tmp_path)
        assert len(drawings) == 4  # and cached again


def test_drawn_digits_have_another_version_once_the_generator_draws_otherwise():
    images, labels = synthetic.draw(1000, 0)
    sha256 = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert (drawn.VERSION, sha256) == (2, "024dd9a96d6e06e9aa210c291158bd7881e37b51f33de093d242b2ba4272e4fb")


def test_drawn_digits_of_another_version_are_drawn_anew(drawings, tmp_path, monkeypatch):
    load(tmp_path)
    monkeypatch.setattr(drawn, "VERSION", drawn.VERSION + 1)
    load(tmp_path)
    assert len(drawings) == 4


def test_drawn_digits_only_warn_of_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "synthetic").touch()
    warnings: list[str] = []
    assert load(tmp_path, warn=warnings.append).train.images.shape == (20, 28, 28)
    assert len(warnings) == 1
    assert "could not be saved for next time" in warnings[0]


def test_drawn_digits_are_not_trusted_after_a_full_disk(drawings, tmp_path, monkeypatch):
    sync, calls = os.fsync, iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    warnings: list[str] = []
    load(tmp_path, warn=warnings.append)
    assert "No space left on device" in warnings[0]
    assert drawn.read(tmp_path / "synthetic") is None
    assert [report.status for report in drawn.verify(tmp_path / "synthetic")].count("ok") == 0
    load(tmp_path)
    assert len(drawings) == 4
    assert drawn.read(tmp_path / "synthetic") is not None
