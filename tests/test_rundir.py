"""Run directories: one process at a time, no run overwritten, the newest one found."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest

from nnctl import rundir
from nnctl.errors import CheckpointError, ConfigError, RunInUseError, StorageError
from nnctl.rundir import RunDir

HOLD = """
import sys, time
from pathlib import Path
from nnctl.rundir import RunDir
with RunDir(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "run")
    with run:
        pass  # creates the folders
    return run


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def saved(name: str, *, at: float, kind: str = "last") -> RunDir:
    """A run in runs/ with a checkpoint saved at a time in seconds."""
    run = RunDir(Path("runs") / name)
    run.last.parent.mkdir(parents=True, exist_ok=True)
    path = run.last if kind == "last" else run.best
    path.write_bytes(b"")
    os.utime(path, (at, at))
    return run


def write_lines(run: RunDir, *lines: bytes) -> None:
    run.metrics.write_bytes(b"".join(lines))


def line(epoch: int, **more: object) -> bytes:
    return json.dumps({"epoch": epoch, **more}).encode() + b"\n"


def test_entering_creates_the_folders(tmp_path):
    with RunDir(tmp_path / "a" / "run") as run:
        assert run.last.parent.is_dir()
        assert not run.used


def test_a_run_in_use_is_refused_at_once_and_free_when_its_holder_is_killed(run, monkeypatch):
    with held_by_another_process(run.path) as holder:
        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
            with pytest.raises(RunInUseError) as caught, run:
                pytest.fail("two processes in one run directory")
        assert caught.value.message == f"{run.path}: another process is training here"
        assert caught.value.exit_code == 8
        holder.kill()
        holder.wait()
        with run:
            assert not run.used


def test_only_what_nnctl_has_named_is_kept_and_removed_and_the_oldest_by_number(run):
    folder = run.last.parent
    foreign = ["step-final.npz", "step-1000.npz", "step-000000001 copy.npz"]
    for name in (*foreign, "step-999999998.npz", "step-999999999.npz", "step-1000000000.npz"):
        (folder / name).write_bytes(b"")
    run.remove_older(3)
    assert {path.name for path in folder.iterdir()} == {*foreign, "step-999999999.npz", "step-1000000000.npz"}
    assert run.used
    run.remove_older(1)
    assert {path.name for path in folder.iterdir()} == {*foreign}
    assert not run.used


def test_a_run_json_that_nobody_could_have_written_is_no_run_json(run):
    for text in ("[" * 200_000, "5", "{"):
        run.info.write_text(text)
        assert run.read_info() == {}
        run.metrics.write_text(text + "\n")
        run.rewind_metrics([{"epoch": 1}])
        assert run.metrics.read_text() == '{"epoch": 1}\n'


def test_a_lock_is_given_back_at_the_end_even_after_an_error(run):
    with pytest.raises(ValueError, match="a bug"), run:
        raise ValueError("a bug")
    with RunDir(run.path):
        pass


def test_within_one_process_a_run_is_held_once_too(run):
    with run, pytest.raises(RunInUseError), RunDir(run.path):
        pytest.fail("held twice")


def test_the_temporary_files_of_a_killed_process_are_swept_while_holding_the_lock(run):
    leftovers = [run.path / ".nnctl-0123.tmp", run.last.parent / ".nnctl-4567.tmp"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    theirs = run.last.parent / "mine.npz"
    theirs.write_bytes(b"")
    with held_by_another_process(run.path):
        assert not any(path.exists() for path in leftovers)
        leftovers[0].write_bytes(b"the other process is writing this")
        with pytest.raises(RunInUseError), run:
            pass
        assert leftovers[0].exists()
    assert theirs.exists()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError), RunDir(tmp_path / "file"):
        pass


