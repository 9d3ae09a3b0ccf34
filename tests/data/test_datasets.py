"""Datasets: the right files are used wherever they lie; drawn digits replace MNIST only where that is said."""

import dataclasses
import errno
import gzip
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_httpserver import HTTPServer

from nnctl.data import datasets, drawn, idx
from nnctl.data.cache import Verified
from nnctl.data.catalog import CATALOG, DataFile, Entry
from nnctl.data.datasets import fetch, verify
from nnctl.errors import DataError, StorageError
from tests.support.configs import choices
from tests.support.datasets import NAMES, small
from tests.support.files import contents, failing

TRAIN, TRAIN_LABELS, TEST, TEST_LABELS = NAMES


def published() -> dict[str, Entry]:
    """The datasets that have files."""
    return {name: entry for name, entry in CATALOG.items() if entry.files}


ARRAYS = {name: small(seed) for seed, name in enumerate(published())}
RAW = {name: {file: idx.encode(values) for file, values in arrays.items()} for name, arrays in ARRAYS.items()}
PACKED = {name: {file: gzip.compress(data, mtime=0) for file, data in files.items()} for name, files in RAW.items()}


def load_dataset(name: str, directory: Path, **options: Any) -> datasets.Dataset:
    """All training images in one: these datasets are smaller than what is held out by default."""
    return datasets.load_dataset(name, directory, validation=0, **options)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def _small_datasets(monkeypatch: pytest.MonkeyPatch, refusing: str) -> None:
    """The catalog, with small files in place of the real ones and mirrors that are down."""
    for name, source in published().items():
        a, b, c, d = (
            DataFile(file, len(packed), sha256(packed), len(raw), sha256(raw) if name == "mnist" else "")
            for (file, packed), raw in zip(PACKED[name].items(), RAW[name].values(), strict=True)
        )
        monkeypatch.setitem(CATALOG, name, dataclasses.replace(source, files=(a, b, c, d), mirrors=(refusing,)))
    parts = ((TRAIN, TRAIN_LABELS, 20, 0), (TEST, TEST_LABELS, 10, 1))
    monkeypatch.setattr(drawn, "PARTS", parts)


@pytest.fixture
def good(httpserver: HTTPServer) -> str:
    """A mirror of the small MNIST."""
    for file, packed in PACKED["mnist"].items():
        httpserver.expect_request(f"/{file}.gz").respond_with_data(packed)
    return httpserver.url_for("/")


def put(folder: Path, name: str = "mnist", suffix: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in (PACKED if suffix else RAW)[name].items():
        (folder / f"{file}{suffix}").write_bytes(data)
    return folder


def assert_is(dataset: datasets.Dataset, name: str) -> None:
    assert dataset.name == name
    found = (dataset.train.images, dataset.train.labels, dataset.test.images, dataset.test.labels)
    for values, expected in zip(found, ARRAYS[name].values(), strict=True):
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("suffix", [".gz", ""], ids=["gzipped", "raw"])
@pytest.mark.parametrize("place", ["mnist", "", "MNIST/raw"], ids=["own", "itself", "torchvision"])
def test_load_dataset_uses_files_where_they_lie_without_network(place, suffix, tmp_path):
    put(tmp_path / place, suffix=suffix)
    before = contents(tmp_path)
    assert_is(load_dataset("mnist", tmp_path, offline=True), "mnist")
    after = contents(tmp_path)
    assert before.items() <= after.items()
    if place != "mnist" or not suffix:  # nnctl writes to its cache only
        assert after == before


def test_load_dataset_caches_unpacked_files_and_unpacks_them_once(tmp_path, monkeypatch):
    folder = put(tmp_path / "mnist")
    load_dataset("mnist", tmp_path, offline=True)
    assert all((folder / file).read_bytes() == data for file, data in RAW["mnist"].items())
    monkeypatch.setattr("zlib.decompressobj", lambda **_: pytest.fail("unpacked again"))
    assert_is(load_dataset("mnist", tmp_path, offline=True), "mnist")


def test_load_dataset_replaces_a_damaged_unpacked_file(tmp_path):
    folder = put(tmp_path / "mnist")
    load_dataset("mnist", tmp_path, offline=True)
    damaged = bytearray(RAW["mnist"][TRAIN])
    damaged[1000] ^= 1
    (folder / TRAIN).write_bytes(damaged)
    assert_is(load_dataset("mnist", tmp_path, offline=True), "mnist")
    assert (folder / TRAIN).read_bytes() == RAW["mnist"][TRAIN]


def test_load_dataset_caches_no_unpacked_file_without_a_published_hash(tmp_path):
    folder = put(tmp_path / "kmnist", "kmnist")
    before = contents(folder)
    assert_is(load_dataset("kmnist", tmp_path, offline=True), "kmnist")
    assert contents(folder) == before


def test_load_dataset_works_where_nothing_can_be_cached(tmp_path):
    folder = put(tmp_path / "mnist")
    (folder / ".lock").mkdir()
    before = contents(folder)
    assert_is(load_dataset("mnist", tmp_path, offline=True), "mnist")
    assert contents(folder) == before


def test_load_dataset_uses_files_spelt_with_a_dot(tmp_path):
    put(tmp_path, suffix="")
    for file in NAMES:
        (tmp_path / file).rename(tmp_path / file.replace("-idx", ".idx"))
    assert_is(load_dataset("mnist", tmp_path, offline=True), "mnist")


def test_load_dataset_finds_files_scattered_over_the_places(tmp_path):
    put(tmp_path / "all")
    for file, place in zip(NAMES, ["mnist", "", "MNIST/raw", "mnist"], strict=True):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / f"{file}.gz").rename(tmp_path / place / f"{file}.gz")
    assert_is(load_dataset("mnist", tmp_path, offline=True), "mnist")


