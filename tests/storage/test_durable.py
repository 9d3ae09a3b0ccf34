"""Durable writes are atomic: a file is complete or not there, and the old one survives every failure."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnctl.errors import CheckpointError, StorageError
from nnctl.storage import durable
from tests.support.files import contents, failing

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions, and syncs no folders")


@pytest.fixture(params=["absent", "there before"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A destination, once without and once with an older file."""
    if request.param == "there before":
        (tmp_path / "file").write_bytes(b"old")
    return tmp_path / "file"


@pytest.fixture(autouse=True)
def _restore_umask() -> Iterator[None]:
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def write_in_pieces(path: Path, **options: Any) -> None:
    with durable.atomic_file(path, **options) as file:
        file.write(b"new ")
        file.write(b"content")


def test_atomic_file_leaves_what_was_written_and_nothing_else(path):
    write_in_pieces(path)
    assert contents(path.parent) == {"file": b"new content"}


def test_atomic_file_shows_readers_the_old_file_until_the_block_ends(path):
    before = contents(path.parent).get("file")
    with durable.atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert contents(path.parent).get("file") == before


@pytest.mark.parametrize("failure", [ValueError("a bug"), KeyboardInterrupt(), CheckpointError("what")])
def test_atomic_file_leaves_no_trace_of_a_failed_block_and_passes_its_error_on(path, failure):
    before = contents(path.parent)
    with pytest.raises(type(failure)) as caught, durable.atomic_file(path) as file:  # noqa: PT012
        file.write(b"half")
        raise failure
    assert caught.value is failure
    assert contents(path.parent) == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_atomic_file_leaves_the_old_file_when_the_file_system_refuses(monkeypatch, path, call, number):
    before = contents(path.parent)
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(StorageError) as caught:
        write_in_pieces(path)
    assert caught.value.message == f"cannot write {path}: {os.strerror(number)}"
    assert caught.value.hint == "check the path, its permissions and the free space"
    assert caught.value.exit_code == 6
    assert contents(path.parent) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_atomic_file_reports_a_disk_that_fills_up_while_writing(monkeypatch, path):
    before = contents(path.parent)
    really_open = Path.open
    monkeypatch.setattr(Path, "open", lambda _, mode: really_open(Path("/dev/full"), mode.replace("x", "w")))
    with pytest.raises(StorageError, match="No space left"), durable.atomic_file(path) as file:
        file.write(b"x")
    monkeypatch.undo()
    assert contents(path.parent) == before


def test_atomic_file_gives_the_reason_even_if_its_temporary_file_cannot_be_removed(monkeypatch, path):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    with pytest.raises(StorageError, match="No space left"):
        write_in_pieces(path)


def test_verify_sees_every_byte_before_the_file_takes_its_name(path):
    before = contents(path.parent).get("file")
    seen = []

    def verify(written: Path) -> None:
        seen.append(written.read_bytes())
        assert contents(path.parent).get("file") == before

    write_in_pieces(path, verify=verify)
    assert seen == [b"new content"]


def test_verify_that_raises_leaves_the_old_file(path):
    before = contents(path.parent)

    def verify(_: Path) -> None:
        raise CheckpointError("the disk gave back something else")

    with pytest.raises(CheckpointError, match="something else"):
        write_in_pieces(path, verify=verify)
    assert contents(path.parent) == before


@posix
def test_atomic_file_syncs_verifies_and_names_the_file_then_syncs_the_folder(monkeypatch, path):
    calls: list[str] = []
    really_sync, really_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("sync folder" if is_folder else f"sync file of {os.fstat(descriptor).st_size} bytes")
        really_sync(descriptor)

    def replace(*arguments: Any) -> None:
        calls.append("replace")
        really_replace(*arguments)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_in_pieces(path, verify=lambda _: calls.append("verify"))
    assert calls == ["sync file of 11 bytes", "verify", "replace", "sync folder"]


@posix
def test_atomic_file_fails_if_the_folder_cannot_be_synced(monkeypatch, path):
    really_sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match=r"cannot write .*file: Input/output error"):
        write_in_pieces(path)


@posix
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_write_atomic_gives_the_permissions_of_the_users_umask(path, umask):
    os.umask(umask)
    durable.write_atomic(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@posix
def test_write_atomic_follows_a_link_and_replaces_the_file_it_names(tmp_path):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    durable.write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert contents(tmp_path / "far") == {"target": b"new"}


def test_write_atomic_reports_a_missing_folder(tmp_path):
    path = tmp_path / "missing" / "file"
    with pytest.raises(StorageError) as caught:
        durable.write_atomic(path, b"new")
    assert caught.value.message == f"cannot write {path}: {os.strerror(errno.ENOENT)}"


def test_write_atomic_reports_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        durable.write_atomic(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@posix
def test_write_atomic_replaces_no_device(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "open", failing(errno.EIO))  # so that an error here cannot replace this machine's device
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(StorageError, match="cannot write /dev/null: it is a device"):
        durable.write_atomic(tmp_path / "link", b"new")


def test_link_stays_with_the_file_though_the_first_name_is_a_link(tmp_path):
    (tmp_path / "far").write_bytes(b"old")
    (tmp_path / "last").symlink_to(tmp_path / "far")
    durable.link(tmp_path / "last", tmp_path / "second")
    durable.write_atomic(tmp_path / "last", b"new")
    assert (tmp_path / "second").read_bytes() == b"old"


@posix
@pytest.mark.parametrize(("number", "accepted"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_write_atomic_accepts_a_file_system_that_syncs_no_folders(monkeypatch, tmp_path, number, accepted):
    really_sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if accepted:
        durable.write_atomic(tmp_path / "file", b"new")
    else:
        with pytest.raises(StorageError, match=os.strerror(number)):
            durable.write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_locked_reports_a_file_system_without_locks_as_no_bug(monkeypatch, tmp_path):
    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with pytest.raises(StorageError, match="keeps no locks"), durable.locked(tmp_path, 0, StorageError("busy")):
        pass


def test_make_folder_makes_those_above_too_and_accepts_one_that_is_there(tmp_path):
    durable.make_folder(tmp_path / "a" / "b")
    durable.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_make_folder_reports_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        durable.make_folder(tmp_path / "file")
    assert caught.value.message.startswith(f"cannot create the folder {tmp_path / 'file'}: ")


def test_sweep_removes_the_temporary_file_of_a_killed_process(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    program = "import os, sys; from pathlib import Path; from nnctl.storage.durable import atomic_file\n"
    program += "with atomic_file(Path(sys.argv[1])) as file: file.write(b'half'); file.flush(); os._exit(9)"
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], check=False)
    assert killed.returncode == 9
    assert len(contents(tmp_path)) == 2
    durable.sweep(tmp_path)
    assert contents(tmp_path) == {"file": b"old"}


def test_sweep_removes_no_file_of_others(tmp_path):
    others = ["last.npz", "x.tmp", ".nnctl-", ".nnctl-notes.txt", "my.nnctl-1.tmp", ".other-1.tmp"]
    for name in others:
        (tmp_path / name).write_bytes(b"theirs")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / ".nnctl-1.tmp").write_bytes(b"of another folder")
    (tmp_path / ".nnctl-0123456789abcdef.tmp").write_bytes(b"ours")
    durable.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "below"])
    assert (tmp_path / "below" / ".nnctl-1.tmp").exists()


def test_sweep_of_a_missing_folder_does_nothing(tmp_path):
    durable.sweep(tmp_path / "missing")
