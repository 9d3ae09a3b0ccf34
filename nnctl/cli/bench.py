"""`nnctl bench`: how fast a network trains here, how near that is to the limit, and where the time goes."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnctl import __version__
from nnctl.cli import console, options

if TYPE_CHECKING:
    from nnctl.bench import Measurement
    from nnctl.build import Plan
    from nnctl.config import Config

WIDTH = 80
EIGHTHS = " ▏▎▍▌▋▊▉"


@options.command(
    name="bench",
    examples="""
nnctl bench
nnctl bench configs/3blue1brown.toml --json
nnctl bench --set network.hidden=[800] --set train.batch_size=128 --threads 2
""",
)
@options.config_file
@options.overrides
@options.threads
@options.as_json
def bench(*, config_path: Path | None, overrides: tuple[str, ...], threads: int | str | None, as_json: bool) -> None:
    """Measure how fast the network of CONFIG, or the default one, trains on this machine.

    It trains on random pictures, for about two seconds unless single steps are long; no dataset is needed, and nothing
    is kept. The limit to compare with is the time that the matrix products of a step take by themselves, measured in
    turn with training.
    """
    from nnctl import blas
    from nnctl.config import load

    config = load(config_path, overrides, options.settings(threads=threads)).config
    blas.configure(config.train.threads, config.largest_product)

    blas.check_kernel()
    from nnctl import bench, build

    plan = build.plan(config, bench.IMAGES)
    measured = bench.measure(plan)
    report = _report(config, plan, measured)
    if as_json:
        console.result_json(report)
    else:
        _show(report)


def _report(config: Config, plan: Plan, measured: Measurement) -> dict[str, Any]:
    """Everything there is to say, for programs."""
    import numpy as np

    from nnctl import blas, build

    return {
        "nnctl": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": blas.processor(),
        "blas": blas.report(),
        "network": build.sizes(config.network.hidden),
        "parameters": plan.network.params.size,
        "optimizer": config.optimizer.name,
        "augment": config.data.augment.name,
        "batch_size": measured.batch_size,
        "images_per_second": measured.images_per_second,
        "step_microseconds": measured.step_microseconds,
        "floor_microseconds": measured.floor_microseconds,
        "ratio": measured.ratio,
        "rounds": measured.rounds,
        "product_share": measured.product_share,
        "operations": measured.operations,
        "step_gflops": measured.step_gflops,
        "floor_gflops": measured.floor_gflops,
        "parts": [
            {**part.place._asdict(), "microseconds": part.microseconds, "share": part.share} for part in measured.parts
        ],
    }


def _show(report: dict[str, Any]) -> None:
    """The same as tables, for people."""
    blas = report["blas"]
    library = " ".join(filter(None, (blas["library"], blas["version"], blas["kernel"])))
    deformed = "" if report["augment"] == "none" else f", {report['augment']} deformation"
    lines = {
        "network": f"{report['network']}, batch {report['batch_size']}, {report['optimizer']}{deformed}",
        "processor": report["processor"],
        "BLAS": f"{library}, threads: {blas['threads'] or 'unknown'}",
    }
    for label, text in lines.items():
        console.result(f"{label:<11}{text}")
    share = f"{100 * report['product_share']:7.1f} % of a step"
    console.result(f"\n{'training':<22}{report['images_per_second']:12,.0f} images/s")
    console.result(f"{'a step':<22}{_speed(report, 'step')}")
    console.result(f"{'matrix products alone':<22}{_speed(report, 'floor')}{share}")
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
