"""`nnctl data`: fetch, check and look into the datasets."""

from __future__ import annotations

from pathlib import Path

import click

from nnctl.cli import console, options, pictures
from nnctl.cli.types import FILE, DatasetName, Sample
from nnctl.errors import DataError


@click.group()
def data() -> None:
    """Fetch, verify and export the datasets."""


@options.command(data, name="fetch", examples="nnctl data fetch\nnnctl data fetch synthetic")
@click.argument("names", metavar="[DATASET]...", nargs=-1, type=DatasetName())
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
    """Download datasets, such as mnist or fashion-mnist, or draw synthetic; mnist by default.

    Every file is checked by its size and SHA-256. A mirror that fails in any way leads to the next.
    """
    config = options.data_config(data_dir)
    from nnctl.data import datasets

    mirrors = (*extra_mirrors, *options.mirrors())
    for name in names or ("mnist",):
        with console.byte_bars(shown=not quiet) as progress:
            paths = datasets.fetch(name, config.dir, mirrors, force=force, offline=config.offline, progress=progress)
        if as_json:
            console.result_json({"dataset": name, "files": [str(path) for path in paths]})
        else:
            for path in paths:
                console.result(console.printable(path))


@options.command(data, name="verify", examples="nnctl data verify\nnnctl data verify synthetic --json")
@click.argument("names", metavar="[DATASET]...", nargs=-1, type=DatasetName())
@options.data_dir
@options.as_json
def verify(*, names: tuple[str, ...], data_dir: Path | None, as_json: bool) -> None:
    """Check the files of datasets that are already here; mnist by default."""
    directory = options.data_config(data_dir).dir
    from nnctl.data import datasets

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
@click.argument("file", type=FILE)
@click.option("--dataset", type=DatasetName("auto"), help="Which dataset; as configured by default.")
@click.option("--force", is_flag=True, help="Overwrite FILE even if it is another picture.")
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
    whole = {"validation": 0, "train_limit": None}
    given = options.data_config(data_dir, offline, dataset).model_copy(update=whole)
    from nnctl.picture import decode
    from nnctl.storage.durable import write_atomic

    pictures.check_export(file, force=force)
    loaded = options.load_dataset(given, quiet=quiet)
    split, index = sample
    examples = loaded.test if split == "test" else loaded.train
    if index >= len(examples):
        raise click.BadParameter(f"{split} has the samples 0 to {len(examples) - 1:,}", param_hint="SPLIT:INDEX")
    label = int(examples.labels[index])
    write_atomic(file, decode.to_png(examples.images[index]))
    if as_json:
        where = {"dataset": loaded.name, "split": split, "index": index}
        console.result_json({"file": str(file), **where, "label": label})
    else:
        shown = f"{loaded.name} {split}:{index}, which is {loaded.class_names[label]}"
        console.result(f"{console.printable(file)}: {shown}")
