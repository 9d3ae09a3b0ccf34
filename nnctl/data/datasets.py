"""Load a dataset by its name: find its files, fetch what is missing, check, split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnctl.data import drawn, idx
from nnctl.data.cache import FileReport, Search, Verified, cache_unpacked, find
from nnctl.data.catalog import CATALOG, DataFile, Entry
from nnctl.data.examples import Examples, split
from nnctl.errors import ArgumentError, DataError, OfflineError

VALIDATION = 5000  # images, as in a configuration that does not say otherwise

Warn = Callable[[str], None]
Progress = Callable[[str, int, int], None]  # file name, bytes done, bytes in all; starts anew with the next mirror


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and what they show; the arrays are read-only.

    Attributes:
        name: a key of CATALOG.
        train: to learn from.
        validation: held out from the end of the published training set, to choose the best epoch by.
        test: for the final figure.
        class_names: what the labels 0 to 9 mean.
        sha256: of the files as they were published or drawn, by name; the same however they lie on disk.
        first_validation: the place of the first validation image in the published training set.
        fallback: why these are the synthetic digits although MNIST was asked for; empty if they are not.
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    sha256: dict[str, str]
    first_validation: int
    fallback: str = ""

    def __repr__(self) -> str:
        counts = f"{len(self.train):,} to train on, {len(self.validation):,} to validate, {len(self.test):,} to test"
        return f"Dataset({self.name}: {counts})"


def load_dataset(
    name: str,
    directory: Path | str = "data",
    *,
    validation: int = VALIDATION,
    limit: int | None = None,
    offline: bool = False,
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> Dataset:
    """Return a dataset from the files in `directory`, fetching those that are not there.

    Args:
        name: a key of CATALOG, or "auto": MNIST, or the synthetic digits if there is no file of MNIST and it cannot be
            fetched. Damaged files are no reason to fall back.
        directory: the data folder; files may lie in it, in its folder `name`, or where torchvision puts them.
        validation: images to hold out from the end of the training set.
        limit: the most images to train on; the first so many are taken. None takes all.
        offline: never use the network.
        mirrors: URLs to try before those of the catalogue.
        progress: told about each piece that is fetched.
        warn: told about anything odd that is not an error.

    Raises:
        DataError: files are missing or damaged and cannot be fetched.
        ConfigError: no image would be left to train on.
        StorageError: what was fetched cannot be written.
    """
    if not isinstance(validation, int) or not isinstance(limit, int | None):
        raise ArgumentError(f"validation and limit are whole numbers, not {validation!r:.20} and {limit!r:.20}")
    files = _load(name, Path(directory), offline=offline, mirrors=mirrors, progress=progress, warn=warn)
    train_images, train_labels, test_images, test_labels = files.arrays
    whole = Examples(train_images, train_labels)
    train, held_out = split(whole, validation, limit)
    return Dataset(
        files.name,
        train,
        held_out,
        Examples(test_images, test_labels),
        CATALOG[files.name].classes,
        files.sha256,
        len(whole) - len(held_out),
        files.fallback,
    )


@dataclass(frozen=True)
class _Files:
    """The four checked arrays of a dataset: training images and labels, test images and labels."""

    name: str
    arrays: tuple[NDArray[np.uint8], ...]
    sha256: dict[str, str]
    fallback: str = ""


def _load(
    name: str,
    directory: Path,
    *,
    offline: bool,
    mirrors: Sequence[str],
    progress: Progress | None,
    warn: Warn | None,
) -> _Files:
    _check_directory(directory)
    if name == "synthetic":
        return _load_drawn(directory, warn)
    published = "mnist" if name == "auto" else name
    entry, folders = _entry(published), _folders(published, directory)
    search = find(entry.files, folders, _known())
    found = search.found
    if search.missing:
        try:
            found = _fetch_missing(search, entry, folders, mirrors, progress, offline=offline)
        except DataError as error:
            if name == "auto" and not search.complaints:
                why = error.details[0] if error.details else error.message
                reason = f"{entry.title} is not in {folders[0]}, and cannot be fetched: {why}"
                return dataclasses.replace(_load_drawn(directory, warn), fallback=reason)
            raise _unusable(entry, directory, search, error) from error
        if warn is not None:
            for bad in search.complaints:
                warn(f"{bad}; a good copy was fetched to {folders[0]}")
    unpacked = [(found[file.name], found[file.name].unpack()) for file in entry.files]
    cache_unpacked(unpacked, folders[0])
    contents = [(str(copy.path), data) for copy, data in unpacked]
    sha256 = {f"{file.name}.gz": file.gz_sha256 for file in entry.files}
    return _parsed(published, contents, sha256)


def fetch(
    name: str,
    directory: Path | str,
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
        DataError: a file could not be fetched; the message names every mirror and its reason.
        StorageError: the file system refused.
    """
    directory = Path(directory)
    _check_directory(directory)
    if name == "synthetic":
        folder = directory / name
        if force or drawn.read(folder) is None:
            drawn.save(folder, drawn.draw())
        return [folder / file for file in drawn.NAMES]
    entry, folders = _entry(name), _folders(name, directory)
    if force:
        _download(entry.files, entry, folders[0], mirrors, progress, offline=offline, force=True)
        return [folders[0] / f"{file.name}.gz" for file in entry.files]
    search = find(entry.files, folders, _known())
    found = _fetch_missing(search, entry, folders, mirrors, progress, offline=offline)
    return [found[file.name].path for file in entry.files]


