"""Run nnctl on hostile input, measure the time and memory it takes, and return what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import NNCTL, environment

SECONDS, BYTES = 2.0, 200e6  # what one input may take
PATIENCE = 120  # seconds until a process is killed: it waits for what never comes
KILLED = -signal.SIGKILL & 255

# a separate parent: the kernel adds the memory of whoever starts a process to that process's peak
WATCH = f"""
import os, signal, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.alarm({PATIENCE})
_, status, used = os.wait4(child, 0)
sys.stderr.write(f"\\x1e{{used.ru_utime + used.ru_stime}} {{used.ru_maxrss}}")
sys.stderr.flush()
os._exit(os.waitstatus_to_exitcode(status) & 255)
"""


@dataclass(frozen=True)
class Outcome:
    """What nnctl said, the seconds of processor time that it took, and its peak memory in bytes."""

    code: int
    out: list[str]
    err: str
    seconds: float
    peak: int


def measured(*arguments: object, cwd: Path, stdin: str = os.devnull) -> Outcome:
    """Run nnctl and measure what it takes: processor time, so that a busy machine does not count."""
    with Path(stdin).open("rb") as source:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", WATCH, *NNCTL, *map(str, arguments)],
            cwd=cwd,
            env=environment(OPENBLAS_NUM_THREADS="1"),
            stdin=source,
            capture_output=True,
            check=False,
        )
    err, _, used = done.stderr.decode("utf-8").rpartition("\x1e")
    seconds, kilobytes = used.split()
    assert done.returncode != KILLED, f"{arguments} had not ended after {PATIENCE} s: {err}"
    return Outcome(
        done.returncode, done.stdout.decode("utf-8").splitlines(), err, float(seconds), int(kilobytes) * 1024
    )


def assert_in_bounds(outcome: Outcome, case: object) -> None:
    """No traceback, no bug, and within the limits."""
    assert "Traceback" not in outcome.err, f"{case}: {outcome.err}"
    assert "internal error" not in outcome.err, f"{case}: {outcome.err}"
    assert outcome.seconds <= SECONDS, f"{case}: {outcome.seconds:.1f} s"
    assert outcome.peak <= BYTES, f"{case}: {outcome.peak / 1e6:.0f} MB"


def assert_refused(outcome: Outcome, code: int, case: object) -> None:
    """The exit code; what is wrong, with further lines indented; and a hint."""
    assert outcome.code == code, f"{case}: {outcome.code} {outcome.err}"
    error, *more, hint = outcome.err.splitlines()
    assert error.startswith("nnctl: error: "), f"{case}: {outcome.err}"
    assert all(line.startswith("  ") for line in more), f"{case}: {outcome.err}"
    assert hint.startswith("hint: "), f"{case}: {outcome.err}"
    assert len(hint) > len("hint: "), f"{case}: {outcome.err}"
