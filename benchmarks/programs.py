"""The programs that are compared, each in a process of its own, so that none shares memory or threads with another."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.task import Task

ROOT = Path(__file__).parent.parent

SETTLE_SECONDS = 0.1  # idle threads of OpenBLAS and OpenMP wait awake for a while, and would disturb the next program


@dataclasses.dataclass(frozen=True)
class Program:
    """A script in `peers`, and which of its variants."""

    module: str
    variant: str = ""

    def command(self, task: Task, *flags: str) -> list[str]:
        """The command line that does the task."""
        options = dataclasses.replace(task, variant=self.variant).options()
        return [sys.executable, "-m", f"benchmarks.peers.{self.module}", *options, *flags]


# the first is the one that the others are compared with
PROGRAMS = {
    "nnctl": Program("nnctl_peer"),
    "torch": Program("torch_peer", "eager"),
    "torch-fused": Program("torch_peer", "fused"),
    "torch-compile": Program("torch_peer", "compile"),
    "jax": Program("jax_peer"),
    "sklearn": Program("sklearn_peer"),
}


class FailedError(Exception):
    """A program ended before its work did; the message is the last thing it said."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A whole process: wall-clock seconds from start to end, peak memory in bytes, and what it printed."""

    seconds: float
    peak_bytes: int
    output: str


def note(message: str) -> None:
    """Tell whoever waits how far it has come."""
    print(message, file=sys.stderr, flush=True)


def run(command: Sequence[str]) -> Run:
    """Run a process to its end.

    Raises:
        FailedError: its exit code is not 0.
    """
    with tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        output = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)  # the one call that tells the memory of this process alone
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise FailedError(_last_words(errors))
    return Run(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), output)


def run_in_turns(
    commands: Mapping[str, Callable[[int], Sequence[str]]], rounds: int
) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """Run each command once to warm the file cache, then all of them in turns.

    Args:
        commands: name -> the command of a round; round 0 is not measured.
        rounds: how many are.

    Returns:
        For each name its runs, or else for each name why it failed.
    """
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    failed: dict[str, str] = {}
    for i in range(rounds + 1):
        for name, command in commands.items():
            if name not in failed:
                try:
                    runs[name].append(run(command(i)))
                except FailedError as error:
                    failed[name] = str(error)
        note(f"  round {i} of {rounds}")
    return {name: done[1:] for name, done in runs.items() if name not in failed}, failed


class Learner:
    """A process that trains one epoch whenever it is told to.

    Raises:
        FailedError: here or later, the process has ended.
    """

    def __init__(self, program: Program, task: Task) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process lives
        self._process = subprocess.Popen(
            program.command(task, "--turns"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.version: str = self._answer()["version"]
        except FailedError:
            self.stop()
            raise

    def epoch(self) -> float:
        """Train one epoch; the seconds it took, by the program's own clock."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("epoch\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise FailedError(_last_words(self._errors)) from None
        return float(self._answer()["seconds"])

    def finish(self) -> dict[str, Any]:
        """Answer the test set and end; what the program says of the whole."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        summary = self._answer()
        self.stop()
        return summary

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise FailedError(_last_words(self._errors))
        answer: dict[str, Any] = json.loads(line)
        return answer


def train_in_turns(names: Sequence[str], task: Task, rounds: int) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Let the programs train in turns, an epoch each, so that the epochs of a round lie seconds apart.

    The first epoch, in which some compile, is not among the measured ones.

    Returns:
        For each name what the program said of the whole: version, seconds (of each measured epoch), test_accuracy; or
        else for each name why it failed.
    """
    learners: dict[str, Learner] = {}
    failed: dict[str, str] = {}
    summaries: dict[str, dict[str, Any]] = {}
    try:
        for name in names:
            try:
                learners[name] = Learner(PROGRAMS[name], task)
            except FailedError as error:
                failed[name] = str(error)
        for i in range(rounds + 1):
            for name in [name for name in learners if name not in failed]:
                time.sleep(SETTLE_SECONDS)
                try:
                    learners[name].epoch()
                except FailedError as error:
                    failed[name] = str(error)
            note(f"  round {i} of {rounds}")
        for name in [name for name in learners if name not in failed]:
            try:
                summary = learners[name].finish()
                summaries[name] = summary | {"seconds": summary["seconds"][1:]}
            except FailedError as error:
                failed[name] = str(error)
    finally:
        for learner in learners.values():
            learner.stop()
    return summaries, failed


def _last_words(errors: Any) -> str:
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    return lines[-1] if lines else "it ended without a word"
