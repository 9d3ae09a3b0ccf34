"""What is measured: epochs, whole processes, memory, start-up, and how time grows with the network and the batch."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.nnctl_peer import settings
from benchmarks.peers.task import Task
from benchmarks.programs import PROGRAMS, Run, note, run, run_in_turns, train_in_turns
from benchmarks.tables import RATIO_COLUMNS, Table, ratios

IMAGES = 60_000
AGREE = 0.01  # of the test set: what seeds and the last few steps alone can make of the same training

LEARNING_RATES = {"sgd": 0.1, "momentum": 0.01, "adam": 0.001}

TARGET = 0.98
RECIPE: dict[str, Any] = {"optimizer": "momentum", "learning_rate": 0.1, "schedule": "one_cycle", "epochs": 6}

WHOLE_COLUMNS = {
    "program": ("program", ""),
    "median_seconds": ("seconds", ".2f"),
    **RATIO_COLUMNS,
    "peak_mb": ("peak MB", ",.0f"),
    "epochs": ("epochs", ".0f"),
    "accuracy_percent": ("test accuracy %", ".2f"),
}

WIDTHS = [2**i for i in range(5, 14)]
BATCHES = [2**i for i in range(14)]
SCALING_PROGRAMS = ("nnctl", "torch")
SCALING_FLOPS, FEWEST_STEPS, MOST_STEPS = 2e10, 10, 1000  # a tenth of a second or so for each measurement

NNCTL = str(Path(sys.executable).with_name("nnctl"))
STARTUP_ROUNDS = 3  # times as many as elsewhere: they are short


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the command line asked for: the tasks (one for each shape), the programs' names, and how many rounds."""

    tasks: list[Task]
    programs: list[str]
    rounds: int


def steady(wanted: Wanted) -> Iterator[Table]:
    """Seconds per epoch once everything is compiled and warm."""
    return _steady(wanted.tasks, wanted)


def optimizers(wanted: Wanted) -> Iterator[Table]:
    """The same for the first shape with the optimizers that keep a memory."""
    tasks = [
        dataclasses.replace(wanted.tasks[0], optimizer=name, learning_rate=LEARNING_RATES[name])
        for name in ("momentum", "adam")
    ]
    return _steady(tasks, wanted)


def _steady(tasks: Sequence[Task], wanted: Wanted) -> Iterator[Table]:
    for task in tasks:
        note(f"steady: {_shape(task)}, {task.optimizer}")
        summaries, failed = train_in_turns(wanted.programs, task, wanted.rounds)
        rows = []
        for name, summary in summaries.items():
            seconds = statistics.median(summary["seconds"])
            speed = {
                "ms": 1e3 * seconds,
                "us_per_step": 1e6 * seconds / _steps(task),
                "images_per_second": IMAGES / seconds,
            }
            rows.append({"program": name, **summary, **speed, "accuracy_percent": 100 * summary["test_accuracy"]})
        columns = {
            "program": ("program", ""),
            "version": ("version", ""),
            "ms": ("ms/epoch", ",.0f"),
            "us_per_step": ("µs/step", ",.1f"),
            "images_per_second": ("images/s", ",.0f"),
            **RATIO_COLUMNS,
            "accuracy_percent": ("test accuracy %", ".2f"),
        }
        agreement = _agreement([row["test_accuracy"] for row in rows], wanted.rounds + 1)
        title = f"{_shape(task)}, batch {task.batch}, {task.optimizer}: steady state"
        yield Table(title, columns, _compared(rows), [agreement, *_reasons(failed)])


def cold(wanted: Wanted) -> Iterator[Table]:
    """Whole processes of three epochs, each evaluated."""
    task = wanted.tasks[0]
    note(f"cold: {_shape(task)}, {task.epochs} epochs")
    with tempfile.TemporaryDirectory() as folder:
        rows, failed = _whole(wanted, task, train_in=Path(folder))
    title = f"{_shape(task)}, batch {task.batch}, {task.optimizer}: whole process, {task.epochs} epochs"
    remark = (
        "`nnctl train` is the command as users call it, with durable checkpoints and one evaluation at the end; "
        "the others, nnctl's own loop among them, evaluate after each epoch and save nothing."
    )
    yield Table(title, WHOLE_COLUMNS, rows, [remark, *_reasons(failed)])


