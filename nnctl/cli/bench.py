"""`nnctl bench`: how fast a network trains here, how near that is to the limit, and where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnctl.cli import bench_table as table
from nnctl.cli import console, options

if TYPE_CHECKING:
    from nnctl.bench import Measurement
    from nnctl.config import Config


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
    is saved. The limit to compare with is the time that the matrix products of a step take by themselves, measured in
    turn with training.
    """
    config = options.load_config(config_path, overrides, options.settings(threads=threads))
    from nnctl import bench, build

    trainer = build.trainer(config, bench.IMAGES)
    measured = bench.measure(trainer)
    report = _report(config, trainer.network.params.size, measured)
    if as_json:
        console.result_json(report)
    else:
        table.show(report)


def _report(config: Config, parameters: int, measured: Measurement) -> dict[str, Any]:
    """Everything there is to say, for programs."""
    from nnctl import build

    return {
        **{key: measured.environment[key] for key in ("nnctl", "python", "numpy", "processor", "blas")},
        "network": build.sizes(config.network.hidden),
        "parameters": parameters,
        "optimizer": config.optimizer.name,
        "augment": config.data.augment.name,
        "batch_size": measured.batch_size,
        "images_per_second": measured.images_per_second,
        "step_microseconds": measured.step_microseconds,
        "bound_microseconds": measured.bound_microseconds,
        "ratio": measured.ratio,
        "rounds": measured.rounds,
        "product_share": measured.product_share,
        "operations": measured.operations,
        "step_gflops": measured.step_gflops,
        "bound_gflops": measured.bound_gflops,
        "parts": [
            {**part.place._asdict(), "microseconds": part.microseconds, "share": part.share} for part in measured.parts
        ],
    }
