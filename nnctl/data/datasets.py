"""The way from the name of a dataset to checked arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnctl.data import drawn, idx
from nnctl.data.cache import DataFile, FileReport, Search, Verified, find, keep_unpacked
from nnctl.data.classes import CLASS_NAMES
from nnctl.data.sources import DATASETS, Source
from nnctl.errors import DataError

Warn = Callable[[str], None]
Progress = Callable[[str, int, int], None]  # file name, bytes done, bytes in all; starts anew with the next mirror


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and what they show; the arrays are read-only.

    Attributes:
        name: a key of DATASETS, or "synthetic".
        train_images: (60000, 28, 28) uint8, ink is bright.
        train_labels: (60000,) uint8 from 0 to 9.
        test_images: (10000, 28, 28) uint8.
        test_labels: (10000,) uint8.
        class_names: what the labels 0 to 9 mean.
        sha256: of the files as they were published or drawn, by name; the same however they lie on disk.
        fallback: why these are the synthetic digits although MNIST was wanted; empty if nothing of that kind happened.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    class_names: tuple[str, ...]
    sha256: dict[str, str]
    fallback: str = ""


def load(
    name: str,
    directory: Path,
    *,
    offline: bool = False,
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> Dataset:
    """Return a dataset from the files in `directory`, fetching those that are not there.

    Args:
        name: a key of DATASETS, "synthetic", or "auto": MNIST, or the synthetic digits if there is no file of MNIST
            and it cannot be fetched. Damaged files are no reason to fall back.
        directory: the data folder; files may lie in it, in its folder `name`, or where torchvision puts them.
        offline: never use the network.
        mirrors: URLs to try before those of the table.
        progress: told about each piece that is fetched.
        warn: told about anything odd that is not an error.

    Raises:
        DataError: files are missing or damaged and cannot be fetched.
        StorageError: what was fetched cannot be written.
    """
    _check_directory(directory)
    if name == "synthetic":
        return _load_drawn(directory, warn)
    published = "mnist" if name == "auto" else name
    source, folders = _source(published), _folders(published, directory)
    search = find(source.files, folders, _known())
    found = search.found
    if search.missing:
        try:
            found = _fetch_missing(search, source, folders, mirrors, progress, offline=offline)
        except DataError as error:
            if name == "auto" and not search.complaints:
                why = error.details[0] if error.details else error.message
                reason = f"{source.title} is not in {folders[0]}, nor to be had: {why}"
                return dataclasses.replace(_load_drawn(directory, warn), fallback=reason)
            raise _unusable(source, directory, search, error) from error
        if warn is not None:
            for bad in search.complaints:
                warn(f"{bad}; a good copy was fetched to {folders[0]}")
    unpacked = [(found[file.name], found[file.name].unpack()) for file in source.files]
    keep_unpacked(unpacked, folders[0])
    contents = [(str(copy.path), data) for copy, data in unpacked]
    sha256 = {f"{file.name}.gz": file.gz_sha256 for file in source.files}
    return _dataset(published, contents, sha256)


def fetch(
    name: str,
    directory: Path,
    mirrors: Sequence[str] = (),
    *,
    force: bool = False,
    offline: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Make sure that `directory` holds a dataset, and return where its four files lie.

    Good files are left alone wherever they lie, unless `force` asks for fresh copies in the folder `name`.
    `offline` allows no others than those.

    Raises:
        DataError: a file could not be had; the message names every mirror and its reason.
        StorageError: the file system refused.
    """
    _check_directory(directory)
    if name == "synthetic":
        folder = directory / name
        if force or drawn.read(folder) is None:
            drawn.keep(folder, drawn.draw())
        return [folder / file for file in drawn.NAMES]
    source, folders = _source(name), _folders(name, directory)
    if force:
        _download(source.files, source, folders[0], mirrors, progress, offline=offline, force=True)
        return [folders[0] / f"{file.name}.gz" for file in source.files]
    search = find(source.files, folders, _known())
    found = _fetch_missing(search, source, folders, mirrors, progress, offline=offline)
    return [found[file.name].path for file in source.files]