def target(wanted: Wanted) -> Iterator[Table]:
    """Whole processes again, by a recipe that takes any of them beyond 98 % of the test set in a few epochs."""
    task = dataclasses.replace(wanted.tasks[0], **RECIPE)
    note(f"target: {_shape(task)}, {task.epochs} epochs")
    with tempfile.TemporaryDirectory() as folder:
        rows, failed = _whole(wanted, task, train_in=Path(folder))
    title = f"{_shape(task)}, batch {task.batch}, momentum, one cycle: whole process to {TARGET:.0%} test accuracy"
    missed = [row["program"] for row in rows if row["least_accuracy_percent"] < 100 * TARGET]
    verdict = f"**not {' nor '.join(missed)}**" if missed else "each of them in every round, with a seed of its own"
    yield Table(title, WHOLE_COLUMNS, rows, [f"Beyond {TARGET:.0%}: {verdict}.", *_reasons(failed)])


def memory(wanted: Wanted) -> Iterator[Table]:
    """The most memory that a whole training of one epoch ever held."""
    task = wanted.tasks[0]
    note(f"memory: {_shape(task)}")
    with tempfile.TemporaryDirectory() as folder:
        rows, failed = _whole(wanted, dataclasses.replace(task, epochs=1), train_in=Path(folder))
    base = next((row["peak_mb"] for row in rows if row["program"] == "nnctl train"), None)
    for row in rows:
        row["ratio"] = row["peak_mb"] / base if base else None
    columns = {"program": ("program", ""), "peak_mb": ("peak MB", ",.0f"), "ratio": ("× nnctl train", ".2f")}
    yield Table(f"{_shape(task)}, batch {task.batch}: peak memory", columns, rows, _reasons(failed))


def startup(wanted: Wanted) -> Iterator[Table]:
    """Commands that should answer at once, beside the least that Python needs for the same."""
    task = wanted.tasks[0]
    with tempfile.TemporaryDirectory() as folder:
        model, picture = Path(folder) / "model", str(Path(folder) / "digit.png")
        run([*_train_command(dataclasses.replace(task, epochs=1), model), "--set=judge=true"])  # as by default
        run([NNCTL, "data", "export", "test:7", picture, f"--data-dir={task.data_dir}"])
        commands = {
            'python -c "import click"': [sys.executable, "-c", "import click"],
            "nnctl --help": [NNCTL, "--help"],
            'python -c "import numpy, PIL.Image"': [sys.executable, "-c", "import numpy, PIL.Image"],
            "nnctl predict digit.png": [NNCTL, "predict", f"--checkpoint={model}", picture],
        }
        note("startup")
        runs, failed = run_in_turns(
            {name: _always(command) for name, command in commands.items()}, STARTUP_ROUNDS * wanted.rounds
        )
    seconds = {name: [each.seconds for each in done] for name, done in runs.items()}
    rows = [{"command": name, "seconds": all_, "ms": 1e3 * statistics.median(all_)} for name, all_ in seconds.items()]
    names = list(commands)
    for bare, whole in ((names[0], names[1]), (names[2], names[3])):
        if bare in seconds and whole in seconds:
            next(row for row in rows if row["command"] == whole).update(ratios(seconds[whole], seconds[bare]))
    columns = {"command": ("command", ""), "ms": ("ms", ".0f"), **RATIO_COLUMNS, "ratio": ("× the line above", ".2f")}
    yield Table("Start-up", columns, rows, _reasons(failed))


