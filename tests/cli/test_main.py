"""The command line as a whole: help, streams, exit codes, and the boundary where errors become messages."""

import importlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from nnctl import __version__
from nnctl.cli import console
from nnctl.cli import nnctl as root
from tests.support.cli import Cli, Terminal, commands
from tests.support.process import NNCTL, Nnctl

on_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and shells")


COMMANDS = dict(commands(root))
EXAMPLES = [
    line.strip()
    for command in COMMANDS.values()
    for line in (command.epilog or "").partition("Examples:")[2].splitlines()
    if line.strip()
]


def parse(arguments: list[str]) -> None:
    """Parse a command line as far as the call of its command."""
    context = root.make_context("nnctl", arguments)
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)


# Help


def test_commands_are_listed_in_this_order() -> None:
    assert root.list_commands(click.Context(root)) == [
        "train",
        "eval",
        "predict",
        "data",
        "config",
        "checkpoint",
        "bench",
    ]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_of_every_command_ends_with_an_example_of_it(path: tuple[str, ...], cli: Cli) -> None:
    code, out, err = cli(*path, "--help")
    assert (code, err) == (0, "")
    assert f"nnctl {' '.join(path)}" in out.partition("Examples:")[2]


@pytest.mark.parametrize("example", EXAMPLES)
def test_help_examples_all_parse(example: str) -> None:
    words = shlex.split(example)
    redirects = [place for place, word in enumerate(words) if word in ("<", ">", "|")]
    assert words[0] == "nnctl"
    parse(words[1 : min(redirects, default=None)])


def test_help_and_version_go_to_standard_output(cli: Cli) -> None:
    assert cli("-h") == cli("--help")
    assert "Start here" in cli("--help")[1]
    assert cli("--version") == (0, f"nnctl {__version__}\n", "")


@pytest.mark.parametrize("group", ["", "data", "config", "checkpoint"])
def test_group_alone_shows_its_commands_and_is_an_error_in_a_script(group: str, cli: Cli) -> None:
    code, out, err = cli(*group.split())
    assert (code, out) == (2, "")
    assert err.startswith("Usage: nnctl")
    assert "Commands:" in err


def test_completion_offers_commands(nnctl: Nnctl) -> None:
    completed = nnctl(_NNCTL_COMPLETE="bash_complete", COMP_WORDS="nnctl tr", COMP_CWORD="1")
    assert (completed.returncode, completed.stdout.split(), completed.stderr) == (0, ["plain,train"], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_gives_each_shell_its_script(shell: str, nnctl: Nnctl) -> None:
    script = nnctl(_NNCTL_COMPLETE=f"{shell}_source")
    assert (script.returncode, script.stderr) == (0, "")
    assert f"_NNCTL_COMPLETE={shell}_complete" in script.stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"_NNCTL_COMPLETE": "tcsh_source"},
        {"_NNCTL_COMPLETE": "bash"},
        {"_NNCTL_COMPLETE": "bash_complete"},
        {"_NNCTL_COMPLETE": "bash_complete", "COMP_WORDS": "nnctl tr"},
        {"_NNCTL_COMPLETE": "zsh_complete", "COMP_WORDS": "nnctl tr", "COMP_CWORD": "one"},
        {"_NNCTL_COMPLETE": "fish_complete", "COMP_WORDS": "nnctl tr", "COMP_CWORD": " "},
    ],
    ids=str,
)
def test_completion_refuses_what_no_shell_asks_for_in_one_line(variables: dict[str, str], nnctl: Nnctl) -> None:
    refused = nnctl(**variables)
    assert (refused.returncode, refused.stdout) == (2, "")
    first, second = refused.stderr.splitlines()
    assert first.startswith(f"nnctl: error: _NNCTL_COMPLETE={variables['_NNCTL_COMPLETE']}: ")
    assert second.startswith("hint: ")


def test_completion_is_off_when_its_variable_is_empty(nnctl: Nnctl) -> None:
    refused = nnctl("trian", _NNCTL_COMPLETE="")
    assert refused.returncode == 2
    assert refused.stderr.startswith("nnctl: error: ")


