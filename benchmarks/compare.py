"""Measure nnctl beside PyTorch, JAX and scikit-learn on this machine: `python -m benchmarks.compare --help`."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from benchmarks.measure import LEARNING_RATES, MEASUREMENTS, Wanted
from benchmarks.peers.task import OPTIMIZERS, Task, limit
from benchmarks.programs import PROGRAMS
from benchmarks.tables import Table, machine

SHAPES = ((128, 64), (800, 128), (30, 10))


def main() -> None:
    """Measure what the command line names, and print tables."""
    options = _parser().parse_args()
    limit(options.threads)  # before the processes that inherit it
    tasks = [
        Task(
            hidden=hidden,
            batch=batch,
            optimizer=options.optimizer,
            learning_rate=options.learning_rate or LEARNING_RATES[options.optimizer],
            threads=options.threads,
            data_dir=options.data_dir.resolve(),
        )
        for hidden, batch in options.shape or SHAPES
    ]
    wanted = Wanted(tasks, options.programs, options.rounds)
    about = machine(options.threads)
    if not options.json:
        print(", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in about.items()), flush=True)
    tables: list[Table] = []
    for name in MEASUREMENTS if options.what == "all" else [options.what]:
        for table in MEASUREMENTS[name](wanted):
            tables.append(table)
            if not options.json:
                print(f"\n{table.markdown()}", flush=True)  # at once: the next one may take minutes
    if options.json:
        print(json.dumps({"schema_version": 1, "machine": about, "tables": [table.plain() for table in tables]}))


def _parser() -> argparse.ArgumentParser:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(description="Measure nnctl beside other programs, in turns, on the same work.")
    parser.add_argument("what", nargs="?", default="steady", choices=[*MEASUREMENTS, "all"])
    parser.add_argument("--threads", type=int, default=processors, help="for every program (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="measured turns of each program (default: %(default)s)")
    parser.add_argument("--programs", type=_programs, default=list(PROGRAMS), metavar="A,B", help=", ".join(PROGRAMS))
    parser.add_argument("--shape", type=_shape, action="append", metavar="HIDDENxBATCH", help="such as 128x64")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="where MNIST's files are")
    parser.add_argument("--json", action="store_true", help="one JSON object with every single measurement")
    return parser


def _programs(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PROGRAMS]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(PROGRAMS)}")
    return [name for name in PROGRAMS if name in names]


def _shape(text: str) -> tuple[int, int]:
    hidden, _, batch = text.partition("x")
    return int(hidden), int(batch)


if __name__ == "__main__":
    main()
