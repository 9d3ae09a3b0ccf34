"""Six commands under the conditions in which machines and people start them: each does its work, or says why not."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pty
import random
import re
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.faulty import SMALL, amount, needs_strace, on_linux
from tests.support.process import NNCTL, environment, run_nnctl
from tests.support.runs import info

pytestmark = on_linux

SEED = 7
LIMIT = 120  # seconds for one command

# A root that may override permissions would find nothing read-only.
UNPRIVILEGED = "setpriv --inh-caps=-all --bounding-set=-all" if os.geteuid() == 0 else ""
needs_permissions = pytest.mark.skipif(
    UNPRIVILEGED != "" and shutil.which("setpriv") is None, reason="is root without setpriv: no permission was refused"
)


def signalled(name: str) -> str:
    """What runs nnctl and sends it a signal while it imports the command: its handlers stand, no work has begun."""
    spec = importlib.util.find_spec("nnctl.cli.options")
    assert spec is not None
    assert spec.origin is not None
    files = (spec.origin, importlib.util.cache_from_source(spec.origin))
    return f"strace -o /dev/null -e inject=openat:signal={name}:when=1 " + " ".join(f"-P '{file}'" for file in files)


@dataclasses.dataclass(frozen=True)
class Condition:
    """How a shell starts nnctl.

    Attributes:
        setup: shell lines that come before.
        by: the program, with its options, that runs nnctl.
        streams: redirections.
        stem: what the names of all files begin with; given, inputs are reached by such names too.
        length: of each name in bytes; 0 leaves them as they are.
        spared: the end of a name for which all this does not hold.
        settings: for `train` alone.
        terminal: whether standard input, output and error are one.
        code: the exit code wherever the condition makes success impossible.
        fails: the commands of which that is true.
        says: what the error line must hold.
        marks: what the condition needs.
    """

    setup: str = ""
    by: str = ""
    streams: str = ""
    stem: str = ""
    length: int = 0
    spared: str = ""
    settings: tuple[str, ...] = ()
    terminal: bool = False
    code: int = 0
    fails: tuple[str, ...] = ()
    says: str = ""
    marks: tuple[pytest.MarkDecorator, ...] = ()


COMMANDS = ("train", "eval", "predict", "data export", "config check", "checkpoint verify")
WRITERS = ("train", "data export")

NO_TEXT = os.fsdecode(b"\xff\xfe ")
NO_READER = "exec 3> >(exit); wait $!"  # descriptor 3 is a pipe whose other end is closed
TO_NOBODY = ">&3 3>&-"

CONDITIONS = {
    # the environment
    "no HOME": Condition("unset HOME"),
    "an empty environment": Condition(by="env -i"),
    "the C locale": Condition("export LC_ALL=C"),
    "the POSIX locale and names beyond it": Condition("export LC_ALL=POSIX", stem="été 数字 "),
    "streams in ASCII": Condition("export PYTHONIOENCODING=ascii", stem="été 数字 "),
    "streams in Latin-1": Condition("export PYTHONIOENCODING=latin-1", stem="été 数字 "),
    "a dumb terminal": Condition("export TERM=dumb", terminal=True),
    "a terminal without colours": Condition("export TERM=xterm NO_COLOR=1", terminal=True),
    "a terminal of ten columns": Condition("export TERM=xterm COLUMNS=10; stty cols 10", terminal=True),
    "no folder for temporary files": Condition("export TMPDIR=/nowhere"),
    "a time zone that is none": Condition("export TZ=Nowhere/Never"),
    "another hash seed": Condition("export PYTHONHASHSEED=4294967295"),
    "warnings are errors": Condition("export PYTHONWARNINGS=error"),
    "Python drops assertions and docstrings": Condition("export PYTHONOPTIMIZE=2"),
    # streams
    "standard input closed": Condition(streams="<&-"),
    "standard output closed": Condition(streams=">&-"),
    "standard error closed": Condition(streams="2>&-"),
    "all streams closed": Condition(streams="<&- >&- 2>&-"),
    "standard output full": Condition(
        streams="> /dev/full", code=6, fails=COMMANDS, says="cannot use standard output: No space left on device"
    ),
    "standard output unread": Condition(NO_READER, streams=TO_NOBODY, code=141, fails=COMMANDS),
    "standard output unread, SIGPIPE ignored": Condition(
        f"trap '' PIPE; {NO_READER}", streams=TO_NOBODY, code=141, fails=COMMANDS
    ),
    "standard error full": Condition(streams="2> /dev/full"),
    "no terminal": Condition(by="setsid --wait", streams="< /dev/null"),
    # names
    "names of spaces, quotes and lines": Condition(stem="a \"b\" 'c'\n$d\t*"),
    "names that begin with a dash": Condition(stem="-x"),
    "names that are no text": Condition(stem=NO_TEXT, spared="data"),
    "a data folder whose name is no text": Condition(  # config.yaml would have to name it
        stem=NO_TEXT, code=2, fails=("train", "eval", "data export"), says="data.dir"
    ),
    "names of 255 bytes": Condition(stem="n", length=255),
    # the working directory
    "a read-only folder": Condition(
        "chmod 555 .", UNPRIVILEGED, code=6, fails=WRITERS, says=": Permission denied", marks=(needs_permissions,)
    ),
    "an unreadable folder": Condition(
        "chmod 000 .", UNPRIVILEGED, code=6, fails=WRITERS, says=": Permission denied", marks=(needs_permissions,)
    ),
    "a folder that is gone": Condition("rmdir ../here", code=6, fails=WRITERS, says=": No such file or directory"),
    # limits
    "few open files": Condition("ulimit -n 16"),
    "little memory": Condition(
        "ulimit -v 800000; export OPENBLAS_NUM_THREADS=1",  # each thread would take a share of it
        settings=("--set=network.hidden=[65536,4096]",),
        code=6,
        fails=("train",),
        says="not enough memory",
    ),
    "files for their owner alone": Condition("umask 077"),
    "files for everybody": Condition("umask 000"),
    "low priority": Condition(by="nice -n 19"),
    # signals
    "SIGINT before work begins": Condition(
        by=signalled("SIGINT"), code=130, fails=COMMANDS, says="interrupted", marks=(needs_strace,)
    ),
    "SIGTERM before work begins": Condition(
        by=signalled("SIGTERM"), code=143, fails=COMMANDS, says="terminated", marks=(needs_strace,)
    ),
    "SIGHUP before work begins": Condition(
        by=signalled("SIGHUP"), code=129, fails=COMMANDS, says="hung up", marks=(needs_strace,)
    ),
    "SIGHUP ignored": Condition("trap '' HUP", by=signalled("SIGHUP"), marks=(needs_strace,)),
}

CASES = [(name, command) for name in CONDITIONS for command in COMMANDS]
CHOSEN = random.Random(SEED).sample(CASES, amount(8, len(CASES)))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, drawn_dir: Path) -> dict[str, Path]:
    """What the commands read, by the end of its name: data, a configuration, a run and a picture."""
    folder = tmp_path_factory.mktemp("inputs")
    data = ("--data-dir", drawn_dir)
    for command in (
        ("train", *SMALL, *data, "--run-dir", "run"),
        ("data", "export", "test:7", "digit.png", "--dataset=synthetic", *data),
    ):
        done = run_nnctl(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    run = folder / "run"
    return {"data": drawn_dir, ".yaml": run / "config.yaml", "run": run, ".png": folder / "digit.png"}


def test_conditions_are_as_many_as_promised() -> None:
    assert len(CONDITIONS) >= 30
    assert len(CASES) == 6 * len(CONDITIONS)


@pytest.mark.parametrize(
    ("name", "command"),
    [pytest.param(name, command, marks=CONDITIONS[name].marks, id=f"{name}-{command}") for name, command in CHOSEN],
)
def test_command_works_or_says_why_not(name: str, command: str, inputs: dict[str, Path], tmp_path: Path) -> None:
    condition = CONDITIONS[name]
    here = tmp_path / "here"
    here.mkdir()
    made = [here / named(condition, end) for end in ("made", "made.png")]
    read: dict[str, Path | str] = dict(inputs)
    if condition.stem:
        for end, path in inputs.items():
            (here / named(condition, end)).symlink_to(path)
        read = {end: path if end == condition.spared else named(condition, end) for end, path in inputs.items()}

    done = started(condition, words(command, condition, read), here)
    if here.exists():
        here.chmod(0o700)

    case = f"{command} with {name}: {done}"
    code = condition.code if command in condition.fails else 0
    assert (done.returncode if done.returncode >= 0 else 128 - done.returncode) == code, case
    assert "Traceback" not in done.stdout + done.stderr, case
    assert not list(tmp_path.rglob(".nnctl-*")), case
    if "2>" not in condition.streams:
        assert_fitting(done.stderr, code, condition.says, case)
    if not condition.streams and not condition.terminal and code == 0:
        assert done.stdout, case
    if command == "train":
        # a result that nobody can read is no reason to lose the run
        whole = code in (0, 141) or bool(condition.streams)
        assert (made[0] / "checkpoints" / "last.npz").exists() == whole, case
        if code == 0:
            assert info(made[0])["status"] == "finished", case
    if command == "data export":
        assert made[1].exists() == (code in (0, 141) or bool(condition.streams)), case
    if condition.terminal:
        assert "\x1b[" not in done.stdout or "columns" in name, case
    if mask := re.search(r"umask (\d+)", condition.setup):
        assert_masked(here, int(mask[1], base=8), case)


def named(condition: Condition, end: str) -> str:
    """The name of a file under a condition, given how it ends."""
    return condition.stem.ljust(condition.length - len(end), condition.stem[-1:] or "_") + end


def words(command: str, condition: Condition, read: dict[str, Path | str]) -> list[str]:
    """The command line: what it reads, and what it makes in the working directory."""
    made, picture = named(condition, "made"), named(condition, "made.png")
    data = ("--data-dir", read["data"])
    return [
        *command.split(),
        *map(
            str,
            {
                "train": (*data, *condition.settings, "--offline", "--run-dir", made, "--", read[".yaml"]),
                "eval": (*data, "--offline", "--", read["run"]),
                "predict": ("--checkpoint", read["run"], "--", read[".png"]),
                "data export": (*data, "--offline", "--dataset=synthetic", "--", "test:7", picture),
                "config check": ("--", read[".yaml"]),
                "checkpoint verify": ("--", read["run"]),
            }[command],
        ),
    ]


def started(condition: Condition, arguments: list[str], here: Path) -> subprocess.CompletedProcess[str]:
    """Let a shell start nnctl under a condition; a terminal shows standard output and standard error as one."""
    script = f'{condition.setup}\nexec {condition.by} "$@" {condition.streams}'
    command = ["bash", "-c", script, "bash", *NNCTL, *arguments]
    if condition.terminal:
        return on_terminal(command, here)
    return subprocess.run(
        command,
        cwd=here,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=LIMIT,
        check=False,
    )


def on_terminal(command: list[str], here: Path) -> subprocess.CompletedProcess[str]:
    """Run a command on a new terminal; what that shows is given as standard output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=here, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while select.select([ours], [], [], LIMIT)[0]:
            shown += os.read(ours, 65536)
    except OSError:
        pass  # Linux reports so that the other end is closed
    finally:
        os.close(ours)
        if process.poll() is None:
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    return subprocess.CompletedProcess(command, process.returncode, shown.decode(errors="replace"), "")


