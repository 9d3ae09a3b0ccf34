"""`nnctl predict`: let a trained network read pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnctl.cli import console, drawing, options, pictures
from nnctl.cli.hints import hint_of
from nnctl.cli.types import FOLDER, PATH
from nnctl.errors import ImageError, NnctlError

if TYPE_CHECKING:
    from nnctl.model import Model
    from nnctl.reading import Reading


@options.command(
    name="predict",
    examples="""
nnctl predict digit.png
nnctl predict digit.png --json
nnctl predict - < digit.png
nnctl predict digit.png --save-preprocessed seen
nnctl predict digit.png --force
""",
)
@click.argument("images", metavar="IMAGE|FOLDER|-...", nargs=-1, required=True, type=PATH)
@click.option(
    "--checkpoint",
    "target",
    metavar="RUN|CHECKPOINT",
    type=PATH,
    help="Which network; the best of the newest run by default.",
)
@click.option(
    "--save-preprocessed",
    "seen_dir",
    metavar="DIR",
    type=FOLDER,
    help="Save the 28x28 pixels that the network saw, as PNG.",
)
@click.option("--force", is_flag=True, help="Answer even if a picture does not show one single digit.")
@options.as_json
def predict(
    *, images: tuple[Path, ...], target: Path | None, seen_dir: Path | None, force: bool, as_json: bool
) -> None:
    """Read the digit in each picture: PNG, JPEG, BMP, GIF or WebP, of any size and colour.

    The digit is made to look like MNIST's first: ink found and cropped, scaled into 20x20 pixels, centred.
    A picture that shows no digit, or several, is refused; --force answers anyway.
    A network that reads something else than digits sees a picture of 28x28 pixels as it is.
    A folder stands for the pictures in it, - for one on standard input.
    """
    model = options.load_model(target)
    sources = list(pictures.sources(images))
    failed: list[NnctlError] = []
    saved: set[str] = set()
    for name, source in sources:
        try:
            reading = model.read(pictures.read(source), name=name, force=force)
        except ImageError as error:
            failed.append(error)
            if as_json:
                console.result_json({"image": name, "error": error.message, "hint": hint_of(error)})
            if len(sources) > 1:
                console.error(error.message, hint_of(error))
            continue
        if seen_dir is not None:
            pictures.save_preprocessed(seen_dir, source, reading.pixels, saved)
        _answer(name, reading, model, as_json=as_json)
    if console.is_terminal(sys.stdout) and not as_json and len(failed) < len(sources):
        learned_from = " (learned from synthetic digits)" if model.dataset == "synthetic" else ""
        console.note(f"read by {console.printable(model.path)}{learned_from}")
    if len(sources) == 1 and failed:
        raise failed[0]
    if failed:
        raise ImageError(
            f"{len(failed)} of {len(sources)} pictures could not be read", "the reason for each stands above"
        )


def _answer(name: str, reading: Reading, model: Model, *, as_json: bool) -> None:
    """One prediction: for programs, for a person, or for a pipe."""
    probabilities, best = reading.probabilities.tolist(), reading.prediction
    if as_json:
        answer = {"image": name, "checkpoint": str(model.path), "prediction": best, "name": model.class_names[best]}
        warning = {} if reading.warning is None else {"warning": reading.warning}
        console.result_json(answer | {"probabilities": probabilities} | warning)
        return
    console.result(
        f"{console.printable(name)}: {model.class_names[best]} ({drawing.share(probabilities[best]).strip()})"
    )
    if console.is_terminal(sys.stdout):
        for line in drawing.draw_prediction(reading.pixels, probabilities, model.class_names):
            console.result(line)
    if reading.warning is not None:
        console.warning(f"{console.printable(name)}: {reading.warning}")
