"""Places that refuse to be written to: a full disk, a limit on files, a read-only folder, a read-only disk.

Each command says so in one line with a hint, leaves what was there before, and goes on once it can.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.faults.faulty import SMALL, amount, digests, on_linux
from tests.support.files import contents
from tests.support.process import run_nnctl
from tests.support.runs import info

pytestmark = on_linux

TRAIN = ("train", *SMALL, "--set=schedule=constant", "--set=train.keep=99")
DISK = 12 * 2**20  # bytes: room for the largest file, which is the training images
PICTURE = b"\x89PNG\r\n\x1a\n"
OLD = b"old"

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Given:
    """What all tests begin with: data, a mirror, a picture, a run of one epoch and its digests after three."""

    data: Path
    mirror: str
    digit: Path
    run: Path
    digests: frozenset[str]
    final: str


@dataclass(frozen=True)
class Task:
    """A command that writes.

    Attributes:
        prepare: put into a folder what is there before.
        arguments: of nnctl, to write to that folder.
        done: raise AssertionError unless that has been done now.
        room: bytes left on the full disk.
        limit: bytes that a file may have.
        code: the exit code once it can write.
    """

    prepare: Callable[[Path, Given], None]
    arguments: Callable[[Path, Given], Sequence[object]]
    done: Callable[[Path, Given, subprocess.CompletedProcess[str]], None]
    room: int = 0
    limit: int = 0
    code: int = 0


def keep_old(name: str) -> Callable[[Path, Given], None]:
    def prepare(place: Path, _: Given) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(OLD)

    return prepare


def begin_a_run(place: Path, given: Given) -> None:
    shutil.copytree(given.run, place / "run")


def has_trained(place: Path, given: Given, _: subprocess.CompletedProcess[str]) -> None:
    run = info(place / "run")
    assert (run["status"], run["digest"]) == ("finished", given.final)


def has_picture(name: str) -> Callable[[Path, Given, subprocess.CompletedProcess[str]], None]:
    def done(place: Path, _: Given, __: subprocess.CompletedProcess[str]) -> None:
        assert (place / name).read_bytes().startswith(PICTURE)

    return done


def has_configuration(place: Path, _: Given, __: subprocess.CompletedProcess[str]) -> None:
    assert (place / "my.yaml").read_text() == run_nnctl("config", "init", cwd=Path("/")).stdout


def has_fetched(_: Path, given: Given, done: subprocess.CompletedProcess[str]) -> None:
    # the file came in whole, and only then could it be told from the published one
    assert f"{given.mirror}: sent other bytes than the published ones" in done.stderr, done.stderr


TASKS = {
    "train": Task(
        begin_a_run,
        lambda place, given: (*TRAIN, "--resume", f"--run-dir={place}/run", f"--data-dir={given.data}"),
        has_trained,
        room=150_000,  # for two checkpoints more
        limit=30_000,  # for all but a checkpoint
    ),
    "data fetch": Task(
        keep_old("mnist/train-images-idx3-ubyte.gz"),
        lambda place, given: ("data", "fetch", "--quiet", f"--mirror={given.mirror}", f"--data-dir={place}"),
        has_fetched,
        room=300_000,
        limit=300_000,
        code=3,
    ),
    "data export": Task(
        keep_old("digit.png"),
        lambda place, given: (
            *("data", "export", "test:7", place / "digit.png", "--dataset=synthetic", "--force"),
            *(f"--data-dir={given.data}", "--offline", "--quiet"),
        ),
        has_picture("digit.png"),
    ),
    "config init": Task(
        keep_old("my.yaml"),
        lambda place, _: ("config", "init", "--force", place / "my.yaml"),
        has_configuration,
    ),
    "predict": Task(
        keep_old("seen/digit-28x28.png"),
        lambda place, given: (
            *("predict", given.digit, f"--checkpoint={given.run}", f"--save-preprocessed={place}/seen"),
        ),
        has_picture("seen/digit-28x28.png"),
    ),
}


@pytest.fixture(scope="module")
def trained(drawn_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """A run of one epoch, the same of three, and a picture."""
    folder = tmp_path_factory.mktemp("trained")

    def nnctl(*arguments: object) -> str:
        done = run_nnctl(*arguments, f"--data-dir={drawn_dir}", cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    nnctl(*TRAIN, "--run-dir=begun", "--set=train.epochs=1")
    result = json.loads(nnctl(*TRAIN, "--run-dir=whole", "--json"))
    nnctl("data", "export", "test:3", "digit.png", "--dataset=synthetic", "--offline", "--quiet")
    begun, whole = digests(folder / "begun", folder / "whole")
    known = frozenset(begun.values()) | frozenset(whole.values())
    return Given(drawn_dir, "", folder / "digit.png", folder / "begun", known, result["digest"])


@pytest.fixture
def given(trained: Given, httpserver: HTTPServer) -> Given:
    """All that, and a mirror whose file is as long as the published one."""
    content = bytes(9_912_422)
    httpserver.expect_request("/train-images-idx3-ubyte.gz").respond_with_data(content)
    mirror = httpserver.url_for("/").rstrip("/")
    return Given(trained.data, mirror, trained.digit, trained.run, trained.digests, trained.final)


@dataclass
class Place:
    """A folder that may refuse to be written to.

    Attributes:
        path: what it is called where nnctl runs.
        seen: what it is called here.
        prefix: the words before a command that make it run there.
        refusing: a context in which it refuses; gives more words to put before a command.
    """

    path: Path
    seen: Path
    prefix: tuple[str, ...]
    refusing: Callable[[Task], AbstractContextManager[tuple[str, ...]]]

    def run(self, arguments: Sequence[object], more: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run nnctl there, where no mirror but this machine's own can be reached."""
        nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
        variables = nowhere | {name.upper(): value for name, value in nowhere.items()}
        return run_nnctl(*arguments, cwd=Path("/"), behind=[*self.prefix, *more], **variables)


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}, of util-linux: this way of refusing to write was not tried")


