"""How well a trained network predicts, as one object for programs and as tables for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnctl.cli import console, options
from nnctl.cli.drawing import share

if TYPE_CHECKING:
    from nnctl.config.models import DataConfig
    from nnctl.data import Dataset
    from nnctl.train import Evaluation


def report(path: Path, dataset: Dataset, split: str, result: Evaluation) -> dict[str, Any]:
    """Everything there is to say, for programs."""
    confusion = result.confusion
    # validation images are the end of the training set, and `data export` knows them by their place there
    file, begin = ("train", dataset.first_validation) if split == "validation" else (split, 0)
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


def show(told: dict[str, Any], data: DataConfig, result: Evaluation) -> None:
    """The same as tables, for people."""
    names = [entry["name"] for entry in told["classes"]]
    width = max(map(len, names))
    console.result(
        f"accuracy {100 * result.accuracy:.2f} %: {result.errors:,} of {len(result.labels):,} wrong, "
        f"loss {result.loss:.4f}"
    )
    console.result(f"\n{'class':<{width + 2}}{'precision':>10}{'recall':>10}{'F1':>10}{'images':>10}")
    for entry in told["classes"]:
        shares = "".join(f"{100 * entry[key]:8.2f} %" for key in ("precision", "recall", "f1"))
        console.result(f"{entry['name']:<{width + 2}}{shares}{entry['images']:>10,}")
    console.result("\ntargets down, predictions across")
    console.result(" " * (width + 2) + "".join(f"{label:>7}" for label in range(len(names))))
    for name, row in zip(names, told["confusion_matrix"], strict=True):
        console.result(f"{name:<{width + 2}}" + "".join(f"{count or '.':>7}" for count in row))
    if told["worst"]:
        console.result("\nworst errors: the target got the least")
        for entry in told["worst"][:10]:
            label, prediction = names[entry["label"]], names[entry["prediction"]]
            console.result(
                f"  {entry['sample']:<11} is {label} ({share(entry['right']).strip()}), "
                f"read as {prediction} ({share(entry['confidence']).strip()})"
            )
        console.result(f"\nlook at one with: {options.export_command(told['worst'][0]['sample'], data)}")
