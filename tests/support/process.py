"""Run nnctl the way users do: in a separate process."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

NNCTL = (sys.executable, "-m", "nnctl")

Nnctl = Callable[..., subprocess.CompletedProcess[str]]
"""What the fixture `nnctl` is: `nnctl("train", "--quiet", NO_COLOR="1")`."""


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment without its NNCTL_* variables, and with these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NNCTL_")} | variables


def run_nnctl(
    *arguments: object, cwd: Path, behind: Sequence[str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run nnctl in the folder `cwd`, without the caller's NNCTL_* variables.

    Args:
        arguments: of nnctl.
        cwd: the folder to run in.
        behind: the words of a program that runs nnctl, such as strace.
        variables: of the environment, beside the caller's.
    """
    return subprocess.run(
        [*behind, *NNCTL, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def start_nnctl(*arguments: object, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """Start nnctl likewise and do not wait for it; its output is left for `communicate`."""
    return subprocess.Popen(
        [*NNCTL, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