def scaling(wanted: Wanted) -> Iterator[Table]:
    """How time grows: hidden units 32 to 8,192 at the first shape's batch, batch 1 to 8,192 at its hidden units."""
    first = wanted.tasks[0]
    programs = [name for name in SCALING_PROGRAMS if name in wanted.programs]
    columns = {"size": ("", ",d")}
    for name in programs:
        columns |= {f"{name}_us": (f"{name} µs/step", ",.1f"), f"{name}_gflops": (f"{name} GFLOP/s", ",.1f")}
    columns |= RATIO_COLUMNS
    for what, sizes in (("hidden", WIDTHS), ("batch", BATCHES)):
        rows = []
        failed: dict[str, str] = {}
        for size in sizes:
            note(f"scaling: {what} {size}")
            task = dataclasses.replace(first, **{what: size}, learning_rate=1e-6)  # any width keeps finite
            steps = min(max(FEWEST_STEPS, int(SCALING_FLOPS / _flops(task))), MOST_STEPS, IMAGES // task.batch)
            task = dataclasses.replace(task, images=steps * task.batch)
            summaries, failed = train_in_turns(programs, task, wanted.rounds)
            row: dict[str, Any] = {"size": size}
            for name, summary in summaries.items():
                seconds = statistics.median(summary["seconds"]) / steps
                row |= {f"{name}_us": 1e6 * seconds, f"{name}_gflops": _flops(task) / seconds / 1e9}
            if len(summaries) == len(programs) > 1:
                row |= ratios(summaries[programs[1]]["seconds"], summaries[programs[0]]["seconds"])
            rows.append(row)
        fixed = f"batch {first.batch}" if what == "hidden" else f"hidden {first.hidden}"
        columns["size"] = (what, ",d")
        yield Table(f"Time by {what}, {fixed}", dict(columns), rows, _reasons(failed))


MEASUREMENTS: dict[str, Callable[[Wanted], Iterator[Table]]] = {
    "steady": steady,
    "optimizers": optimizers,
    "cold": cold,
    "target": target,
    "memory": memory,
    "startup": startup,
    "scaling": scaling,
}


def _whole(wanted: Wanted, task: Task, train_in: Path | None = None) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Run the task as whole processes in turns, `nnctl train` among them if it has a folder; rows and failures."""

    def command_of(name: str) -> Callable[[int], Sequence[str]]:
        return lambda i: PROGRAMS[name].command(dataclasses.replace(task, seed=i))

    commands = {name: command_of(name) for name in wanted.programs}
    if train_in is not None:
        commands["nnctl train"] = lambda i: _train_command(dataclasses.replace(task, seed=i), train_in / str(i))
    runs, failed = run_in_turns(commands, wanted.rounds)
    return _compared([_row(name, done) for name, done in runs.items()]), failed


def _row(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    answers = [json.loads(each.output) for each in runs]
    accuracies = [a["test_accuracy"] if "test_accuracy" in a else a["test"]["accuracy"] for a in answers]
    epochs = [a["epochs"] if "epochs" in a else len(a["seconds"]) for a in answers]
    seconds = [each.seconds for each in runs]
    return {
        "program": name,
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "peak_mb": statistics.median(each.peak_bytes / 1e6 for each in runs),
        "epochs": statistics.median(epochs),
        "accuracy_percent": 100 * statistics.median(accuracies),
        "least_accuracy_percent": 100 * min(accuracies),
    }


def _compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row its ratios to nnctl's, if nnctl is among them."""
    base = next((row["seconds"] for row in rows if row["program"] == "nnctl"), None)
    return [row | ratios(row["seconds"], base) if base else row for row in rows]


def _train_command(task: Task, folder: Path) -> list[str]:
    overrides = [f"--set={setting}" for setting in settings(task)]
    where = [f"--run-dir={folder}", f"--data-dir={task.data_dir}", "--offline", f"--threads={task.threads}"]
    return [NNCTL, "train", *overrides, *where, "--quiet", "--json"]


def _always(command: Sequence[str]) -> Callable[[int], Sequence[str]]:
    return lambda _: command


def _shape(task: Task) -> str:
    return f"784-{task.hidden}-10"


def _steps(task: Task) -> int:
    return math.ceil(IMAGES / task.batch)


def _flops(task: Task) -> int:
    """Of a step's five matrix products: two forward, two for the weights' gradients, one back to the hidden units."""
    return 2 * task.batch * task.hidden * (2 * 784 + 3 * 10)


def _agreement(accuracies: Sequence[float], epochs: int) -> str:
    if not accuracies:
        return "Nothing was measured."
    low, high = min(accuracies), max(accuracies)
    verdict = "all learn the same" if high - low <= AGREE else "**they do not learn the same**"
    return f"After {epochs} epochs {100 * low:.2f} to {100 * high:.2f} % of the test set is right: {verdict}."


def _reasons(failed: dict[str, str]) -> list[str]:
    return [f"{name} was not measured: {reason}" for name, reason in failed.items()]
