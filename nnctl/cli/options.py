"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnctl.cli import console
from nnctl.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from nnctl.config.models import DataConfig
    from nnctl.data.datasets import Dataset
    from nnctl.data.examples import Examples
    from nnctl.train import Evaluation


class Threads(click.ParamType[int | str]):
    """A number of threads, or auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Accept a whole number from 1 to 1024, or auto."""
        if value == "auto":
            return "auto"
        try:
            number = int(value)
        except ValueError:
            number = 0
        if not 1 <= number <= 1024:
            self.fail(f"{value!r} is neither auto nor a whole number from 1 to 1024", param, ctx)
        return number


class AnyPath(click.Path):
    """A path that is not empty, as that of an unset shell variable is; it would stand for the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Accept any other path: whether it can be read is found out, and told, on reading."""
        if not os.fspath(value):
            self.fail("a path cannot be empty", param, ctx)
        return super().convert(value, param, ctx)


PATH = AnyPath(path_type=Path, readable=False)
FILE = AnyPath(path_type=Path, readable=False, dir_okay=False)
FOLDER = AnyPath(path_type=Path, readable=False, file_okay=False)


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
data_dir = click.option("--data-dir", type=PATH, metavar="DIR", help="Where the dataset files are, or will be kept.")
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
    return shlex.join(words)


def load_dataset(data: DataConfig, *, quiet: bool) -> Dataset:
    """Fetch what is missing, check and read the dataset; say loudly if synthetic digits stand in for MNIST."""
    from nnctl.data import datasets

    with console.byte_bars(shown=not quiet) as progress:
        dataset = datasets.load(
            data.dataset,
            Path(data.dir),
            offline=data.offline,
            mirrors=mirrors(),
            progress=progress,
            warn=console.warning,
        )
    if dataset.fallback:
        console.warning(f"{dataset.fallback} (`nnctl data fetch` tells more)")
        console.warning("using SYNTHETIC digits instead; their accuracy says nothing about MNIST")
    return dataset


@dataclass(frozen=True)
class Trained:
    """A network as a checkpoint holds it.

    Attributes:
        path: the checkpoint.
        config: the configuration of its run, as plain values.
        dataset: which images it was trained on.
        answers: lets it answer every example, whatever comes of it.
    """

    path: Path
    config: Mapping[str, Any]
    dataset: str
    answers: Callable[[Examples], Evaluation]

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its ten outputs stand for."""
        from nnctl.data.classes import CLASS_NAMES

        return CLASS_NAMES[self.dataset]

    def data(self) -> DataConfig:
        """The section `data` of its configuration; raises CheckpointError if nobody can have trained with that.

        A library checks it that is slow to import, and those who ask for no dataset need not wait for it.
        """
        from nnctl.config import from_mapping

        try:
            return from_mapping(self.config, str(self.path)).data
        except ConfigError as error:
            raise CheckpointError(
                error.message, "use another checkpoint, or the version of nnctl that wrote it"
            ) from error

    def evaluate(self, examples: Examples) -> Evaluation:
        """Let it answer every example; raises CheckpointError where its weights are too large to compute with."""
        result = self.answers(examples)
        if not math.isfinite(result.loss):  # as it is wherever one of the outputs is not
            raise CheckpointError(
                f"{self.path}: its outputs are not finite numbers",
                "its weights are too large: use another checkpoint, or train again with a lower learning rate",
            )
        return result


def load_network(target: Path | None) -> Trained:
    """Read a network from a run or a checkpoint, the newest run by default; say so if it has never been trained.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    from nnctl import build, checkpoint, rundir
    from nnctl.train import evaluate

    path = rundir.find_checkpoint(target)
    saved = checkpoint.load(path)
    network, criterion = build.trained_network(saved, str(path))
    dataset = _dataset(saved.meta.config, path)
    if saved.meta.best is None and saved.meta.epoch == 0:
        console.warning(f"{path}: was saved before the end of its first epoch")
    return Trained(path, saved.meta.config, dataset, functools.partial(evaluate, network, criterion))


def _dataset(config: Mapping[str, Any], path: Path) -> str:
    """The name of the dataset in the configuration of a checkpoint."""
    from nnctl.data.classes import CLASS_NAMES

    try:
        name = config["data"]["dataset"]
        if isinstance(name, str) and name in CLASS_NAMES:
            return name
    except (KeyError, TypeError):
        pass
    raise CheckpointError(f"{path}: does not say which images it was trained on", "use another checkpoint")