def assert_fitting(stderr: str, code: int, says: str, case: str) -> None:
    """Standard error has what the exit code calls for, once, and nothing that contradicts it."""
    errors = [line for line in stderr.splitlines() if line.startswith("nnctl: error: ")]
    hints = [line for line in stderr.splitlines() if line.startswith("hint: ")]
    assert len(errors) == (code not in (0, 141)), case
    assert len(hints) == (0 < code < 128), case
    assert all(says in line for line in errors), case
    assert all(("standard output" in line) == ("standard output" in says) for line in errors), case
    assert "internal error" not in stderr, case


def assert_masked(here: Path, mask: int, case: str) -> None:
    """Every file that was made has the permissions that the mask leaves it, neither more nor less."""
    for path in here.rglob("*"):
        expected = (0o777 if path.is_dir() else 0o666) & ~mask
        assert path.stat().st_mode & 0o777 == expected, f"{path}: {case}"


@pytest.mark.parametrize(("setting", "coloured"), [("", True), ("NO_COLOR=1", False), ("TERM=dumb", False)])
def test_predict_shows_colours_on_a_terminal_unless_asked_not_to(
    setting: str, coloured: bool, inputs: dict[str, Path], tmp_path: Path
) -> None:
    condition = Condition(f"unset NO_COLOR; export TERM=xterm {setting}", terminal=True)
    done = started(condition, words("predict", condition, dict(inputs)), tmp_path)
    assert done.returncode == 0, done
    assert ("\x1b[1m" in done.stdout) == coloured, done
