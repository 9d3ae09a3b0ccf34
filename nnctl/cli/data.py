"""`nnctl data`: fetch, check and look into the datasets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnctl.cli import console, options
from nnctl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nnctl.config.models import DataConfig

NAMES = ("mnist", "fashion-mnist", "kmnist", "synthetic")


class Sample(click.ParamType[tuple[str, int]]):
    """One image of a dataset, such as test:7 or train:59999."""

    name = "SPLIT:INDEX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Accept train: or test: and a number from 0."""
        match = re.fullmatch(r"(train|test):([0-9]{1,9})", str(value))
        if match is None:
            self.fail(f"{value!r} is not a sample such as test:7 or train:0", param, ctx)
        return match[1], int(match[2])


@click.group()
def data() -> None:
    """Fetch, verify and export the datasets."""


@options.command(data, name="fetch", examples="nnctl data fetch\nnnctl data fetch synthetic")
@click.argument("names", metavar="[DATASET]...", nargs=-1, type=click.Choice(NAMES))
@click.option("--mirror", "extra_mirrors", multiple=True, metavar="URL", help="Try this place first; may be repeated.")
@click.option("--force", is_flag=True, help="Fetch fresh copies even if good ones are there.")
@options.data_dir
@options.quiet
@options.as_json
def fetch(
    *,
    names: tuple[str, ...],
    extra_mirrors: tuple[str, ...],
    force: bool,
    data_dir: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Download datasets (mnist, fashion-mnist, kmnist) or draw synthetic; mnist by default.

    Every file is checked by its size and SHA-256. A mirror that fails in any way leads to the next.
    """
    from nnctl.data import datasets

    config = _in_force(data_dir)
    for name in names or ("mnist",):
        with console.byte_bars(shown=not quiet) as progress:
            paths = datasets.fetch(
                name,
                Path(config.dir),
                (*extra_mirrors, *options.mirrors()),
                force=force,
                offline=config.offline,
                progress=progress,
            )
        if as_json:
            console.result_json({"dataset": name, "files": [str(path) for path in paths]})
        else:
            for path in paths:
                console.result(console.printable(path))


@options.command(data, name="verify", examples="nnctl data verify\nnnctl data verify synthetic --json")
@click.argument("names", metavar="[DATASET]...", nargs=-1, type=click.Choice(NAMES))
@options.data_dir
@options.as_json
def verify(*, names: tuple[str, ...], data_dir: Path | None, as_json: bool) -> None:
    """Check the files of datasets that are already here; mnist by default."""
    from nnctl.data import datasets

    directory = Path(_in_force(data_dir).dir)
    bad = 0
    for name in names or ("mnist",):
        reports = datasets.verify(name, directory)
        bad += sum(report.status != "ok" for report in reports)
        for report in reports:
            if as_json:
                fields = {"path": str(report.path), "status": report.status, "detail": report.detail}
                console.result_json({"dataset": name, **fields})
            else:
                console.result(console.printable(f"{report.status:<8} {report.path}: {report.detail}"))
    if bad:
        again = " ".join(("nnctl data fetch", *names))
        raise DataError(f"{bad} of the files are missing or damaged", f"{again} gets good copies")


@options.command(data, name="export", examples="nnctl data export test:7 digit.png")
@click.argument("sample", metavar="SPLIT:INDEX", type=Sample())
@click.argument("file", type=options.FILE)
@click.option("--dataset", type=click.Choice(("auto", *NAMES)), help="Which dataset; as configured by default.")
@click.option("--force", is_flag=True, help="Overwrite FILE even if it is a picture of another kind.")
@options.data_dir
@options.offline
@options.quiet
@options.as_json
def export(
    *,
    sample: tuple[str, int],
    file: Path,
    dataset: str | None,
    force: bool,
    data_dir: Path | None,
    offline: bool | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Save one sample as a PNG picture of 28x28 pixels, so that there is something to predict."""
    from nnctl.config import load
    from nnctl.picture import decode
    from nnctl.storage.durable import write_whole

    if file.suffix.lower() != ".png":
        raise ConfigError(f"{file}: the picture is PNG", "choose a name that ends in .png")
    if not force and _is_another(file):
        raise ConfigError(f"{file}: holds something else already", "choose another name, or overwrite it with --force")
    overrides = [f"data.dataset={dataset}"] if dataset else []
    config = load(None, overrides, options.settings(data_dir, offline)).config
    loaded = options.load_dataset(config.data, quiet=quiet)
    split, index = sample
    images, labels = loaded.train_images, loaded.train_labels
    if split == "test":
        images, labels = loaded.test_images, loaded.test_labels
    if index >= len(images):
        raise click.BadParameter(f"{split} has the samples 0 to {len(images) - 1:,}", param_hint="SPLIT:INDEX")
    write_whole(file, decode.to_png(images[index]))
    name = loaded.class_names[int(labels[index])]
    if as_json:
        console.result_json(
            {"file": str(file), "dataset": loaded.name, "split": split, "index": index, "label": int(labels[index])}
        )
    else:
        console.result(f"{console.printable(file)}: {loaded.name} {split}:{index}, which is {name}")


def _is_another(file: Path) -> bool:
    """Whether there is a file that is no sample, such as somebody's own drawing."""
    from nnctl.picture.decode import SAMPLE_HEADER, is_sample

    if not file.is_file():
        return False
    with file.open("rb") as picture:
        return not is_sample(picture.read(SAMPLE_HEADER))


def _in_force(data_dir: Path | None) -> DataConfig:
    """Where the files lie and whether the network may be used, by the usual precedence."""
    from nnctl.config import load

    return load(None, options=options.settings(data_dir)).config.data
