"""What reaches the terminal: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any

import click

SCHEMA_VERSION = 1


def prepare() -> None:
    """Let no character crash an output stream that cannot write it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def result(text: str = "") -> None:
    """Write a line of the result to standard output."""
    click.echo(text, color=is_colourful(sys.stdout))


def result_json(value: dict[str, Any]) -> None:
    """Write one JSON object to standard output, on one line, with the version of its schema."""
    import json

    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **value}, allow_nan=False))


def note(text: str) -> None:
    """Write a line that is not part of the result to standard error; a standard error that is gone is no error."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True, color=is_colourful(sys.stderr))


def warning(text: str) -> None:
    """Say something that the user should not miss, though work goes on."""
    note(f"nnctl: {click.style('warning', fg='yellow', bold=True)}: {printable(text)}")


def error(message: str, hint: str = "", details: Sequence[str] = (), title: str = "error") -> None:
    """Say what went wrong and what to do about it; without a title, what has merely come to an end."""
    styled = f"{click.style(title, fg='red', bold=True)}: " if title else ""
    note(f"nnctl: {styled}{printable(message)}")
    for detail in details:
        note(f"  {printable(detail)}")
    if hint:
        note(f"hint: {printable(hint)}")


def printable(text: object) -> str:
    """Escape what is no character to be seen: the name of a file may hold line ends and a terminal's commands."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def command_line(words: Sequence[str]) -> str:
    """Words as a person may paste them into a shell: printable, and still the same words to bash, zsh and ksh."""
    return " ".join(shlex.quote(word) if word.isprintable() else f"$'{''.join(map(_octal, word))}'" for word in words)


def _octal(character: str) -> str:
    if character.isprintable() and character not in "'\\":
        return character
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a person watches this stream on a terminal that can move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def is_colourful(stream: IO[str] | None) -> bool:
    """Whether colours are welcome (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def speaks_unicode(stream: IO[str] | None) -> bool:
    """Whether block characters can be written to this stream."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


@contextlib.contextmanager
def byte_bars(*, shown: bool) -> Iterator[Any]:
    """Give a callback (file, bytes done, bytes in all) that shows one bar for each file on a terminal.

    Elsewhere it writes a line when a file begins.
    """
    current, bar = "", None

    def update(file: str, done: int, total: int) -> None:
        nonlocal current, bar
        if file != current:
            if bar is not None:
                bar.close()
            current, bar = file, _byte_bar(file, total)
        if bar is not None:
            bar.update(done - bar.n)

    try:
        yield update if shown else None
    finally:
        if bar is not None:
            bar.close()


def _byte_bar(file: str, total: int) -> Any:
    if not is_terminal(sys.stderr):
        note(f"fetching {file} ({total:,} bytes)")
        return None
    from tqdm import tqdm

    return tqdm(
        desc=file, total=total, unit="B", unit_scale=True, unit_divisor=1024, ascii=not speaks_unicode(sys.stderr)
    )
