"""Options and arguments that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnctl.cli import console
from nnctl.cli.types import PATH, Threads

if TYPE_CHECKING:
    from nnctl.config.models import Config, DataConfig
    from nnctl.data import Dataset
    from nnctl.model import Model


def command(
    group: click.Group | None = None, *, name: str, examples: str
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command whose help ends with examples, and which can show the traceback of an error."""
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())

    def decorate(function: Callable[..., Any]) -> click.Command:
        make = group.command if group is not None else click.command
        made: click.Command = make(name, epilog=f"\b\nExamples:\n{lines}")(function)
        made.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        )
        return made

    return decorate


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object a line.")
quiet = click.option("--quiet", "-q", is_flag=True, help="No progress; only the result and errors.")
data_dir = click.option("--data-dir", type=PATH, metavar="DIR", help="Where the dataset files are, or will be saved.")
offline = click.option("--offline", is_flag=True, default=None, help="Never use the network.")
threads = click.option("--threads", type=Threads(), metavar="N|auto", help="Threads for matrix products.")
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key, such as train.epochs=3."
)
config_file = click.argument("config_path", metavar="[CONFIG]", required=False, type=PATH)


def settings(
    data_dir: Path | None = None, offline: bool | None = None, threads: int | str | None = None
) -> dict[str, object]:
    """The dedicated options by the dotted path of the key that each stands for; None where not given."""
    return {
        "data.dir": None if data_dir is None else str(data_dir),
        "data.offline": offline or None,
        "train.threads": threads,
    }


def mirrors() -> Sequence[str]:
    """The mirrors in NNCTL_MIRRORS, separated by spaces or commas; they are tried before the known ones."""
    return os.environ.get("NNCTL_MIRRORS", "").replace(",", " ").split()


def export_command(sample: str, data: DataConfig) -> str:
    """What to paste into a shell to see a sample of this data as a picture."""
    words = ["nnctl", "data", "export", sample, "digit.png"]
    if data.dataset != "mnist":
        words += ["--dataset", data.dataset]
    if data.dir != "data":
        words += ["--data-dir", data.dir]
    return console.command_line(words)


def load_config(path: Path | None, overrides: Sequence[str] = (), settings: dict[str, object] | None = None) -> Config:
    """Gather the configuration, and make NumPy ready for it: from here on it may be imported."""
    from nnctl import blas
    from nnctl.config import load

    config = load(path, overrides, settings).config
    blas.configure(config.train.threads, config.largest_product)
    check_kernel()
    return config


def data_config(data_dir: Path | None, offline: bool | None = None, dataset: str | None = None) -> DataConfig:
    """Which dataset, where its files lie, and whether the network may be used, by the usual precedence.

    From here on NumPy may be imported.
    """
    from nnctl import blas
    from nnctl.config import load

    blas.configure("auto")
    overrides = [f"data.dataset={dataset}"] if dataset else []
    return load(None, overrides, settings(data_dir, offline)).config.data


def check_kernel() -> None:
    """See whether NumPy multiplies as it should; if a kernel that was forced does not, start again without it."""
    from nnctl import blas, environment

    if environment.products_are_right():
        return
    if os.environ.get(blas.KERNEL_VARIABLE) != blas.AVX512_KERNEL:
        raise RuntimeError("the matrix products of this NumPy are wrong")
    os.environ[blas.KERNEL_VARIABLE] = blas.AVX2_KERNEL
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def load_dataset(data: DataConfig, *, quiet: bool) -> Dataset:
    """Fetch what is missing, check and read the dataset; say loudly if synthetic digits stand in for MNIST."""
    from nnctl.data import load_dataset as load

    with console.byte_bars(shown=not quiet) as progress:
        dataset = load(
            data.dataset,
            data.dir,
            validation=data.validation,
            limit=data.train_limit,
            offline=data.offline,
            mirrors=mirrors(),
            progress=progress,
            warn=console.warning,
        )
    if dataset.fallback:
        console.warning(f"{dataset.fallback} (`nnctl data fetch` tells more)")
        console.warning("using SYNTHETIC digits instead; their accuracy says nothing about MNIST")
    return dataset


def load_model(target: Path | None) -> Model:
    """Read a network from a run or a checkpoint, the newest run by default; say so if it has hardly been trained.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    from nnctl import blas

    blas.configure("auto")
    from nnctl.model import Model

    model = Model.load(target)
    if model.epochs == 0:
        console.warning(f"{model.path}: was saved before the end of its first epoch")
    return model
