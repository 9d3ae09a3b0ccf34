"""One table of datasets, and the way from a name to checked arrays."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnctl.data import drawn, idx
from nnctl.data.cache import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    DataFile,
    FileReport,
    Search,
    Verified,
    find,
)
from nnctl.errors import DataError

Warn = Callable[[str], None]
Progress = Callable[[str, int, int], None]  # file name, bytes done, bytes in all; starts anew with the next mirror


@dataclass(frozen=True)
class Source:
    """Where a published dataset comes from.

    Attributes:
        title: its name as people write it.
        torchvision: the folder torchvision keeps it in.
        mirrors: folders on the web, tried in this order.
        class_names: what the labels 0 to 9 mean.
        files: training images and labels, test images and labels.
    """

    title: str
    torchvision: str
    mirrors: tuple[str, ...]
    class_names: tuple[str, ...]
    files: tuple[DataFile, DataFile, DataFile, DataFile]


DIGITS = tuple("0123456789")

# fmt: off
DATASETS = {
    "mnist": Source(
        title="MNIST",
        torchvision="MNIST",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
        class_names=DIGITS,
        files=(
            DataFile(TRAIN_IMAGES, 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                     47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            DataFile(TRAIN_LABELS, 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                     60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            DataFile(TEST_IMAGES, 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                     7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            DataFile(TEST_LABELS, 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                     10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    ),
    "fashion-mnist": Source(
        title="Fashion-MNIST",
        torchvision="FashionMNIST",
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        class_names=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                     "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        files=(
            DataFile(TRAIN_IMAGES, 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                     47_040_016),
            DataFile(TRAIN_LABELS, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                     60_008),
            DataFile(TEST_IMAGES, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                     7_840_016),
            DataFile(TEST_LABELS, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                     10_008),
        ),
    ),
    "kmnist": Source(
        title="KMNIST",
        torchvision="KMNIST",
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        files=(
            DataFile(TRAIN_IMAGES, 18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                     47_040_016),
            DataFile(TRAIN_LABELS, 29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                     60_008),
            DataFile(TEST_IMAGES, 3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                     7_840_016),
            DataFile(TEST_LABELS, 5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
                     10_008),
        ),
    ),
}
# fmt: on


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
            if offline:
                raise DataError(
                    "fetching is off (--offline)", f"leave out --offline once, or put the files in {directory}"
                )
            found = _fetch_missing(search, source, folders, mirrors, progress)
        except DataError as error:
            if name == "auto" and not search.complaints:
                reason = f"{source.title} is not in {directory}: {error.message.splitlines()[0]}"
                return dataclasses.replace(_load_drawn(directory, warn), fallback=reason)
            raise _unusable(source, directory, search, error) from error
        if warn is not None:
            for bad in search.complaints:
                warn(f"{bad}; a good copy was fetched to {folders[0]}")
    contents = [(str(found[file.name].path), found[file.name].unpack()) for file in source.files]
    sha256 = {f"{file.name}.gz": file.gz_sha256 for file in source.files}
    return _dataset(published, contents, source.class_names, sha256)


def fetch(
    name: str,
    directory: Path,
    mirrors: Sequence[str] = (),
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Make sure that `directory` holds a dataset, and return where its four files lie.

    Good files are left alone wherever they lie, unless `force` asks for fresh copies in the folder `name`.

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
        _download(source.files, source, folders[0], mirrors, progress, force=True)
        return [folders[0] / f"{file.name}.gz" for file in source.files]
    search = find(source.files, folders, _known())
    found = _fetch_missing(search, source, folders, mirrors, progress)
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
    force: bool = False,
) -> None:
    # requests is slow to import, and most runs find their files on disk
    from nnctl.data.download import RemoteFile, download

    remote = [RemoteFile(f"{file.name}.gz", file.gz_size, file.gz_sha256) for file in files]
    download([*mirrors, *source.mirrors], remote, folder, progress, force=force)


def _fetch_missing(
    search: Search, source: Source, folders: Sequence[Path], mirrors: Sequence[str], progress: Progress | None
) -> dict[str, Verified]:
    """Fetch what a search did not find, and return all files."""
    if not search.missing:
        return search.found
    _download(search.missing, source, folders[0], mirrors, progress)
    again = find(search.missing, folders, _known())
    if again.missing:
        raise DataError(f"{again.missing[0].name}.gz vanished from {folders[0]} after it was fetched")
    return search.found | again.found


def _unusable(source: Source, directory: Path, search: Search, error: DataError) -> DataError:
    """The whole story: what is wrong with the files that are there, and why no others could be fetched."""
    lines = []
    for file in search.missing:
        lines += [str(bad) for bad in search.rejected[file.name]] or [f"{file.name}.gz is missing"]
    lines += error.message.splitlines()
    return DataError(
        f"cannot load {source.title} from {directory}\n" + textwrap.indent("\n".join(lines), "  "), error.hint
    )


def _load_drawn(directory: Path, warn: Warn | None) -> Dataset:
    digits = drawn.load(directory / "synthetic", warn)
    contents = [(name, digits.files[name]) for name in drawn.NAMES]
    return _dataset("synthetic", contents, DIGITS, digits.sha256)


def _dataset(
    name: str, contents: Sequence[tuple[str, bytes]], class_names: tuple[str, ...], sha256: dict[str, str]
) -> Dataset:
    """Parse four IDX files, each given with what to call it in an error."""
    train_images, train_labels, test_images, test_labels = (idx.parse(data, path) for path, data in contents)
    return Dataset(name, train_images, train_labels, test_images, test_labels, class_names, sha256)
