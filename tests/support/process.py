"""Run nnctl the way users do: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment without its NNCTL_* variables, and with these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NNCTL_")} | variables


def run_nnctl(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run nnctl in the folder `cwd`, without the caller's NNCTL_* variables."""
    return subprocess.run(
        [sys.executable, "-m", "nnctl", *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
