"""How fast a network trains, as tables and bars for people."""

from __future__ import annotations

import sys
from typing import Any

from nnctl.cli import console

WIDTH = 80
EIGHTHS = " ▏▎▍▌▋▊▉"


def show(report: dict[str, Any]) -> None:
    """Print a report of `nnctl bench`."""
    blas = report["blas"]
    library = " ".join(filter(None, (blas["library"], blas["version"], blas["kernel"])))
    augmented = "" if report["augment"] == "none" else f", {report['augment']} augmentation"
    lines = {
        "network": f"{report['network']}, batch {report['batch_size']}, {report['optimizer']}{augmented}",
        "processor": report["processor"],
        "BLAS": f"{library}, threads: {blas['threads'] or 'unknown'}",
    }
    for label, text in lines.items():
        console.result(f"{label:<11}{text}")
    share = f"{100 * report['product_share']:7.1f} % of a step"
    console.result(f"\n{'training':<22}{report['images_per_second']:12,.0f} images/s")
    console.result(f"{'a step':<22}{_speed(report, 'step')}")
    console.result(f"{'matrix products alone':<22}{_speed(report, 'bound')}{share}")
    console.result(f"{'step / products':<22}{report['ratio']:12.2f}    median of {report['rounds']} rounds of both")
    console.result("\nwhere the time goes (with a clock read after each part, which takes a little)\n")
    for line in _chart(report["parts"], blocks=console.speaks_unicode(sys.stdout)):
        console.result(line)


def _speed(report: dict[str, Any], what: str) -> str:
    return f"{report[f'{what}_microseconds']:12,.1f} us{report[f'{what}_gflops']:9,.1f} GFLOP/s"


def _chart(parts: list[dict[str, Any]], *, blocks: bool) -> list[str]:
    """A line for each part of a step: its name, its time, its share, and that as a bar."""
    names = [" ".join(filter(None, (part["phase"], part["layer"], part["of"]))) for part in parts]
    width = max(map(len, names))
    most = max(part["share"] for part in parts)
    lines = [f"{'part':<{width}} {'us':>12} {'share':>8}"]
    for name, part in zip(names, parts, strict=True):
        line = f"{name:<{width}} {part['microseconds']:12,.1f} {100 * part['share']:6.1f} %  "
        lines.append((line + _bar(part["share"] / most * (WIDTH - len(line)), blocks=blocks)).rstrip())
    lines.append(f"{'sum':<{width}} {sum(part['microseconds'] for part in parts):12,.1f}")
    return lines


def _bar(length: float, *, blocks: bool) -> str:
    """A bar so many characters long, to the nearest eighth where there are characters for it."""
    if not blocks:
        return "#" * round(length)
    whole, eighths = divmod(round(8 * length), 8)
    return "█" * whole + EIGHTHS[eighths].strip()
