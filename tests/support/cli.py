"""Run nnctl within the process of the test, for speed, and list its commands."""

import contextlib
import io
import json
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click
import pytest

from nnctl.cli import main, signals


class Answer(NamedTuple):
    """What a command leaves behind: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object on one line."""
        (line,) = self.out.splitlines()
        value: dict[str, Any] = json.loads(line)
        return value


Cli = Callable[..., Answer]
"""What the fixture `cli` is: `cli("train", "--quiet")`."""

Terminal = Callable[..., tuple[int, str]]
"""What the fixture `terminal` is: `terminal("train", NO_COLOR="1")`, the exit code and all that appeared."""


def call(*arguments: object, stdin: bytes = b"") -> Answer:
    """Run nnctl in this process, from `main` on, in the folder the process is in."""
    out, err = io.StringIO(), io.StringIO()
    usual = {number: signal.getsignal(number) for number in signals.NUMBERS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnctl.blas.configure", lambda *_: None)  # NumPy is loaded already
        patch.setattr(sys, "argv", ["nnctl", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with streams[0], streams[1], pytest.raises(SystemExit) as leaving:
            main()
    for number, handler in usual.items():
        signal.signal(number, handler)
    assert isinstance(leaving.value.code, int)
    return Answer(leaving.value.code, out.getvalue(), err.getvalue())


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command