# Errors


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [("trian", "train"), ("data fech", "fetch"), ("train --rsume", "--resume"), ("eval --splt test", "--split")],
)
def test_usage_error_suggests_the_nearest_word(arguments: str, suggestion: str, cli: Cli) -> None:
    code, out, err = cli(*arguments.split())
    assert (code, out) == (2, "")
    assert err.startswith("nnctl: error: ")
    assert f"'{suggestion}'" in err
    assert err.splitlines()[-1].startswith("hint: see nnctl")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--run-dir", ""),
        ("train", "--data-dir", ""),
        ("train", ""),
        ("eval", ""),
        ("predict", ""),
        ("predict", "digit.png", "--save-preprocessed", ""),
        ("data", "export", "test:7", ""),
        ("config", "init", ""),
    ],
    ids=" ".join,
)
def test_empty_path_is_refused_and_is_not_the_current_folder(
    arguments: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert "a path cannot be empty" in err
    assert not list(tmp_path.iterdir())


def test_internal_error_says_that_it_is_a_bug(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake\nof two lines")

    monkeypatch.setattr("nnctl.config.schema", broken)
    assert cli("config", "schema") == (
        1,
        "",
        "nnctl: error: internal error: ZeroDivisionError: a mistake\n"
        "hint: this is a bug in nnctl; --debug shows where\n",
    )


def test_interruption_is_no_bug_whatever_a_library_makes_of_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise ValueError("cannot build a validator")

    monkeypatch.setattr("nnctl.config.schema", interrupted)
    monkeypatch.setattr("nnctl.cli.signals.received", [2])
    assert cli("config", "schema") == (130, "", "nnctl: error: terminated\n")


def test_debug_shows_the_traceback_and_then_the_message(cli: Cli) -> None:
    code, _, err = cli("train", "--set", "nonsense", "--debug")
    assert code == 2
    assert err.startswith("Traceback (most recent call last):")
    assert "ConfigError" in err
    assert err.splitlines()[-2].startswith("nnctl: error: --set")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 6, "not enough memory"),
        (ImportError("libopenblas.so: cannot allocate memory"), 6, "cannot load a library: libopenblas.so: cannot"),
        (PermissionError(13, "Permission denied", "some/file"), 6, "some/file: Permission denied"),
    ],
)
def test_errors_that_can_happen_anywhere_have_exit_codes(
    error: BaseException, code: int, words: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("nnctl.config.schema", failing)
    answer = cli("config", "schema")
    assert answer[:2] == (code, "")
    assert words in answer[2]
    assert "Traceback" not in answer[2]


def test_messages_cannot_control_the_terminal(cli: Cli) -> None:
    code, _, err = cli("eval", "red\x1b[31m")
    assert code == 4
    assert "red\\x1b[31m: no such file" in err


ODD = "red\x1b[31m\a '\"\\ $d\u202e\n\t-é\udcff"


@on_posix
@pytest.mark.parametrize("command", ["train", "debug", "eval", "predict", "checkpoint", "config", "data"])
def test_file_names_cannot_control_the_terminal(
    command: str, cli: Cli, small_run: Path, small: tuple[object, ...], drawn_dir: Path
) -> None:
    run, data = Path(ODD), Path(ODD.removesuffix("\udcff") + " data")  # the configuration names the data folder
    data.symlink_to(drawn_dir)
    run.symlink_to(small_run)
    yaml, png, new = Path(f"{ODD}.yaml"), Path(f"{ODD}.png"), Path(f"{ODD} new")
    exported = cli("data", "export", "test:7", png, "--dataset=synthetic", "--data-dir", data)
    made = cli("config", "init", yaml)
    answers = {
        "train": lambda: [cli("train", *small, "--data-dir", data, "--run-dir", new)],
        "debug": lambda: [cli("train", *small, "--run-dir", png, "--debug"), cli("eval", yaml, "--debug")],
        "eval": lambda: [cli("eval", run, "--data-dir", data)],
        "predict": lambda: [cli("predict", png, yaml, "--checkpoint", run)],
        "checkpoint": lambda: [cli("checkpoint", word, run) for word in ("info", "verify", "digest")],
        "config": lambda: [made, cli("config", "check", yaml), cli("config", "show", yaml, "--origin")],
        "data": lambda: [
            exported,
            *(cli("data", word, "synthetic", "--data-dir", data) for word in ("fetch", "verify")),
        ],
    }
    for code, out, err in answers[command]():
        assert code == 0 or command in ("debug", "predict"), err
        assert "red" in out + err
        assert all(character.isprintable() or character == "\n" for character in out + err)
    if command == "config":
        assert not [line for line in out.splitlines() if line.startswith(("\t", "-"))]


@on_posix
@pytest.mark.parametrize("shell", ["bash", "zsh", "ksh"])
def test_command_line_gives_a_shell_the_same_words(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    words = ["a", "", "two words", ODD, ODD + "7", "\1234", "\udcff", "\\n", "-x", "*", "~"]
    line = console.command_line(["printf", "%s\\0", *words])
    assert line.isprintable()
    done = subprocess.run([shell, "-c", line], capture_output=True, check=True)
    assert done.stdout == b"".join(os.fsencode(word) + b"\0" for word in words)


def probed(probe: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", probe, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


NO_THREADS = (
    "ulimit -s 1000000000 && ulimit -v 3000000 || exit 77"  # the stack of one thread would need more than all memory
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("data fetch --mirror http://127.0.0.1:9/", 6),
        ("train --set data.dataset=mnist", 6),
        ("train --threads 2 --offline", 6),
        ("data verify", 3),
        ("checkpoint verify nothing.npz", 4),
        ("config show", 0),
    ],
)
def test_commands_report_a_system_without_threads_as_no_bug(command: str, code: int, tmp_path: Path) -> None:
    script = f"{NO_THREADS}; exec {shlex.quote(sys.executable)} -m nnctl {command}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("the limits of this shell are fixed")
    assert done.returncode == code, done.stderr
    assert "OpenBLAS" not in done.stderr
    if code == 6:
        assert done.stderr.startswith("nnctl: error: cannot start a thread\nhint: ")


SIGNALLED_TO_THE_END = """
import atexit, signal, threading
from nnctl.cli import console, main

def all_of_them():
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.raise_signal(getattr(signal, name))

def noted(text, note=console.note):
    all_of_them()
    note(text)
    all_of_them()

console.note = noted
threading._register_atexit(all_of_them)
atexit.register(all_of_them)
main()
"""


@on_posix
def test_signals_do_not_change_a_settled_exit_code(tmp_path: Path) -> None:
    done = probed(SIGNALLED_TO_THE_END, "config", "check", "nothing.yaml", cwd=tmp_path)
    assert done.stderr.splitlines()[0] == "nnctl: error: nothing.yaml: no such file"
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 2)


SIGNALLED_IN_A_CALLBACK = """
import signal, time, weakref
from nnctl.cli import main, nnctl

class Thing:
    pass

@nnctl.command()
def probe():
    thing = Thing()
    watch = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    del thing
    time.sleep(20)

main()
"""


@on_posix
def test_signals_that_python_drops_in_a_callback_are_not_lost(tmp_path: Path) -> None:
    done = probed(SIGNALLED_IN_A_CALLBACK, "probe", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "nnctl: error: terminated\n")


@on_posix
@pytest.mark.parametrize("times", [1, 40])
@pytest.mark.parametrize(
    ("name", "word"), [("SIGINT", "interrupted"), ("SIGTERM", "terminated"), ("SIGHUP", "hung up")]
)
def test_signals_leave_nothing_half_written(name: str, word: str, times: int, tmp_path: Path) -> None:
    number = signal.Signals[name]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        command = [*NNCTL, "data", "fetch", "--mirror", mirror]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            silent.settimeout(60)
            connection, _ = silent.accept()  # by now the file is open to be written
            for _ in range(times):
                process.send_signal(number)
                time.sleep(0.002)
            out, err = process.communicate()
            connection.close()
    assert (process.returncode, out, err) == (128 + number, b"", f"nnctl: error: {word}\n".encode())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


HUNG_UP = """
import signal
from nnctl.cli import console, main, nnctl

@nnctl.command()
def probe():
    signal.raise_signal(signal.SIGHUP)
    console.result("went on")

main()
"""


@on_posix
def test_signals_that_nohup_ignores_stay_ignored(tmp_path: Path) -> None:
    script = f"trap '' HUP; exec {shlex.quote(sys.executable)} -c {shlex.quote(HUNG_UP)} probe"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


# Windows


@pytest.mark.parametrize(("system", "expanded"), [("posix", False), ("nt", True)])
def test_main_expands_patterns_on_windows_only(
    system: str, expanded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png", "c.jpg", "deep/er/d.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    words = ["predict", "*.png", f"{tmp_path}/c.*", "deep/**/*.png", "none-*.png", "--set=network.hidden=[16]", "-"]
    files = ["a.png", "b.png", f"{tmp_path}/c.jpg", "deep/er/d.png"]
    received: list[str] = []
    module = importlib.import_module("nnctl.cli.main")
    monkeypatch.setattr(module, "_run", received.extend)
    monkeypatch.setattr(module, "signal", SimpleNamespace(SIGTERM=0, signal=lambda *_: None))
    monkeypatch.setattr(sys, "argv", ["nnctl", *words])
    with monkeypatch.context() as patch:  # no longer than needed: pathlib asks for the system as well
        patch.setattr(os, "name", system)
        with pytest.raises(SystemExit):
            module.main()
    expected = [words[0], *files, *words[4:]] if expanded else words
    assert list(map(Path, received)) == list(map(Path, expected))


# Streams


@on_posix
@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        pytest.param(
            "> /dev/full",
            6,
            "nnctl: error: cannot use standard output: No space left on device\n"
            "hint: check the path, its permissions and the free space\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full"),
        ),
    ],
)
def test_output_that_is_gone_closed_or_full_has_its_exit_code(
    redirection: str, code: int, message: str, tmp_path: Path
) -> None:
    # a schema of 10 kB, printed twice, fits no buffer that would hide the missing reader
    script = f"{shlex.quote(sys.executable)} -m nnctl config schema {redirection}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, message)