def verify(name: str, directory: Path | str) -> list[FileReport]:
    """Check the four files of a dataset without fetching or changing anything."""
    directory = Path(directory)
    _check_directory(directory)
    if name == "synthetic":
        return drawn.verify(directory / name)
    entry, folders = _entry(name), _folders(name, directory)
    search = find(entry.files, folders, _known())
    reports = []
    for file in entry.files:
        if copy := search.found.get(file.name):
            detail = f"{len(copy.content):,} bytes, SHA-256 as published"
            reports.append(FileReport(copy.path, "ok", detail))
        elif bad := search.rejected[file.name]:
            reports += [FileReport(copy.path, "damaged", copy.reason) for copy in bad]
        else:
            reports.append(FileReport(folders[0] / f"{file.name}.gz", "missing", "is missing"))
    return reports


def _entry(name: str) -> Entry:
    if not isinstance(name, str) or name not in CATALOG:
        raise DataError(f"there is no dataset {name!r:.60}", f"choose one of {', '.join(CATALOG)}")
    return CATALOG[name]


def _folders(name: str, directory: Path) -> list[Path]:
    """Where a dataset's files may lie; what is fetched goes to the first."""
    return [directory / name, directory, directory / CATALOG[name].torchvision / "raw"]


def _known() -> dict[str, str]:
    """SHA-256 -> what a file that has it holds, for all files of all datasets."""
    return {
        sha256: f"{file.name} of {entry.title}"
        for entry in CATALOG.values()
        for file in entry.files
        for sha256 in (file.gz_sha256, file.sha256)
        if sha256
    }


def _check_directory(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise DataError(f"{directory} is not a folder", "name the folder that holds the files, or will hold them")


def _download(
    files: Sequence[DataFile],
    entry: Entry,
    folder: Path,
    mirrors: Sequence[str],
    progress: Progress | None,
    *,
    offline: bool,
    force: bool = False,
) -> None:
    if offline:
        raise OfflineError(
            "fetching is off (data.offline is true)",
            "allow fetching once (data.offline, NNCTL_DATA_OFFLINE), or name the folder where the files are (data.dir)",
        )
    # requests is slow to import, and most runs find their files on disk
    from nnctl.data.download import RemoteFile, download

    remote = [RemoteFile(f"{file.name}.gz", file.gz_size, file.gz_sha256) for file in files]
    download([*mirrors, *entry.mirrors], remote, folder, progress, force=force)


def _fetch_missing(
    search: Search,
    entry: Entry,
    folders: Sequence[Path],
    mirrors: Sequence[str],
    progress: Progress | None,
    *,
    offline: bool,
) -> dict[str, Verified]:
    """Fetch what a search did not find, and return all files."""
    if not search.missing:
        return search.found
    _download(search.missing, entry, folders[0], mirrors, progress, offline=offline)
    again = find(search.missing, folders, _known())
    if again.missing:
        raise DataError(
            f"{again.missing[0].name}.gz vanished from {folders[0]} after it was fetched",
            "see whether another program tidies that folder, or choose another one (data.dir)",
        )
    return search.found | again.found


def _unusable(entry: Entry, directory: Path, search: Search, error: DataError) -> DataError:
    """The whole story: what is wrong with the files that are there, and why no others could be fetched."""
    lines = []
    for file in search.missing:
        lines += [str(bad) for bad in search.rejected[file.name]] or [f"{file.name}.gz is missing"]
    lines += [error.message, *(f"  {detail}" for detail in error.details)]
    return type(error)(f"cannot load {entry.title} from {directory}", error.hint, lines)


def _load_drawn(directory: Path, warn: Warn | None) -> _Files:
    digits = drawn.load(directory / "synthetic", warn)
    contents = [(name, digits.files[name]) for name in drawn.NAMES]
    return _parsed("synthetic", contents, digits.sha256)


def _parsed(name: str, contents: Sequence[tuple[str, bytes]], sha256: dict[str, str]) -> _Files:
    """Parse four IDX files, each given with what to call it in an error."""
    return _Files(name, tuple(idx.parse(data, path) for path, data in contents), sha256)
