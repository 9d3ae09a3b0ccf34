"""`nnctl eval`: how well a trained network reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnctl.cli import console, evaluation, options
from nnctl.cli.types import PATH, Accuracy
from nnctl.errors import BelowThresholdError, ConfigError

if TYPE_CHECKING:
    from nnctl.data import Dataset, Examples


@options.command(
    name="eval",
    examples="""
nnctl eval
nnctl eval --split validation --json
nnctl eval --fail-under 90%
""",
)
@click.argument("target", metavar="[RUN|CHECKPOINT]", required=False, type=PATH)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Which images to read.",
)
@click.option("--fail-under", type=Accuracy(), help="Leave with exit code 9 if the accuracy is lower: 0.98 or 98%.")
@options.data_dir
@options.offline
@options.threads
@options.quiet
@options.as_json
def evaluate(
    *,
    target: Path | None,
    split: str,
    fail_under: float | None,
    data_dir: Path | None,
    offline: bool | None,
    threads: int | str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure a trained network: loss, accuracy, each class, and its worst errors.

    Without RUN or CHECKPOINT it is the best network of the newest run. The images are those of the dataset it was
    trained with.
    """
    from nnctl import blas
    from nnctl.config import load

    given = load(None, options=options.settings(data_dir, offline, threads))
    blas.configure(given.config.train.threads)
    options.check_kernel()
    model = options.load_model(target)
    changed = {
        key: getattr(given.config.data, key) for key in ("dir", "offline") if given.origin[f"data.{key}"] != "default"
    }
    data = model.data.model_copy(update=changed)
    dataset = options.load_dataset(data, quiet=quiet)
    result = model.evaluate(_part(dataset, split))
    told = evaluation.report(model.path, dataset, split, result)
    if as_json:
        console.result_json(told)
    else:
        if not quiet:
            console.note(f"{console.printable(model.path)} on the {split} images of {dataset.name}\n")
        evaluation.show(told, data, result)
    # in binary fractions 90.93 / 100 is a little more than 9093 / 10000
    if fail_under is not None and round(result.accuracy, 9) < round(fail_under, 9):
        raise BelowThresholdError(
            f"accuracy {100 * result.accuracy:g} % is below {100 * fail_under:g} %", "train longer, or ask for less"
        )


def _part(dataset: Dataset, split: str) -> Examples:
    """The images of one split."""
    part: Examples = getattr(dataset, split)
    if not len(part):
        raise ConfigError("this network was trained without validation images", "choose --split test or train")
    return part