def test_a_lock_that_the_file_system_refuses_is_a_storage_error(run, monkeypatch):
    def acquire(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with pytest.raises(StorageError, match=r"cannot lock .*run: Read-only file system"), run:
        pass


@pytest.mark.parametrize("name", ["config", "info", "metrics", "last", "best"])
def test_a_directory_with_any_file_of_a_run_is_used(run, name):
    run.refuse_if_used()
    getattr(run, name).write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        run.refuse_if_used()
    assert caught.value.message == f"{run.path}: holds a run already"
    assert "--resume" in caught.value.hint


def test_what_is_worth_knowing_is_kept(run):
    run.write_config("seed: 1\n")
    run.write_info({"seed": 1, "blas": {"threads": 2}})
    run.write_info({"seed": 2})
    assert run.config.read_text() == "seed: 1\n"
    assert run.read_info() == {"seed": 2}


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff\xfe"])
def test_info_that_cannot_be_read_is_empty(run, content):
    if content is not None:
        run.info.write_bytes(content)
    assert run.read_info() == {}


def test_each_epoch_adds_a_line(run):
    run.append_metrics({"epoch": 1, "loss": 0.5})
    run.append_metrics({"epoch": 2, "loss": 0.25})
    assert [json.loads(text) for text in run.metrics.read_text().splitlines()] == [
        {"epoch": 1, "loss": 0.5},
        {"epoch": 2, "loss": 0.25},
    ]


def test_metrics_that_cannot_be_written_are_a_storage_error(run):
    run.metrics.mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        run.append_metrics({"epoch": 1})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("info", RunDir.read_info),
        ("metrics", lambda run: run.rewind_metrics([])),
        ("metrics", lambda run: run.append_metrics({"epoch": 1})),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_nobody_waits_for_the_other_end_of_a_pipe(run, name, use, held):
    pipe = getattr(run, name)
    os.mkfifo(pipe)
    other_end = os.open(pipe, os.O_RDWR) if held else None
    usual = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waits"))
    signal.alarm(5)
    try:
        if name == "info":
            assert use(run) == {}
        else:
            with pytest.raises(StorageError, match=rf"cannot (read|write) {pipe}: "):
                use(run)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
        if other_end is not None:
            os.close(other_end)


def test_metrics_are_for_whomever_the_umask_lets_read_them(run):
    umask = os.umask(0o027)
    try:
        run.append_metrics({"epoch": 1})
    finally:
        os.umask(umask)
    if os.name != "nt":
        assert run.metrics.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "lines",
    [
        [line(1, seconds=3), line(2, seconds=4)],
        [line(1, seconds=3), line(2, seconds=4), line(3), line(4)],
        [line(1, seconds=3), line(2, seconds=4), line(3)[:7]],
        [line(1, seconds=9), line(1, seconds=3), line(2, seconds=4)],
        [line(2, seconds=4), line(1, seconds=3)],
        [line(1, seconds=3), b"\0\0\0\0\n", b"\xff\xfe\n", b"[]\n", b"3\n", b'{"epoch": []}\n', line(2, seconds=4)],
    ],
    ids=["equal", "epochs to repeat", "cut line", "repeated epoch", "out of order", "garbage"],
)
def test_metrics_are_rewound_to_the_history_and_keep_what_the_clock_said(run, lines):
    write_lines(run, *lines)
    run.rewind_metrics([{"epoch": 1}, {"epoch": 2}])
    assert run.metrics.read_bytes() == line(1, seconds=3) + line(2, seconds=4)


@pytest.mark.parametrize("lines", [[], [line(2)], [line(1)[:5]]])
def test_a_line_that_was_lost_comes_back_from_the_history(run, lines):
    write_lines(run, *lines)
    run.rewind_metrics([{"epoch": 1, "loss": 0.5}, {"epoch": 2}])
    assert run.metrics.read_bytes() == line(1, loss=0.5) + line(2)


def test_without_metrics_the_history_is_written(run):
    run.rewind_metrics([{"epoch": 1}])
    assert run.metrics.read_bytes() == line(1)


def test_without_history_no_line_stays(run):
    write_lines(run, line(1))
    run.rewind_metrics([])
    assert run.metrics.read_bytes() == b""