PROBE = """
import os
from nnctl.cli import main, nnctl

@nnctl.command()
def probe():
    descriptor = os.open("probe", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, str(descriptor).encode())

main()
"""


@on_posix
def test_closed_streams_are_not_replaced_by_a_file(tmp_path: Path) -> None:
    script = f"{shlex.quote(sys.executable)} -c {shlex.quote(PROBE)} probe <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False).returncode == 0
    assert int((tmp_path / "probe").read_text()) > 2


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("utf-8", 'dir: "Zähler Ω"'), ("latin-1", 'dir: "Zähler \\u03a9"'), ("ascii", 'dir: "')],
)
def test_streams_escape_characters_beyond_their_encoding(encoding: str, written: str, tmp_path: Path) -> None:
    command = [*NNCTL, "config", "show", "--set", "data.dir=Zähler Ω"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert written.encode(encoding) in done.stdout


@on_posix
def test_environment_may_be_empty(tmp_path: Path) -> None:
    command = [*NNCTL, "config", "show"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("seed: 0")


@pytest.mark.parametrize(
    ("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
def test_colours_are_only_for_terminals_that_allow_them(
    variables: dict[str, str], coloured: bool, terminal: Terminal, nnctl: Nnctl
) -> None:
    code, shown = terminal("train", "--set", "nonsense", **variables)
    assert code == 2
    assert ("\x1b[31m" in shown) == coloured
    assert "\x1b" not in nnctl("train", "--set", "nonsense", **variables).stderr


@pytest.mark.parametrize(
    ("option", "key"),
    [("--epochs", "train.epochs"), ("--lr", "optimizer.learning_rate"), ("--batch-size", "train.batch_size")],
)
def test_unknown_option_that_is_a_key_suggests_set(cli: Cli, option: str, key: str) -> None:
    code, out, err = cli("train", option, "3")
    assert (code, out) == (2, "")
    assert err.endswith(f"hint: did you mean --set {key}=VALUE?\n")


def test_unknown_option_points_to_the_help(cli: Cli) -> None:
    assert cli("train", "--zzz", "3")[2].endswith("hint: see nnctl train --help\n")
