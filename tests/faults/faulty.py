"""The basis of the fault suite: how much to do, and strace to stop or fail the system calls of nnctl.

All is done by the command line and the file system, as users and their machines would do it.
`python -m pytest tests/faults` runs a quick part; with FAULTS=full it does as much as the documentation promises.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.support.process import run_nnctl

FULL = os.environ.get("FAULTS") == "full"
BATCH = 500  # paths in one command

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace, a Debian package: no system call was stopped or failed"
)

SMALL = (
    "--set=data.dataset=synthetic",
    "--set=data.train_limit=320",
    "--set=data.validation=64",
    "--set=data.mix=0",
    "--set=network.hidden=[8]",
    "--set=train.batch_size=32",
    "--set=train.epochs=3",
    "--set=train.checkpoint_every=4",
    "--set=judge=false",
    "--offline",
    "--quiet",
)
"""What makes `nnctl train` a matter of half a second: 3 epochs of 10 steps, each with saves after 4, 8 and 10."""


def amount(quick: int, full: int) -> int:
    """How many of something to do."""
    return full if FULL else quick


def chosen(names: Iterable[str], every: int, *always: str) -> list[str]:
    """All names; in the quick part one of so many, and those that alone show a certain bug."""
    names = list(names)
    assert {*always} <= {*names}
    return names if FULL else list(dict.fromkeys([*names[::every], *always]))


def straced(options: list[str], *arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run nnctl under strace; its own report goes to the file `trace` in `cwd`.

    Args:
        options: such as ["-e", "inject=fsync:error=ENOSPC:when=2", "-P", path]; paths must be absolute.
        arguments: of nnctl.
        cwd: the folder to run in.
        variables: of the environment.
    """
    strace = ["strace", "-f", "-o", str(cwd / "trace"), *options]
    return run_nnctl(*arguments, cwd=cwd, behind=strace, **variables)


def assert_spoken(done: subprocess.CompletedProcess[str], code: int) -> None:
    """The exit code, one line that says what is wrong and a hint; no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "nnctl: error: " in done.stderr, done.stderr
    assert "hint: " in done.stderr, done.stderr


def processor_seconds(pid: int) -> float:
    """What a process has had of the processors: it does not count what others do on a busy machine."""
    if sys.platform != "linux":
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_ended(pid: int) -> bool:
    """Whether a process that was started here has come to its end, while it is still there to be asked about it."""
    return sys.platform != "linux" or os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def verified(paths: Sequence[Path]) -> dict[Path, str | None]:
    """What `nnctl checkpoint verify` says of files: their digests, or None for those that it refuses."""
    found: dict[Path, str | None] = {}
    for first in range(0, len(paths), BATCH):
        batch = paths[first : first + BATCH]
        done = run_nnctl("checkpoint", "verify", "--json", *batch, cwd=Path("/"))
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert [Path(answer["path"]) for answer in answers] == list(batch), done.stderr
        assert done.returncode == (0 if all(answer["ok"] for answer in answers) else 4), done.stderr
        found |= {Path(answer["path"]): answer.get("digest") for answer in answers}
    return found


def digests(*runs: Path) -> list[dict[str, str]]:
    """For each run directory the digests of its checkpoints, by name; "damaged" for one that is refused."""
    paths = [path for run in runs for path in sorted(run.glob("checkpoints/*.npz"))]
    found = verified(paths)
    return [{path.name: found[path] or "damaged" for path in paths if run in path.parents} for run in runs]
