"""Run directories: one process at a time, no run overwritten, the newest one found."""

import errno
import os
import shutil
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
from nnctl.errors import CheckpointError, ConfigError, RunInUseError, RunUsedError, StorageError
from nnctl.rundir import RunDir
from tests.support.files import pipe

HOLD = """
import sys, time
from pathlib import Path
from nnctl.rundir import RunDir
from tests.support.files import pipe
with RunDir(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


pytestmark = pytest.mark.usefixtures("empty_folder")


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


def test_rundir_creates_its_folders_on_entering(tmp_path):
    with RunDir(tmp_path / "a" / "run") as run:
        assert run.last.parent.is_dir()
        assert not run.used


def test_rundir_in_use_is_refused_at_once_and_free_when_its_holder_is_killed(run, monkeypatch):
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


def test_rundir_remove_older_removes_only_what_nnctl_has_named_and_the_oldest_by_number(run):
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


def test_rundir_metadata_that_nobody_could_have_written_is_empty(run):
    for text in ("[" * 200_000, "5", "{"):
        run.metadata.write_text(text)
        assert run.read_metadata() == {}


def test_rundir_retain_last_gives_the_last_checkpoint_a_name_under_which_it_stays(run):
    folder = run.last.parent
    run.retain_last(3)  # there is none yet
    assert list(folder.iterdir()) == []
    run.last.write_bytes(b"three")
    run.retain_last(3)
    run.retain_last(3)
    run.last.unlink()
    run.last.write_bytes(b"three again")  # such as after the epoch was validated
    run.retain_last(3)
    run.last.unlink()
    run.last.write_bytes(b"four")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "last.npz": b"four",
        "step-000000003.npz": b"three again",
    }


def test_rundir_without_last_tells_which_checkpoint_to_copy(run):
    assert run.without_last() == "start a new run"
    run.best.write_bytes(b"")
    assert run.without_last() == f"go on from an earlier one: copy {run.best} to {run.last}"
    for step in (999_999_999, 1_000_000_000):
        (run.last.parent / f"step-{step:09d}.npz").write_bytes(b"")
    newest = run.last.with_name("step-1000000000.npz")
    assert run.without_last() == f"go on from an earlier one: copy {newest} to {run.last}"


def test_rundir_has_trained_once_an_epoch_was_finished(run):
    for path in (run.config, run.metadata, run.last):
        path.write_bytes(b"x")
    run.metrics.write_bytes(b"")
    assert not run.trained()
    run.metrics.write_bytes(b"{}\n")
    assert run.trained()
    run.metrics.unlink()
    run.best.write_bytes(b"x")
    assert run.trained()


def test_rundir_gives_its_lock_back_at_the_end_even_after_an_error(run):
    with pytest.raises(ValueError, match="a bug"), run:
        raise ValueError("a bug")
    with RunDir(run.path):
        pass


def test_rundir_is_held_once_within_one_process_too(run):
    with run, pytest.raises(RunInUseError), RunDir(run.path):
        pytest.fail("held twice")


def test_rundir_sweeps_temporary_files_of_a_killed_process_while_holding_the_lock(run):
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


def test_rundir_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError), RunDir(tmp_path / "file"):
        pass


def test_rundir_whose_lock_the_file_system_refuses_is_a_storage_error(run, monkeypatch):
    def acquire(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with pytest.raises(StorageError, match=r"cannot lock .*run: Read-only file system"), run:
        pass


@pytest.mark.parametrize("name", ["config", "metadata", "metrics", "last", "best"])
def test_rundir_with_any_file_of_a_run_is_used(run, name):
    run.refuse_if_used()
    getattr(run, name).write_bytes(b"")
    assert run.used
    with pytest.raises(RunUsedError) as caught:
        run.refuse_if_used()
    assert isinstance(caught.value, ConfigError)
    assert caught.value.exit_code == 2
    assert caught.value.message == f"{run.path}: holds a run already"
    assert caught.value.hint == "resume it, or choose another directory"


def test_rundir_saves_configuration_and_metadata(run):
    run.write_config("seed: 1\n")
    run.write_metadata({"seed": 1, "blas": {"threads": 2}})
    run.write_metadata({"seed": 2})
    assert run.config.read_text() == "seed: 1\n"
    assert run.read_metadata() == {"seed": 2}


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff\xfe"])
def test_rundir_metadata_that_cannot_be_read_is_empty(run, content):
    if content is not None:
        run.metadata.write_bytes(content)
    assert run.read_metadata() == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("held", [False, True])
def test_rundir_read_metadata_waits_for_no_other_end_of_a_pipe(run, held):
    with pipe(run.metadata, held=held):
        assert run.read_metadata() == {}


def test_rundir_new_is_named_after_time_dataset_and_sizes():
    before = datetime.now(UTC).replace(microsecond=0)
    run = rundir.new("mnist", "784-128-10")
    stamp, _, rest = run.path.name.partition("-mnist-")
    assert rest == "784-128-10"
    assert before <= datetime.strptime(stamp, "%Y%m%d-%H%M%S").replace(tzinfo=UTC) <= datetime.now(UTC)
    assert run.path.parent == Path("runs")
    assert run.path.is_dir()
    assert not run.used


def test_rundir_new_gives_runs_of_the_same_second_different_names(monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, _: object = None) -> Self:
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    monkeypatch.setattr(rundir, "datetime", Clock)
    names = [rundir.new("mnist", "784-10").path.name for _ in range(3)]
    assert names == [f"20260102-030405-mnist-784-10{suffix}" for suffix in ("", "-2", "-3")]


def test_rundir_new_cuts_the_name_of_a_network_of_many_layers():
    run = rundir.new("fashion-mnist", "-".join(["784", *["65536"] * 64, "10"]))
    assert len(run.path.name) == 100
    assert run.path.name.endswith("etc")
    assert "-fashion-mnist-784-65536-" in run.path.name


def test_rundir_new_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(StorageError):
        rundir.new("mnist", "784-10")


def test_rundir_newest_is_the_one_that_saved_last_whatever_its_name():
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
def test_rundir_newest_passes_over_a_dead_entry(kind):
    run = saved("good", at=1000)
    DEAD[kind](Path("runs/zz"))
    assert rundir.newest().path == run.path
    assert rundir.find_checkpoint(None) == run.last


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("name", ["last.npz", "metrics.jsonl"])
def test_rundir_newest_passes_over_a_run_that_vanishes_meanwhile(monkeypatch, name, looks, trained):
    run = saved("good", at=1000)
    if trained:
        run.metrics.write_text("{}\n")
    saved("zz", at=2000).metrics.write_text("{}\n")
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


def test_rundir_newest_without_runs_is_an_error_that_says_how_to_make_one():
    with pytest.raises(CheckpointError) as caught:
        rundir.newest()
    assert caught.value.hint == "train a network first"
    with pytest.raises(CheckpointError):
        rundir.find_checkpoint(None)


def test_rundir_find_checkpoint_takes_the_best_of_a_run_or_else_its_last():
    run = saved("one", at=1000)
    assert rundir.find_checkpoint(run.path) == run.last
    saved("one", at=1, kind="best")
    assert rundir.find_checkpoint(run.path) == run.best


def test_rundir_find_checkpoint_takes_nothing_for_the_newest_run():
    saved("old", at=1000)
    run = saved("new", at=2000)
    assert rundir.find_checkpoint(None) == run.last


def test_rundir_find_checkpoint_takes_nothing_for_the_newest_run_that_has_finished_an_epoch():
    saved("old", at=1000, kind="best")
    trained = saved("old", at=1000)
    saved("new", at=2000)
    assert rundir.find_checkpoint(None) == trained.best


def test_rundir_find_checkpoint_takes_a_file_for_itself_even_if_missing(tmp_path):
    assert rundir.find_checkpoint(tmp_path / "my.npz") == tmp_path / "my.npz"


def test_rundir_find_checkpoint_refuses_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        rundir.find_checkpoint(tmp_path)
    assert caught.value.message == f"{tmp_path}: holds no checkpoint"
