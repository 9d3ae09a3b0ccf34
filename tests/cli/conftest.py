"""The commands, called within the process of the test for speed, and a small trained network for them to use."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from tests.support.cli import Cli, Terminal, call
from tests.support.files import made_once
from tests.support.process import NNCTL

SMALL = (
    "--set=data.dataset=synthetic",
    "--set=data.train_limit=2000",
    "--set=data.validation=500",
    "--set=data.mix=0",
    "--set=network.hidden=[16]",
    "--set=train.epochs=2",
    "--set=judge=false",
    "--threads=1",
)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("train", "--quiet")` in an empty folder of the test."""
    monkeypatch.chdir(tmp_path)
    return call


@pytest.fixture(scope="session")
def small(drawn_dir: Path) -> tuple[object, ...]:
    """Arguments that make `train` fast."""
    return (*SMALL, "--data-dir", drawn_dir)


@pytest.fixture(scope="session")
def small_run(small: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two quick epochs, for reading only."""

    def train(folder: Path) -> None:
        trained = call("train", *small, "--run-dir", folder / "run", "--quiet")
        assert trained.code == 0, trained.err

    return made_once(tmp_path_factory, "small", train) / "run"


@pytest.fixture
def own_run(small_run: Path, tmp_path: Path) -> Path:
    """A copy of the small run, as the newest one in the folder of the test."""
    return Path(shutil.copytree(small_run, tmp_path / "runs" / "small"))


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """`terminal("train")` runs nnctl on a new terminal: exit code, and all that appeared there."""
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    import fcntl
    import struct
    import subprocess
    import termios

    def run(*arguments: object, **variables: str) -> tuple[int, str]:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        environment |= {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **variables}
        command = [*NNCTL, *map(str, arguments)]
        streams = {"stdin": follower, "stdout": follower, "stderr": follower}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, **streams) as process:
            os.close(follower)
            shown = b""
            with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
                while piece := os.read(leader, 65536):
                    shown += piece
        os.close(leader)
        return process.returncode, shown.decode()

    return run