def test_load_dataset_finds_a_good_copy_beside_a_bad_one(tmp_path):
    put(tmp_path, suffix=".gz")
    (tmp_path / TRAIN).write_bytes(b"half")
    assert_is(load_dataset("mnist", tmp_path, offline=True), "mnist")


@pytest.mark.parametrize(("name", "folder"), [("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_load_dataset_uses_other_datasets_where_torchvision_puts_them(name, folder, tmp_path):
    put(tmp_path / folder / "raw", name, suffix="")
    put(tmp_path / folder / "raw", name)
    dataset = load_dataset(name, tmp_path, offline=True)
    assert_is(dataset, name)
    assert dataset.class_names == CATALOG[name].classes
    assert len(dataset.class_names) == 10


def test_load_dataset_trusts_no_raw_file_without_a_published_hash(tmp_path):
    put(tmp_path, "kmnist", suffix="")
    with pytest.raises(DataError, match=rf"{TRAIN} cannot be verified: only the SHA-256 of {TRAIN}\.gz is published"):
        load_dataset("kmnist", tmp_path, offline=True)


def test_dataset_hashes_do_not_depend_on_how_it_lies_on_disk(tmp_path):
    packed = load_dataset("mnist", put(tmp_path / "a"), offline=True)
    raw = load_dataset("mnist", put(tmp_path / "b", suffix=""), offline=True)
    assert packed.sha256 == raw.sha256 == {f"{file}.gz": sha256(PACKED["mnist"][file]) for file in NAMES}


def test_load_dataset_fetches_missing_files_into_the_folder_of_the_dataset(good, tmp_path):
    calls: list[tuple[str, int, int]] = []
    dataset = load_dataset("mnist", tmp_path / "new", mirrors=[good], progress=lambda *call: calls.append(call))
    assert_is(dataset, "mnist")
    assert {path.name for path in (tmp_path / "new" / "mnist").glob("*.gz")} == {f"{file}.gz" for file in NAMES}
    assert {call[0] for call in calls} == {f"{file}.gz" for file in NAMES}


def test_load_dataset_fetches_only_what_is_missing(good, httpserver, tmp_path):
    put(tmp_path / "mnist")
    (tmp_path / "mnist" / f"{TEST}.gz").unlink()
    assert_is(load_dataset("mnist", tmp_path, mirrors=[good]), "mnist")
    assert [request.path for request, _ in httpserver.log] == [f"/{TEST}.gz"]


def test_load_dataset_asks_the_users_mirror_before_those_of_the_catalog(good, httpserver, tmp_path, monkeypatch):
    other = HTTPServer()
    other.start()
    monkeypatch.setitem(CATALOG, "mnist", dataclasses.replace(CATALOG["mnist"], mirrors=(other.url_for("/"),)))
    load_dataset("mnist", tmp_path, mirrors=[good])
    other.stop()
    assert len(httpserver.log) == 4
    assert other.log == []


def test_load_dataset_from_disk_does_not_import_requests(tmp_path, monkeypatch):
    """Importing requests takes longer than reading the labels; most runs never need it."""
    put(tmp_path)
    monkeypatch.delitem(sys.modules, "requests", raising=False)
    monkeypatch.delitem(sys.modules, "nnctl.data.download", raising=False)
    load_dataset("mnist", tmp_path)
    assert "requests" not in sys.modules


def test_load_dataset_replaces_a_damaged_file_in_the_cache(good, tmp_path):
    put(tmp_path / "mnist")
    (tmp_path / "mnist" / f"{TRAIN}.gz").write_bytes(PACKED["mnist"][TRAIN][:-1])
    assert_is(load_dataset("mnist", tmp_path, mirrors=[good]), "mnist")
    assert (tmp_path / "mnist" / f"{TRAIN}.gz").read_bytes() == PACKED["mnist"][TRAIN]


@pytest.mark.parametrize("place", ["", "MNIST/raw"])
def test_load_dataset_names_a_damaged_file_of_the_users_and_leaves_it(place, good, tmp_path):
    theirs = put(tmp_path / place) / f"{TRAIN}.gz"
    theirs.write_bytes(b"\x1f\x8bhalf")
    warnings: list[str] = []
    assert_is(load_dataset("mnist", tmp_path, mirrors=[good], warn=warnings.append), "mnist")
    assert theirs.read_bytes() == b"\x1f\x8bhalf"
    assert warnings == [f"{theirs} has 6 bytes instead of {len(PACKED['mnist'][TRAIN]):,}; "
                        f"a good copy was fetched to {tmp_path / 'mnist'}"]  # fmt: skip


def spoil_truncate(folder: Path) -> None:
    (folder / f"{TRAIN}.gz").write_bytes(PACKED["mnist"][TRAIN][:-1])


def spoil_flip(folder: Path) -> None:
    data = bytearray(PACKED["mnist"][TRAIN])
    data[-100] ^= 1
    (folder / f"{TRAIN}.gz").write_bytes(data)


def spoil_swap(folder: Path) -> None:
    (folder / f"{TRAIN}.gz").write_bytes(PACKED["mnist"][TEST])


def spoil_foreign(folder: Path) -> None:
    (folder / f"{TRAIN}.gz").write_bytes(PACKED["fashion-mnist"][TRAIN])


def spoil_unpacked(folder: Path) -> None:
    (folder / f"{TRAIN}.gz").write_bytes(RAW["mnist"][TRAIN_LABELS][:-1])


def spoil_packed(folder: Path) -> None:
    (folder / f"{TRAIN}.gz").rename(folder / TRAIN)


def spoil_empty(folder: Path) -> None:
    (folder / f"{TRAIN}.gz").write_bytes(b"")


def spoil_folder(folder: Path) -> None:
    (folder / f"{TRAIN}.gz").unlink()
    (folder / f"{TRAIN}.gz").mkdir()


def spoil_huge(folder: Path) -> None:
    os.truncate(folder / f"{TRAIN}.gz", 2**40)


SPOILT = {
    spoil_truncate: " bytes instead of ",
    spoil_flip: "is damaged: its SHA-256 is not the published one",
    spoil_swap: f"holds {TEST} of MNIST",
    spoil_foreign: f"holds {TRAIN} of Fashion-MNIST",
    spoil_unpacked: "is not gzipped: it begins with 00 00 08 01",
    spoil_empty: "is empty",
    spoil_folder: "cannot be read: it is not a regular file",
    spoil_huge: "cannot be read: 1,099,511,627,776 bytes are too many",
}


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("spoil", SPOILT)
def test_load_dataset_refuses_a_damaged_file_that_cannot_be_replaced_even_for_auto(name, spoil, tmp_path):
    spoil(put(tmp_path))
    with pytest.raises(DataError) as caught:
        load_dataset(name, tmp_path)
    first, file, *_ = str(caught.value).splitlines()
    assert first == f"cannot load MNIST from {tmp_path}"
    assert file.startswith(f"  {tmp_path / TRAIN}.gz ")
    assert SPOILT[spoil] in file
    assert not (tmp_path / "synthetic").exists()


def test_load_dataset_recognises_a_gzipped_file_under_the_raw_name(tmp_path):
    spoil_packed(put(tmp_path))
    (tmp_path / TRAIN).write_bytes(PACKED["mnist"][TRAIN] + b"x")
    with pytest.raises(DataError, match="is gzipped in spite of its name: it begins with 1f 8b 08 00"):
        load_dataset("mnist", tmp_path, offline=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_load_dataset_does_not_block_on_a_named_pipe(tmp_path):
    put(tmp_path)
    (tmp_path / f"{TRAIN}.gz").unlink()
    os.mkfifo(tmp_path / f"{TRAIN}.gz")
    with pytest.raises(DataError, match="not a regular file"):
        load_dataset("mnist", tmp_path, offline=True)


def test_load_dataset_error_names_every_file_and_mirror(refusing, tmp_path):
    spoil_swap(put(tmp_path))
    (tmp_path / f"{TEST}.gz").unlink()
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", tmp_path, mirrors=["not-a-url"])
    message = str(caught.value)
    assert f"holds {TEST} of MNIST" in message
    assert f"  {TEST}.gz is missing" in message
    assert re.search(r"^ +not-a-url: not a usable", message, re.MULTILINE)
    assert re.search(rf"^ +{refusing}: the connection failed", message, re.MULTILINE)
    assert caught.value.hint


def test_load_dataset_refuses_a_file_that_unpacks_to_more_than_it_should(tmp_path, monkeypatch):
    bomb = gzip.compress(bytes(10_000_000), mtime=0)
    a, b, c, d = CATALOG["mnist"].files
    a = dataclasses.replace(a, gz_size=len(bomb), gz_sha256=sha256(bomb))
    monkeypatch.setitem(CATALOG, "mnist", dataclasses.replace(CATALOG["mnist"], files=(a, b, c, d)))
    (put(tmp_path) / f"{TRAIN}.gz").write_bytes(bomb)
    with pytest.raises(DataError, match="does not unpack to") as caught:
        load_dataset("mnist", tmp_path, offline=True)
    assert "nnctl data fetch" in caught.value.hint


def test_unpack_refuses_a_published_file_that_is_broken(tmp_path):
    broken = PACKED["mnist"][TRAIN][:30] + b"????" + PACKED["mnist"][TRAIN][34:]
    file = dataclasses.replace(CATALOG["mnist"].files[0], gz_size=len(broken), gz_sha256=sha256(broken))
    with pytest.raises(DataError, match="cannot be unpacked") as caught:
        Verified(tmp_path / "file.gz", broken, file, gzipped=True).unpack()
    assert "nnctl data fetch" in caught.value.hint


def test_fetch_gives_advice_if_a_fetched_file_vanishes(tmp_path, monkeypatch):
    monkeypatch.setattr("nnctl.data.download.download", lambda *_, **__: None)
    with pytest.raises(DataError, match=rf"{TRAIN}\.gz vanished") as caught:
        fetch("mnist", tmp_path)
    assert "data.dir" in caught.value.hint


def test_offline_never_asks_a_mirror(good, httpserver, tmp_path):
    with pytest.raises(DataError, match=r"fetching is off \(data.offline is true\)"):
        load_dataset("mnist", tmp_path, offline=True, mirrors=[good])
    assert httpserver.log == []
    assert not (tmp_path / "mnist").exists()


def test_mnist_never_falls_back(tmp_path):
    with pytest.raises(DataError, match="cannot load MNIST"):
        load_dataset("mnist", tmp_path)
    assert not (tmp_path / "synthetic").exists()


def test_auto_is_mnist_if_it_is_there(tmp_path):
    dataset = load_dataset("auto", put(tmp_path), offline=True)
    assert_is(dataset, "mnist")
    assert dataset.fallback == ""


def test_auto_is_mnist_if_it_can_be_fetched(good, tmp_path):
    dataset = load_dataset("auto", tmp_path, mirrors=[good])
    assert_is(dataset, "mnist")
    assert dataset.fallback == ""


@pytest.mark.parametrize(("offline", "reason"), [(True, "fetching is off"), (False, "Connection refused")])
def test_auto_falls_back_to_drawn_digits_and_says_why_in_one_line(offline, reason, tmp_path):
    dataset = load_dataset("auto", tmp_path, offline=offline)
    assert dataset.name == "synthetic"
    assert dataset.fallback.startswith(f"MNIST is not in {tmp_path / 'mnist'}, and cannot be fetched: ")
    assert reason in dataset.fallback
    assert "\n" not in dataset.fallback
    assert dataset.train.images.shape == (20, 28, 28)


def test_auto_does_not_paper_over_a_full_disk(good, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="No space left"):
        load_dataset("auto", tmp_path, mirrors=[good])


def test_load_dataset_lists_the_known_names_for_an_unknown_one(tmp_path):
    with pytest.raises(DataError, match="no dataset 'cifar'") as caught:
        load_dataset("cifar", tmp_path)
    assert "fashion-mnist" in caught.value.hint


def test_load_dataset_refuses_a_file_in_place_of_the_data_folder(tmp_path):
    (tmp_path / "data").touch()
    with pytest.raises(DataError, match="is not a folder"):
        load_dataset("auto", tmp_path / "data")


def test_fetch_returns_where_the_files_lie(good, tmp_path):
    put(tmp_path)
    (tmp_path / f"{TEST}.gz").unlink()
    paths = fetch("mnist", tmp_path, [good])
    assert paths == [tmp_path / ("mnist" if file == TEST else "") / f"{file}.gz" for file in NAMES]


def test_fetch_by_force_gets_fresh_copies(good, httpserver, tmp_path):
    put(tmp_path / "mnist")
    assert fetch("mnist", tmp_path, [good]) == fetch("mnist", tmp_path, [good], force=True)
    assert len(httpserver.log) == 4


def test_fetch_draws_the_synthetic_digits(tmp_path):
    paths = fetch("synthetic", tmp_path)
    assert all(path.is_file() for path in paths)
    assert [report.status for report in verify("synthetic", tmp_path)] == ["ok"] * 4


def test_verify_reports_each_file_and_changes_nothing(tmp_path):
    spoil_swap(put(tmp_path / "mnist"))
    (tmp_path / "mnist" / f"{TEST}.gz").unlink()
    before = contents(tmp_path)
    reports = verify("mnist", tmp_path)
    assert [report.path.name for report in reports] == [f"{file}.gz" for file in NAMES]
    assert [report.status for report in reports] == ["damaged", "ok", "missing", "ok"]
    assert reports[0].detail == f"holds {TEST} of MNIST"
    assert contents(tmp_path) == before


def test_catalog_says_of_each_dataset_what_is_needed():
    assert CATALOG.keys() == {*choices("data.dataset")} - {"auto"}
    for source in CATALOG.values():
        assert source.title
        assert source.shape == (28, 28)
        assert len(set(source.classes)) == 10
        assert len(source.files) in (0, 4)
        assert bool(source.files) == bool(source.mirrors) == bool(source.torchvision)
        assert all(re.match(r"https?://.*/$", mirror) for mirror in source.mirrors)
        assert not any("yann.lecun.com" in mirror for mirror in source.mirrors)


@pytest.mark.mnist
class TestRealMnist:
    @pytest.fixture(autouse=True)
    def _real_table(self, _small_datasets: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()

    def test_mnist_loads_and_is_what_everybody_knows(self, mnist_dir):
        dataset = load_dataset("mnist", mnist_dir, offline=True)
        assert dataset.train.images.shape == (60_000, 28, 28)
        assert dataset.test.images.shape == (10_000, 28, 28)
        assert dataset.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
        assert dataset.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
        assert np.bincount(dataset.train.labels).tolist() == [
            5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
        ]  # fmt: skip
        assert dataset.train.images.mean() == pytest.approx(33.318, abs=0.001)

    def test_mnist_unpacked_in_torchvisions_folder_is_the_same(self, mnist_dir, mnist_files, tmp_path):
        packed = load_dataset("mnist", mnist_dir, offline=True)
        raw = tmp_path / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for path in mnist_files.glob("*.gz"):
            with gzip.open(path) as source, (raw / path.stem).open("wb") as target:
                shutil.copyfileobj(source, target)
        unpacked = load_dataset("mnist", tmp_path, offline=True)
        np.testing.assert_array_equal(unpacked.train.images, packed.train.images)
        assert unpacked.sha256 == packed.sha256

    def test_mnist_is_recognised_where_fashion_mnist_is_expected(self, mnist_dir):
        with pytest.raises(DataError, match="holds t10k-labels-idx1-ubyte of MNIST"):
            load_dataset("fashion-mnist", mnist_dir / "mnist", offline=True)
