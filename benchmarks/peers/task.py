"""The work that every program is given, and the way in which it is asked for it: one epoch at a time.

A program's own file says how to build its network, train an epoch and answer the test set; `main` does the rest.
Alone it trains `--epochs` epochs, answers the test set after each, and prints one JSON line. With `--turns` it waits
for a word on standard input before each epoch, so that several programs can take turns on one machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]

OPTIMIZERS = ("sgd", "momentum", "adam")
MOMENTUM = 0.9
SCHEDULES = ("constant", "one_cycle")
PEAK_AT, START, FINAL = 0.3, 0.04, 1e-4  # of a cycle: when its peak is reached, and the shares at its ends; as nnctl's
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclasses.dataclass(frozen=True)
class Task:
    """784-H-10 with relu, cross-entropy and float32 on MNIST; the last batch of an epoch may be short.

    Attributes:
        hidden, batch, epochs: how many.
        optimizer: one of OPTIMIZERS.
        learning_rate: constant, or the peak.
        schedule: "constant", or "one_cycle" over all epochs: up along half a cosine, and down along another.
        images: train on the first so many; None takes all.
        threads: how many the program may use.
        seed: of the weights and of the order.
        variant: which form of the program, where it has several.
        data_dir: MNIST's files lie in it or in its folder `mnist`.
    """

    hidden: int = 128
    batch: int = 64
    optimizer: str = "momentum"
    learning_rate: float = 0.05
    epochs: int = 3
    images: int | None = None
    threads: int = 1
    seed: int = 0
    schedule: str = "constant"
    variant: str = ""
    data_dir: Path = Path("data")

    def options(self) -> list[str]:
        """The command line that asks for this task."""
        given = {name.replace("_", "-"): value for name, value in vars(self).items() if value not in (None, "")}
        return [f"--{name}={value}" for name, value in given.items()]


def rates(task: Task) -> list[float]:
    """The learning rate of each step of all epochs; the last one holds from then on."""
    if task.schedule == "constant":
        return [task.learning_rate]
    total = task.epochs * math.ceil((task.images or 60_000) / task.batch)
    peak = round(total * PEAK_AT)

    def share(step: int) -> float:
        begin, end, progress = (START, 1, step / peak) if step < peak else (1, FINAL, (step - peak) / (total - peak))
        return end + (begin - end) * (1 + math.cos(math.pi * progress)) / 2

    return [task.learning_rate * share(step) for step in range(total)]


class Peer(Protocol):
    """A program that can learn."""

    version: str

    def epoch(self) -> None:
        """Learn from every image once, in a new order, and come back when it is done."""

    def accuracy(self) -> float:
        """The share of the test set that is answered rightly."""


def limit(threads: int) -> None:
    """Keep this process, and those it starts, to so many processors and threads; NumPy must not be loaded yet."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if hasattr(os, "sched_setaffinity"):  # the one bound that JAX knows
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def load(task: Task) -> Arrays:
    """Read MNIST: training pixels (N, 784) float32 from 0 to 1 and labels (N,) int64, then those of the test set."""
    import numpy as np

    folder = task.data_dir / "mnist" if (task.data_dir / "mnist").is_dir() else task.data_dir

    def read(name: str, header: int) -> NDArray[np.uint8]:
        unpacked = folder / name  # as nnctl keeps it
        data = unpacked.read_bytes() if unpacked.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
        return np.frombuffer(data, np.uint8, offset=header)

    def pixels(name: str) -> NDArray[np.float32]:
        x = read(name, 16).reshape(-1, 784).astype(np.float32)
        x /= 255
        return x

    images, labels = pixels("train-images-idx3-ubyte"), read("train-labels-idx1-ubyte", 8).astype(np.int64)
    test_images, test_labels = pixels("t10k-images-idx3-ubyte"), read("t10k-labels-idx1-ubyte", 8).astype(np.int64)
    return images[: task.images], labels[: task.images], test_images, test_labels


def main(build: Callable[[Task], Peer]) -> None:
    """Do what the command line asks of one program."""
    import resource  # not on Windows

    began = time.perf_counter()
    task, turns = _parse()
    limit(task.threads)
    peer = build(task)
    setup = time.perf_counter() - began
    seconds: list[float] = []
    accuracies: list[float] = []
    if turns:
        _say(version=peer.version, setup_seconds=setup)
        for _ in sys.stdin:
            seconds.append(_timed(peer))
            _say(seconds=seconds[-1])
        accuracies.append(peer.accuracy())
    else:
        while len(seconds) < task.epochs:
            seconds.append(_timed(peer))
            accuracies.append(peer.accuracy())
    _say(
        version=peer.version,
        setup_seconds=setup,
        seconds=seconds,
        test_accuracy=accuracies[-1],
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def _parse() -> tuple[Task, bool]:
    parser = argparse.ArgumentParser(description="Train 784-H-10 on MNIST and print one JSON line.")
    for field in dataclasses.fields(Task):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=_TYPES[field.name], default=field.default)
    parser.add_argument("--turns", action="store_true", help="train an epoch for each line on standard input")
    given = vars(parser.parse_args())
    turns = given.pop("turns")
    return Task(**given), turns


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return name

    return check


_TYPES: dict[str, Callable[[str], object]] = {
    "hidden": int,
    "batch": int,
    "optimizer": _one_of(OPTIMIZERS),
    "learning_rate": float,
    "epochs": int,
    "images": int,
    "threads": int,
    "seed": int,
    "schedule": _one_of(SCHEDULES),
    "variant": str,
    "data_dir": Path,
}


def _timed(peer: Peer) -> float:
    began = time.perf_counter()
    peer.epoch()
    return time.perf_counter() - began


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)
