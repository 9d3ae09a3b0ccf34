"""The `nnctl` command itself, and the one boundary at which every error becomes a message and an exit code."""

from __future__ import annotations

import gc
import glob
import importlib
import os
import signal
import sys
from typing import NoReturn

import click

from nnctl import __version__
from nnctl.cli import console, signals
from nnctl.cli.hints import hint_of
from nnctl.errors import ConfigError, NnctlError, StoppedError, StorageError

EXIT_INTERNAL = 1
EXIT_HUNG_UP = 129  # 128 + SIGHUP, which Windows does not have
EXIT_NO_READER = 141  # 128 + SIGPIPE, as if the system had stopped us

COMPLETE = "_NNCTL_COMPLETE"  # the variable by which click's scripts call nnctl

# objects to wait for: imports make none, and searching what they make takes a tenth of a short command
GARBAGE = 50_000

COMMANDS = {
    "train": "Train a network.",
    "eval": "Measure a trained network.",
    "predict": "Let a trained network read pictures.",
    "data": "Fetch, verify and export the datasets.",
    "config": "Show, check and start configurations.",
    "checkpoint": "Inspect and verify checkpoints.",
    "bench": "Measure how fast a network trains here.",
}


class Commands(click.Group):
    """The commands, each imported from the module of its name when it is asked for: no help waits for all of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Their names, those that are used most first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; raises NoSuchCommand, which names one that is nearly so called."""
        if cmd_name in COMMANDS:
            commands = vars(importlib.import_module(f"nnctl.cli.{cmd_name}")).values()
            return next(each for each in commands if isinstance(each, click.Command) and each.name == cmd_name)
        command = super().get_command(ctx, cmd_name)
        if command is None and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(cmd_name, possibilities=COMMANDS, ctx=ctx)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write what each is for."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="nnctl %(version)s")
def nnctl() -> None:
    """Train neural networks on MNIST, measure them, and let them read your own digits.

    \b
    Start here:
      nnctl train                          learn to read digits, in a few seconds
      nnctl data export test:7 digit.png   save a digit as a picture
      nnctl predict digit.png              let the network read it
    """


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(GARBAGE)
    _open_missing_streams()
    console.prepare()
    sys.exit(_run(_expanded(sys.argv[1:])))


def _expanded(arguments: list[str]) -> list[str]:
    """Put the files that match in the place of a pattern such as *.png: on Windows no shell does so."""
    if os.name != "nt":
        return arguments
    # Path.glob() takes no absolute pattern
    matches = ((word, sorted(glob.glob(word, recursive=True))) for word in arguments)  # noqa: PTH207
    return [name for word, names in matches for name in names or [word]]


def _run(arguments: list[str]) -> int:
    """Run one command; the only place that turns an exception into words and a number."""
    try:
        signals.leave_at_once()
        code = _called(arguments)
        signals.state.leaving = True
    except BaseException as error:
        signals.state.leaving = True  # first of all: a signal would raise out of here
        if "--debug" in arguments and not isinstance(error, click.exceptions.Exit | SystemExit):
            import traceback

            console.note("\n".join(map(console.printable, traceback.format_exc().rstrip().split("\n"))))
        if signals.received and isinstance(error, Exception) and not isinstance(error, NnctlError):
            error = SystemExit(128 + signals.received[0])  # of which a library has made something else
        code = _report(error)
    signals.ignore()
    return code


def _called(arguments: list[str]) -> int:
    """Call one command, and return the exit code if nothing goes wrong."""
    if instruction := os.environ.get(COMPLETE):
        return _completed(instruction)
    with nnctl.make_context("nnctl", arguments) as context:
        nnctl.invoke(context)
    return 0


def _completed(instruction: str) -> int:
    """Give a shell what it asks for: its script for completing command lines, or the words that may come next."""
    from click.shell_completion import shell_complete

    try:
        code = shell_complete(nnctl, {}, "nnctl", COMPLETE, instruction)
    except (LookupError, ValueError):
        raise ConfigError(
            f"{COMPLETE}={instruction}: COMP_WORDS and COMP_CWORD do not say what to complete",
            "leave it to the shell to set all three",
        ) from None
    if code:
        raise ConfigError(
            f"{COMPLETE}={instruction}: is not what a shell asks for",
            "set it to bash_source, zsh_source or fish_source",
        )
    return code


def _report(error: BaseException) -> int:
    """Say what went wrong on standard error, and return the exit code."""
    match error:
        case NnctlError():
            title = "" if isinstance(error, StoppedError) else "error"
            console.error(error.message, hint_of(error), error.details, title)
            return error.exit_code
        case click.exceptions.Exit():
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            console.note(error.format_message())
            return error.exit_code
        case click.ClickException():
            console.error(error.format_message(), _hint(error) if isinstance(error, click.UsageError) else "")
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            console.error("interrupted")
            return 128 + signal.SIGINT
        case SystemExit():
            console.error("hung up" if error.code == EXIT_HUNG_UP else "terminated")
            return error.code if isinstance(error.code, int) else EXIT_INTERNAL
        case BrokenPipeError():
            _discard_output()
            return EXIT_NO_READER
        case OSError():
            where = error.filename or "standard output"  # the one stream that the library has no name for
            return _report(StorageError.from_os_error(f"use {where}", error))
        case ImportError():
            cause = error.__cause__ or error  # NumPy writes a page of advice around it
            return _report(StorageError(f"cannot load a library: {cause}", "install nnctl again; is memory short?"))
        case RuntimeError() if str(error) == "can't start new thread":
            return _report(StorageError.no_thread())
        case MemoryError():
            return _report(StorageError("not enough memory", "choose a smaller network or batch"))
        case _:
            what = str(error).partition("\n")[0]
            console.error(
                f"internal error: {type(error).__name__}: {what}", "this is a bug in nnctl; --debug shows where"
            )
            return EXIT_INTERNAL


def _hint(error: click.UsageError) -> str:
    """Where to read on; or the key of the configuration that somebody took for an option, as in --epochs 3."""
    from nnctl.config import key_named

    option = error.option_name if isinstance(error, click.NoSuchOption) else ""
    key = key_named(option.lstrip("-").replace("-", "_"))
    path = error.ctx.command_path if error.ctx else "nnctl"
    return f"did you mean --set {key}=VALUE?" if key and path == "nnctl train" else f"see {path} --help"


def _open_missing_streams() -> None:
    """Give descriptors 0 to 2 something to point at, so that no data file is opened in their place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _discard_output() -> None:
    """Point standard output at nothing, so that what is left in its buffer fails no more."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)