def test_a_new_run_is_named_after_time_dataset_and_sizes():
    before = datetime.now(UTC).replace(microsecond=0)
    run = rundir.new("mnist", "784-128-10")
    stamp, _, rest = run.path.name.partition("-mnist-")
    assert rest == "784-128-10"
    assert before <= datetime.strptime(stamp, "%Y%m%d-%H%M%S").replace(tzinfo=UTC) <= datetime.now(UTC)
    assert run.path.parent == Path("runs")
    assert run.path.is_dir()
    assert not run.used


def test_runs_of_the_same_second_have_names_of_their_own(monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, _: object = None) -> Self:
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    monkeypatch.setattr(rundir, "datetime", Clock)
    names = [rundir.new("mnist", "784-10").path.name for _ in range(3)]
    assert names == [f"20260102-030405-mnist-784-10{suffix}" for suffix in ("", "-2", "-3")]


def test_the_name_of_a_network_of_many_layers_is_cut():
    run = rundir.new("fashion-mnist", "-".join(["784", *["65536"] * 64, "10"]))
    assert len(run.path.name) == 100
    assert run.path.name.endswith("etc")
    assert "-fashion-mnist-784-65536-" in run.path.name


def test_a_new_run_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(StorageError):
        rundir.new("mnist", "784-10")


def test_the_newest_run_is_the_one_that_saved_last_whatever_its_name():
    saved("20260101-b", at=3000)
    saved("20260109-a", at=1000)
    saved("20260105-c", at=2000)
    (Path("runs") / "20260110-nothing-saved").mkdir()
    assert rundir.newest().path == Path("runs/20260101-b")


def dangle(zz: Path) -> None:
    (zz / "checkpoints").mkdir(parents=True)
    (zz / "checkpoints" / "last.npz").symlink_to("nowhere")


def circle(zz: Path) -> None:
    (zz / "checkpoints").mkdir(parents=True)
    (zz / "checkpoints" / "last.npz").symlink_to("last.npz")


DEAD: dict[str, Callable[[Path], object]] = {
    "a link to nowhere": dangle,
    "a link to itself": circle,
    "a folder": lambda zz: (zz / "checkpoints" / "last.npz").mkdir(parents=True),
    "a run that is a link to nowhere": lambda zz: zz.symlink_to("nowhere"),
    "a file": Path.touch,
}


@pytest.mark.parametrize("kind", DEAD)
def test_a_dead_entry_is_no_run(kind):
    run = saved("good", at=1000)
    DEAD[kind](Path("runs/zz"))
    assert rundir.newest().path == run.path
    assert rundir.find_checkpoint(None) == run.last


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("name", ["last.npz", "metrics.jsonl"])
def test_a_run_that_vanishes_while_the_newest_is_looked_for_is_none(monkeypatch, name, looks, trained):
    run = saved("good", at=1000)
    if trained:
        write_lines(run, line(1))
    write_lines(saved("zz", at=2000), line(1))
    look = Path.stat
    looked = []

    def stat(path: Path, **options: bool) -> os.stat_result:
        if path.name == name and path.is_relative_to("runs/zz"):
            looked.append(path)
            if len(looked) == looks:
                shutil.rmtree("runs/zz")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert rundir.find_checkpoint(None).exists()


def test_without_runs_the_newest_is_an_error_that_says_how_to_make_one():
    with pytest.raises(CheckpointError) as caught:
        rundir.newest()
    assert "nnctl train" in caught.value.hint
    with pytest.raises(CheckpointError):
        rundir.find_checkpoint(None)


def test_a_run_stands_for_its_best_checkpoint_or_else_its_last():
    run = saved("one", at=1000)
    assert rundir.find_checkpoint(run.path) == run.last
    saved("one", at=1, kind="best")
    assert rundir.find_checkpoint(run.path) == run.best


def test_nothing_stands_for_the_newest_run():
    saved("old", at=1000)
    run = saved("new", at=2000)
    assert rundir.find_checkpoint(None) == run.last


def test_a_file_stands_for_itself_even_if_missing(tmp_path):
    assert rundir.find_checkpoint(tmp_path / "my.npz") == tmp_path / "my.npz"


def test_a_folder_without_a_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        rundir.find_checkpoint(tmp_path)
    assert caught.value.message == f"{tmp_path}: holds no checkpoint"