def verify(name: str, directory: Path) -> list[FileReport]:
    """Check the four files of a dataset without fetching or changing anything."""
    _check_directory(directory)
    if name == "synthetic":
        return drawn.verify(directory / name)
    source, folders = _source(name), _folders(name, directory)
    search = find(source.files, folders, _known())
    reports = []
    for file in source.files:
        if copy := search.found.get(file.name):
            detail = f"{len(copy.content):,} bytes, SHA-256 as published"
            reports.append(FileReport(copy.path, "ok", detail))
        elif bad := search.rejected[file.name]:
            reports += [FileReport(copy.path, "damaged", copy.reason) for copy in bad]
        else:
            reports.append(FileReport(folders[0] / f"{file.name}.gz", "missing", "is missing"))
    return reports


def _source(name: str) -> Source:
    try:
        return DATASETS[name]
    except KeyError:
        raise DataError(f"there is no dataset {name!r}", f"choose one of {', '.join(DATASETS)}, synthetic") from None


def _folders(name: str, directory: Path) -> list[Path]:
    """Where a dataset's files may lie; what is fetched goes to the first."""
    return [directory / name, directory, directory / DATASETS[name].torchvision / "raw"]


def _known() -> dict[str, str]:
    """SHA-256 -> what a file that has it holds, for all files of all datasets."""
    return {
        sha256: f"{file.name} of {source.title}"
        for source in DATASETS.values()
        for file in source.files
        for sha256 in (file.gz_sha256, file.sha256)
        if sha256
    }


def _check_directory(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise DataError(f"{directory} is not a folder", "give --data-dir the folder that holds the files, or will")


def _download(
    files: Sequence[DataFile],
    source: Source,
    folder: Path,
    mirrors: Sequence[str],
    progress: Progress | None,
    *,
    offline: bool,
    force: bool = False,
) -> None:
    if offline:
        raise DataError(
            "fetching is off (data.offline is true)",
            "leave out --offline, NNCTL_DATA_OFFLINE or data.offline once, or say where the files are with --data-dir",
        )
    # requests is slow to import, and most runs find their files on disk
    from nnctl.data.download import RemoteFile, download

    remote = [RemoteFile(f"{file.name}.gz", file.gz_size, file.gz_sha256) for file in files]
    download([*mirrors, *source.mirrors], remote, folder, progress, force=force)


def _fetch_missing(
    search: Search,
    source: Source,
    folders: Sequence[Path],
    mirrors: Sequence[str],
    progress: Progress | None,
    *,
    offline: bool,
) -> dict[str, Verified]:
    """Fetch what a search did not find, and return all files."""
    if not search.missing:
        return search.found
    _download(search.missing, source, folders[0], mirrors, progress, offline=offline)
    again = find(search.missing, folders, _known())
    if again.missing:
        raise DataError(
            f"{again.missing[0].name}.gz vanished from {folders[0]} after it was fetched",
            "see whether another program tidies that folder, or choose another one with --data-dir",
        )
    return search.found | again.found


def _unusable(source: Source, directory: Path, search: Search, error: DataError) -> DataError:
    """The whole story: what is wrong with the files that are there, and why no others could be fetched."""
    lines = []
    for file in search.missing:
        lines += [str(bad) for bad in search.rejected[file.name]] or [f"{file.name}.gz is missing"]
    lines += [error.message, *(f"  {detail}" for detail in error.details)]
    return DataError(f"cannot load {source.title} from {directory}", error.hint, lines)


def _load_drawn(directory: Path, warn: Warn | None) -> Dataset:
    digits = drawn.load(directory / "synthetic", warn)
    contents = [(name, digits.files[name]) for name in drawn.NAMES]
    return _dataset("synthetic", contents, digits.sha256)


def _dataset(name: str, contents: Sequence[tuple[str, bytes]], sha256: dict[str, str]) -> Dataset:
    """Parse four IDX files, each given with what to call it in an error."""
    train_images, train_labels, test_images, test_labels = (idx.parse(data, path) for path, data in contents)
    return Dataset(name, train_images, train_labels, test_images, test_labels, CLASS_NAMES[name], sha256)
