"""Tables of measurements, as Markdown for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from typing import Any

from nnctl import blas


@dataclasses.dataclass(frozen=True)
class Table:
    """What was measured.

    Attributes:
        title: one line.
        columns: key -> heading and number format, as in f"{value:format}".
        rows: a dict for each; keys without a column appear in the JSON only, missing ones as a dash.
        notes: sentences below it.
    """

    title: str
    columns: dict[str, tuple[str, str]]
    rows: list[dict[str, Any]]
    notes: list[str] = dataclasses.field(default_factory=list)

    def markdown(self) -> str:
        """The table, with its title above and its notes below."""
        lines = [
            f"### {self.title}",
            "",
            _line([heading for heading, _ in self.columns.values()]),
            _line(["---:" if form else "---" for _, form in self.columns.values()]),
            *(_line([_cell(row.get(key), form) for key, (_, form) in self.columns.items()]) for row in self.rows),
            *(f"\n{text}" for text in self.notes),
        ]
        return "\n".join(lines)

    def plain(self) -> dict[str, Any]:
        """The same for JSON, with every single measurement."""
        return {"title": self.title, "rows": self.rows, "notes": self.notes}


def machine(threads: int) -> dict[str, Any]:
    """Where the measurements were made; the load tells whether anyone else was at work."""
    return {
        "processor": blas.processor(),
        "processors": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "load_average": round(os.getloadavg()[0], 2),
    }


def ratios(values: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    """The median of the ratios round by round, with the least and the greatest."""
    quotients = [value / reference for value, reference in zip(values, base, strict=True)]
    return {
        "ratio": statistics.median(quotients),
        "least_ratio": min(quotients),
        "greatest_ratio": max(quotients),
    }


RATIO_COLUMNS = {
    "ratio": ("× nnctl", ".2f"),
    "least_ratio": ("least", ".2f"),
    "greatest_ratio": ("greatest", ".2f"),
}


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"
