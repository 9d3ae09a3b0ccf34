"""`nnctl eval`: how well a trained network reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnctl.cli import console, options
from nnctl.errors import BelowThresholdError

if TYPE_CHECKING:
    from nnctl.config.models import DataConfig
    from nnctl.data.datasets import Dataset
    from nnctl.data.examples import Examples
    from nnctl.train import Evaluation


class Accuracy(click.ParamType[float]):
    """A share from 0 to 1, or a percentage."""

    name = "ACCURACY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Accept 0.98, 98% and 98; 1 is all, and 1.5 too likely a slip to be a percentage."""
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = -1.0
        if 1 < number < 2 and not text.endswith("%"):
            self.fail(f"{text!r} is too much for a share: write {text}% if a percentage is meant", param, ctx)
        if text.endswith("%") or number > 1:
            number /= 100
        if not 0 <= number <= 1:
            self.fail(f"{text!r} is not an accuracy such as 0.98 or 98%", param, ctx)
        return number


@options.command(
    name="eval",
    examples="""
nnctl eval
nnctl eval --split validation --json
nnctl eval --fail-under 90%
""",
)
@click.argument("target", metavar="[RUN|CHECKPOINT]", required=False, type=options.PATH)
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
    """Measure a trained network: loss, accuracy, each class, and its worst mistakes.

    Without RUN or CHECKPOINT it is the best network of the newest run. The images are those of the dataset it was
    trained with.
    """
    from nnctl import blas
    from nnctl.config import load

    given = load(None, options=options.settings(data_dir, offline, threads))
    blas.configure(given.config.train.threads)

    blas.check_kernel()
    trained = options.load_network(target)
    changed = {
        key: getattr(given.config.data, key) for key in ("dir", "offline") if given.origin[f"data.{key}"] != "default"
    }
    data = trained.data().model_copy(update=changed)
    dataset = options.load_dataset(data, quiet=quiet)
    examples = _part(dataset, split, data.validation, data.train_limit)
    result = trained.evaluate(examples)
    if as_json:
        console.result_json(_report(trained.path, dataset, split, result))
    else:
        if not quiet:
            console.note(f"{console.printable(trained.path)} on the {split} images of {dataset.name}\n")
        _show(trained.path, data, dataset, split, result)
    # in binary fractions 90.93 / 100 is a little more than 9093 / 10000
    if fail_under is not None and round(result.accuracy, 9) < round(fail_under, 9):
        raise BelowThresholdError(
            f"accuracy {100 * result.accuracy:g} % is below {100 * fail_under:g} %", "train longer, or ask for less"
        )


def _part(dataset: Dataset, name: str, validation: int, limit: int | None) -> Examples:
    """The images of one split."""
    from nnctl.data import examples
    from nnctl.errors import ConfigError

    if name == "test":
        return examples.Examples(dataset.test_images, dataset.test_labels)
    whole = examples.Examples(dataset.train_images, dataset.train_labels)
    training, held_back = examples.split(whole, validation, limit)
    if name == "validation" and not len(held_back):
        raise ConfigError("this network was trained without validation images", "choose --split test or train")
    return training if name == "train" else held_back


def _report(path: Path, dataset: Dataset, split: str, result: Evaluation) -> dict[str, Any]:
    """Everything there is to say, for programs."""
    confusion = result.confusion
    # validation images are the end of the training set, and `data export` knows them by their place there
    file, begin = ("train", len(dataset.train_labels) - len(result.labels)) if split == "validation" else (split, 0)
    shares = zip(dataset.class_names, *result.precision_recall_f1, confusion.sum(axis=1), strict=True)
    return {
        "checkpoint": str(path),
        "dataset": dataset.name,
        "split": split,
        "images": len(result.labels),
        "loss": result.loss,
        "accuracy": result.accuracy,
        "errors": result.errors,
        "classes": [
            {"name": name, "precision": float(p), "recall": float(r), "f1": float(f1), "images": int(images)}
            for name, p, r, f1, images in shares
        ],
        "confusion_matrix": confusion.tolist(),
        "worst": [
            {
                "sample": f"{file}:{begin + i}",
                "label": int(result.labels[i]),
                "prediction": int(result.predictions[i]),
                "confidence": float(result.probs[i].max()),
                "right": float(result.probs[i, result.labels[i]]),
            }
            for i in result.worst(20)
        ],
    }


def _show(path: Path, data: DataConfig, dataset: Dataset, split: str, result: Evaluation) -> None:
    """The same as tables, for people."""
    report = _report(path, dataset, split, result)
    names = [entry["name"] for entry in report["classes"]]
    width = max(map(len, names))
    console.result(
        f"accuracy {100 * result.accuracy:.2f} %: {result.errors:,} of {len(result.labels):,} wrong, "
        f"loss {result.loss:.4f}"
    )
    console.result(f"\n{'class':<{width + 2}}{'precision':>10}{'recall':>10}{'F1':>10}{'images':>10}")
    for entry in report["classes"]:
        shares = "".join(f"{100 * entry[key]:8.2f} %" for key in ("precision", "recall", "f1"))
        console.result(f"{entry['name']:<{width + 2}}{shares}{entry['images']:>10,}")
    console.result("\nright answers down, predictions across")
    console.result(" " * (width + 2) + "".join(f"{label:>7}" for label in range(len(names))))
    for name, row in zip(names, report["confusion_matrix"], strict=True):
        console.result(f"{name:<{width + 2}}" + "".join(f"{count or '.':>7}" for count in row))
    if report["worst"]:
        console.result("\nworst mistakes: the right answer got the least")
        for entry in report["worst"][:10]:
            label, prediction = names[entry["label"]], names[entry["prediction"]]
            console.result(
                f"  {entry['sample']:<11} is {label} ({100 * entry['right']:.2f} %), "
                f"read as {prediction} ({100 * entry['confidence']:.2f} %)"
            )
        console.result(f"\nlook at one with: {options.export_command(report['worst'][0]['sample'], data)}")
