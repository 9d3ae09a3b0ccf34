"""Check the values of arguments and options: threads, paths, accuracies, samples, datasets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


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


class Sample(click.ParamType[tuple[str, int]]):
    """One image of a dataset, such as test:7 or train:59999."""

    name = "SPLIT:INDEX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Accept train: or test: and a number from 0."""
        match = re.fullmatch(r"(train|test):([0-9]{1,9})", str(value))
        if match is None:
            self.fail(f"{value!r} is not a sample such as test:7 or train:0", param, ctx)
        return match[1], int(match[2])


class DatasetName(click.ParamType[str]):
    """A name in the catalogue of datasets, which is read only when it is needed: it comes with NumPy."""

    name = "DATASET"

    def __init__(self, *others: str) -> None:
        self.others = others

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept a dataset of the catalogue, or one of the other words."""
        names = [*self.others, *self._names()]
        if value not in names:
            self.fail(f"{value!r} is not one of {', '.join(names)}", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Offer the names that begin so."""
        return [CompletionItem(name) for name in (*self.others, *self._names()) if name.startswith(incomplete)]

    @staticmethod
    def _names() -> list[str]:
        from nnctl.data.catalog import CATALOG

        return list(CATALOG)


PATH = AnyPath(path_type=Path, readable=False)
FILE = AnyPath(path_type=Path, readable=False, dir_okay=False)
FOLDER = AnyPath(path_type=Path, readable=False, file_okay=False)