@contextmanager
def own_disk(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A small disk that only commands behind the given words know as `folder`; gives its name for all others."""
    need("unshare", "nsenter", "mount")
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk: no full or read-only disk was tried")
    script = f'mount -t tmpfs -o size={DISK} tmpfs "$0" && echo mounted && read -r _'
    command = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    with holder:
        if holder.stdout is None or holder.stdout.readline() != "mounted\n":
            said = holder.communicate()[1]
            pytest.skip(f"cannot mount a disk, no full or read-only one was tried: {said.strip()}")
        try:
            inside = f"/proc/{holder.pid}"
            yield Path(f"{inside}/root{folder}"), ("nsenter", f"--mount={inside}/ns/mnt", "--")
        finally:
            holder.communicate("\n")


@contextmanager
def full_disk(folder: Path) -> Iterator[Place]:
    with own_disk(folder) as (seen, prefix):

        @contextmanager
        def refusing(task: Task) -> Iterator[tuple[str, ...]]:
            free = os.statvfs(seen).f_bavail * os.statvfs(seen).f_frsize
            with (seen / "filler").open("wb") as filler:
                os.posix_fallocate(filler.fileno(), 0, free - task.room)
            yield ()
            (seen / "filler").unlink()

        yield Place(folder, seen, prefix, refusing)


@contextmanager
def read_only_disk(folder: Path) -> Iterator[Place]:
    with own_disk(folder) as (seen, prefix):

        @contextmanager
        def refusing(_: Task) -> Iterator[tuple[str, ...]]:
            subprocess.run([*prefix, "mount", "-o", "remount,ro", str(folder)], check=True)
            yield ()
            subprocess.run([*prefix, "mount", "-o", "remount,rw", str(folder)], check=True)

        yield Place(folder, seen, prefix, refusing)


@contextmanager
def limited_files(folder: Path) -> Iterator[Place]:
    need("prlimit")
    yield Place(folder, folder, (), lambda task: nullcontext(("prlimit", f"--fsize={task.limit}", "--")))


@contextmanager
def read_only_folder(folder: Path) -> Iterator[Place]:
    unprivileged: tuple[str, ...] = ()
    if os.geteuid() == 0:  # who may write everywhere; a process without capabilities may not
        need("setpriv")
        unprivileged = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--")

    @contextmanager
    def refusing(_: Task) -> Iterator[tuple[str, ...]]:
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        yield unprivileged
        for path in folders:
            path.chmod(0o755)

    yield Place(folder, folder, (), refusing)


PLACES = {
    "full disk": (full_disk, "No space left on device"),
    "limited files": (limited_files, "File too large"),
    "read-only folder": (read_only_folder, "Permission denied"),
    "read-only disk": (read_only_disk, "Read-only file system"),
}
CASES = [
    ("train", "full disk"),
    ("data fetch", "full disk"),
    ("data export", "limited files"),
    ("config init", "read-only folder"),
    ("predict", "read-only disk"),
    ("train", "read-only folder"),
]
CASES += [case for case in ((task, place) for task in TASKS for place in PLACES) if case not in CASES]


def filled(place: Path) -> dict[str, bytes]:
    """All files but those that hold nothing, such as locks, and the one that fills the disk."""
    return {path: data for path, data in contents(place).items() if data and path != "filler"}


@pytest.mark.parametrize(("task_name", "place_name"), CASES[: amount(3, len(CASES))])
def test_commands_report_a_refused_write_lose_nothing_and_go_on_later(
    task_name: str, place_name: str, given: Given, tmp_path: Path
) -> None:
    task, (refusing_place, reason) = TASKS[task_name], PLACES[place_name]
    folder = tmp_path / "place"
    folder.mkdir()
    with refusing_place(folder) as place:
        task.prepare(place.seen, given)
        before = filled(place.seen)
        arguments = task.arguments(place.path, given)
        with place.refusing(task) as words:
            refused = place.run(arguments, words)
            after = filled(place.seen)
            (saved,) = digests(place.seen / "run")
        assert re.fullmatch(rf"nnctl: error: .+: {reason}\nhint: .+\n", refused.stderr), refused.stderr
        assert (refused.returncode, refused.stdout) == (6, "")
        assert not [path for path in after if Path(path).name.startswith(".nnctl-")]
        if task_name == "train":  # as long as there is space it does save
            assert {"best.npz", "last.npz"} < saved.keys()
            assert set(saved.values()) <= given.digests
        else:
            assert after == before
        again = place.run(arguments)
        assert again.returncode == task.code, again.stderr
        task.done(place.seen, given, again)
