"""`nnctl predict`: let a trained network read pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnctl.cli import console, options
from nnctl.errors import ImageError, NnctlError
from nnctl.storage import durable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
LABELLED_BAR = 31  # characters for a class and its bar

BLOCKS = ("█", "▀", "▄", "░", " ")
ASCII = ("#", "'", ".", ":", " ")


@options.command(
    name="predict",
    examples="""
nnctl predict digit.png
nnctl predict digit.png --json
nnctl predict - < digit.png
nnctl predict digit.png --save-preprocessed seen
""",
)
@click.argument("images", metavar="IMAGE|FOLDER|-...", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--checkpoint",
    "target",
    metavar="RUN|CHECKPOINT",
    type=options.PATH,
    help="Which network; the best of the newest run by default.",
)
@click.option(
    "--save-preprocessed",
    "seen_dir",
    metavar="DIR",
    type=options.FOLDER,
    help="Keep the 28x28 pixels that the network saw, as PNG.",
)
@options.as_json
def predict(*, images: tuple[Path, ...], target: Path | None, seen_dir: Path | None, as_json: bool) -> None:
    """Read the digit in each picture: PNG, JPEG, BMP, GIF or WebP, of any size and colour.

    The picture is made to look like an MNIST digit first: ink found and cropped, scaled into 20x20 pixels, centred.
    A network that reads something else than digits sees a picture of 28x28 pixels as it is.
    A folder stands for the pictures in it, - for one on standard input.
    """
    from nnctl import blas

    blas.configure("auto")

    import numpy as np

    from nnctl.data.classes import DIGITS
    from nnctl.data.examples import Examples
    from nnctl.picture import decode

    trained = options.load_network(target)
    classes = trained.class_names
    of_digits = classes == DIGITS
    failed: list[NnctlError] = []
    as_digits: list[str] = []
    taken: set[str] = set()
    sources = list(_sources(images))
    for name, source in sources:
        try:
            data = _read(source)
            pixels = None if of_digits else _sample(data, name)
            if pixels is None:
                as_digits.append(name)
                pixels = decode.read_digit(data, name)
        except ImageError as error:
            failed.append(error)
            if as_json:
                console.result_json({"image": name, "error": error.message, "hint": error.hint})
            if len(sources) > 1:
                console.error(error.message, error.hint)
            continue
        unlabelled = Examples(pixels[np.newaxis], np.zeros(1, np.intp))  # the loss by this label is of no interest
        probs = trained.evaluate(unlabelled).probs[0]
        if seen_dir is not None:
            _keep(seen_dir, source, pixels, taken)
        _answer(name, pixels, probs, trained, as_json=as_json)
    if console.is_terminal(sys.stdout) and not as_json and len(failed) < len(sources):
        learned_from = " (learned from synthetic digits)" if trained.dataset == "synthetic" else ""
        console.note(f"read by {console.printable(trained.path)}{learned_from}")
    if as_digits and not of_digits:
        console.warning(
            f"{trained.dataset} wants pictures of 28x28 pixels; {len(as_digits)} of {len(sources)} had another "
            "size, and were prepared in the way made for digits"
        )
    if len(sources) == 1 and failed:
        raise failed[0]
    if failed:
        raise ImageError(
            f"{len(failed)} of {len(sources)} pictures could not be read", "the reason for each stands above"
        )


def _sources(images: tuple[Path, ...]) -> Iterator[tuple[str, Path | None]]:
    """Name and path of each picture; the path is None for standard input."""
    for path in images:
        if str(path) == "-":
            yield "standard input", None
        elif durable.is_folder(path):
            pictures = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES)
            yield from ((str(picture), picture) for picture in pictures or [path])
        else:
            yield str(path), path


def _read(source: Path | None) -> bytes:
    """The bytes of a picture, or as many as show that it is too large."""
    from nnctl.picture.decode import MAX_BYTES

    name = "standard input" if source is None else source
    try:
        if source is None:
            if sys.stdin is None:
                raise ImageError("standard input: is closed", "name a file, or pipe a picture in")
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        if source.is_dir():
            raise ImageError(f"{source}: holds no pictures", f"pictures end in {', '.join(sorted(SUFFIXES))}")
        if source.exists() and not source.is_file():
            raise ImageError(
                f"{source}: is not a regular file", "name a picture, a folder of pictures, or - for a pipe"
            )
        with source.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{name}: cannot be read: {error.strerror or error}", "check the path") from error


def _sample(data: bytes, name: str) -> NDArray[np.uint8] | None:
    """The (28, 28) pixels of a picture that has no others; None for one of another size."""
    import numpy as np

    from nnctl.picture import decode

    grey = decode.read_grey(data, name)
    return np.rint(grey).astype(np.uint8) if grey.shape == (28, 28) else None


def _keep(folder: Path, source: Path | None, pixels: NDArray[np.uint8], taken: set[str]) -> None:
    """Save what the network saw beside nothing else of that name in this call."""
    from nnctl.picture.decode import to_png

    stem = source.stem if source is not None else "stdin"
    name = next(n for n in (f"{stem}{i or ''}-28x28.png" for i in ("", *range(2, 10**6))) if n not in taken)
    taken.add(name)
    durable.make_folder(folder)
    durable.write_whole(folder / name, to_png(pixels))


def _answer(
    name: str, pixels: NDArray[np.uint8], probs: NDArray[np.floating[Any]], trained: options.Trained, *, as_json: bool
) -> None:
    """One prediction: for programs, for a person, or for a pipe."""
    classes, best = trained.class_names, int(probs.argmax())
    if as_json:
        answer = {"image": name, "checkpoint": str(trained.path), "prediction": best, "name": classes[best]}
        console.result_json(answer | {"probabilities": probs.tolist()})
        return
    console.result(f"{console.printable(name)}: {classes[best]} ({100 * float(probs[best]):.2f} %)")
    if console.is_terminal(sys.stdout):
        blocks = console.speaks_unicode(sys.stdout)
        picture = _picture(pixels, BLOCKS if blocks else ASCII)
        width = max(map(len, classes))
        labelled = zip(classes, probs.tolist(), strict=True)
        bars = [_bar(f"{label:<{width}}", p, label == classes[best], "█" if blocks else "#") for label, p in labelled]
        bars = ["", "", *bars]
        bars += [""] * (len(picture) - len(bars))
        for row, bar in zip(picture, bars, strict=True):
            console.result(f"  {row}   {bar}".rstrip())


def _picture(pixels: NDArray[np.uint8], glyphs: tuple[str, ...]) -> list[str]:
    """28x28 pixels as 14 lines of 28 characters, each two pixels high."""
    full, upper, lower, faint, empty = glyphs
    lines = []
    for above, below in zip(pixels[0::2], pixels[1::2], strict=True):
        line = ""
        for a, b in zip(above.tolist(), below.tolist(), strict=True):
            if max(a, b) >= 128:
                line += full if min(a, b) >= 128 else upper if a > b else lower
            else:
                line += faint if max(a, b) >= 48 else empty
        lines.append(line)
    return lines


def _bar(label: str, probability: float, chosen: bool, glyph: str) -> str:
    """One output of the network: its class, its brightness as a bar, and in numbers."""
    width = LABELLED_BAR - len(label)
    line = f"{label} {glyph * round(probability * width):<{width}} {100 * probability:6.2f} %"
    return click.style(line, bold=True) if chosen else line
